package stream

import (
	"context"
	"log/slog"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/walwire/walwire/cdc"
)

const (
	// publishOps bounds what is collected before it is published.
	publishOps = 20_000
	// maxPatience bounds how long what was applied waits for more.
	maxPatience = 2 * time.Second
	// lagTolerated is the lag below which nothing waits.
	lagTolerated = 20 * time.Millisecond
)

// company is everything of one company. Its goroutine owns the views, their rows
// and the index, without locks. Writers of sessions read the chains under mu.
type company struct {
	hub     *Hub
	id      string
	inbox   inbox
	routing routing // the hub's
	users   int     // sessions; the hub's
	stop    bool
	ended   chan struct{} // closed when nothing is done any more
	reads   reads
	log     *slog.Logger

	served        *tables
	tables        map[*shape]*table
	position      cdc.LSN
	time          int64       // commit time at position, 0 where it is not one commit's
	unseen        []companyTx // commits that the next snapshot may not see
	recent        []companyTx // recent commits, all above floor
	logN          uint64      // of the companyLog that it is from
	floor         cdc.LSN
	floorTime     int64   // see companyLog
	last          commit  // the latest in the log up to position, of whichever company
	after         uint64  // snapshots must have left transaction ids up to here behind
	windows       []*view // touched by the commit being applied
	channels      map[string]*channel
	raiser        *raiser
	dirtyChannels []*channel
	dirty         []*view // with ops that are not published yet
	publishedAt   time.Time
	rowBytes      int64     // octets of rows held
	shedAt        time.Time // when it last ended a live query for want of memory
	ops           int       // in dirty
	touched       map[*session]struct{}
	scratch       scratch

	mu        sync.RWMutex // protects following, the views' chains and the subscriptions' cursors
	published cdc.LSN
	stamp     int64 // commit time at published
	at        cursor
	marked    cdc.LSN                // idle clients are to be told a cursor of here or later
	sealed    atomic.Pointer[string] // at, as clients get it; made by the first who needs it

	retold atomic.Pointer[retold]
}

// scratch is memory used again for every change.
type scratch struct {
	row       row
	key       []byte
	json      []byte
	codes     []newCode // of the row being settled
	pending   []pending
	at        map[string]int
	matched   []*view
	seen      uint64  // generation of view.mark
	nth       uint64  // counts the rows that row has held
	formerRow row     // as it was
	formers   []*view // which showed it
}

func newCompany(h *Hub, id string) *company {
	c := &company{
		hub:      h,
		id:       id,
		ended:    make(chan struct{}),
		inbox:    inbox{ready: make(chan struct{}, 1)},
		reads:    reads{slots: make(chan struct{}, max(h.Connections-1, 1))},
		log:      h.Log.With("company", id),
		served:   h.tables(),
		tables:   make(map[*shape]*table),
		channels: make(map[string]*channel),
		touched:  make(map[*session]struct{}),
		position: h.position,
	}
	c.scratch.at = make(map[string]int)
	c.raiser = newRaiser(c)
	c.takeLog(h.logOf(c))
	c.last, c.after = h.here().last, h.after
	c.published, c.at = c.position, cursor{c.position, c.last, c.served.life}
	return c
}

// join gives the company of that id, made when it is the first session's; nil when
// the hub has ended or does not answer before ctx ends.
func (h *Hub) join(ctx context.Context, id string) *company {
	joined := make(chan *company, 1)
	posted := h.postContext(ctx, func() {
		c := h.companies[id]
		if c == nil {
			c = newCompany(h, id)
			h.companies[id] = c
			if s := h.ring.scopes[id]; s != nil {
				s.company = c
			} else {
				h.ring.scopes[id] = &scope{company: c}
			}
			h.Metrics.Companies.Inc()
			h.group.Go(c.run)
		}
		c.users++
		joined <- c
	})
	if !posted {
		return nil
	}
	return <-joined // the hub is at it
}

// leave ends the company with its last session.
func (h *Hub) leave(c *company) {
	h.post(func() {
		if c.users--; c.users > 0 {
			return
		}
		delete(h.companies, c.id)
		h.ring.scopes[c.id].company = nil
		h.Metrics.Companies.Dec()
		c.inbox.push(message{do: func() { c.stop = true }}, 0)
	})
}

func (c *company) run() {
	defer close(c.ended)
	var messages []message
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for !c.stop {
		select {
		case <-c.hub.ctx.Done():
			return
		case <-c.inbox.ready:
		case <-timer.C:
		}
		messages = c.inbox.take(messages)
		for i := range messages {
			m := &messages[i]
			for j := range m.txs {
				c.apply(&m.txs[j])
				if c.ops >= publishOps || j%64 == 63 && c.due() <= 0 {
					c.publish()
				}
			}
			if m.do != nil {
				c.publish()
				m.do()
			}
			messages[i] = message{}
		}
		if due := c.due(); due <= 0 {
			c.publish()
			c.shed()
		} else if len(c.dirty) > 0 || len(c.dirtyChannels) > 0 {
			timer.Reset(due)
		}
	}
}

// due is how long what was applied may still wait for more to travel in the same
// frames: an eighth of the time by which the stream is behind its writers anyway,
// so nothing while it keeps up. Frames are what costs: without this a server that catches up
// wakes every client for every commit and stays behind.
func (c *company) due() time.Duration {
	lag := time.Duration(c.hub.lag.Load()) * time.Microsecond
	if lag < lagTolerated {
		return 0
	}
	return min(lag/8, maxPatience) - time.Since(c.publishedAt)
}

// call runs fn in the company's goroutine and waits for it: a client that asks
// faster than its company can answer waits, instead of filling the inbox. It returns
// false when the company has ended before; fn is not running then, and never will be.
func (c *company) call(fn func()) bool {
	done := make(chan struct{})
	c.inbox.push(message{do: func() {
		fn()
		close(done)
	}}, 0)
	select {
	case <-done:
		return true
	case <-c.ended: // with the hub at the latest
	}
	select {
	case <-done: // the last that it did
		return true
	default:
		return false
	}
}

// publish makes what was applied readable, all of it at once, and wakes the
// sessions that it concerns.
func (c *company) publish() {
	if len(c.dirty) == 0 && c.position == c.published { // only this goroutine writes it
		return
	}
	var others []*session // whose users are others now
	c.mu.Lock()
	for _, v := range c.dirty {
		c.appendLocked(&v.chain, v.fresh)
		for sub := range v.subscribers {
			s := sub.session
			c.touched[s] = struct{}{}
			if sub.lookup() && s.user != nil && len(v.fresh) > 0 && !s.paused {
				s.paused = true
				others = append(others, s)
			}
		}
	}
	for _, ch := range c.dirtyChannels {
		c.appendLocked(&ch.chain, ch.fresh)
		for l := range ch.listeners {
			c.touched[l.session] = struct{}{}
		}
	}
	c.published, c.stamp, c.at = c.position, c.time, cursor{c.position, c.last, c.served.life}
	c.sealed.Store(nil)
	c.mu.Unlock()
	for _, ch := range c.dirtyChannels {
		clear(ch.fresh)
		ch.fresh, ch.dirty = ch.fresh[:0], false
	}
	c.dirtyChannels = c.dirtyChannels[:0]
	for _, v := range c.dirty {
		clear(v.fresh)
		v.fresh, v.dirty = v.fresh[:0], false
	}
	c.dirty, c.ops, c.publishedAt = c.dirty[:0], 0, time.Now()
	for _, s := range others {
		c.reassess(s)
		c.halt(s, false)
	}
	for s := range c.touched {
		s.kick()
	}
	clear(c.touched)
}

// reached moves the position to what the hub has routed; everything routed is
// already applied.
func (c *company) reached(at cursor) {
	if at.position > c.position {
		c.position, c.time, c.last = at.position, 0, at.last
	}
}

// prune lets go of transactions that every new snapshot will see.
func (c *company) prune() {
	snap := c.hub.visible.Load()
	if snap == nil {
		return
	}
	kept := slices.DeleteFunc(c.unseen, func(t companyTx) bool { return snap.Sees(t.tx.XID) })
	c.unseen = kept
}

// trim lets go of the log up to floor, and to a commit of that time.
func (c *company) trim(floor cdc.LSN, at int64) {
	if len(c.channels) > 0 {
		c.mu.Lock()
		c.advanceLocked()
		c.mu.Unlock()
	}
	if floor >= c.floor {
		c.floor, c.floorTime = floor, at
	}
	n := sort.Search(len(c.recent), func(i int) bool { return c.recent[i].tx.End > c.floor })
	clear(c.recent[:n])
	c.recent = c.recent[n:]
}

// restart reads every view again: changes were dropped.
func (c *company) restart() {
	c.forgetEvents()
	for _, t := range c.tables {
		c.rereadAll(t)
	}
}

// mark makes sessions that had nothing to say for long tell their clients where
// they are.
func (c *company) mark() {
	c.mu.Lock()
	c.marked = c.published
	c.mu.Unlock()
	c.forgetMissed()
	for _, t := range c.tables {
		for _, v := range t.views {
			for sub := range v.subscribers {
				sub.session.kick()
			}
		}
	}
	for _, ch := range c.channels {
		for l := range ch.listeners {
			l.session.kick()
		}
	}
}

// tellOn publishes where the company is, to all who listen: events may have become theirs
// without a commit.
func (c *company) tellOn() {
	for _, ch := range c.channels {
		for l := range ch.listeners {
			c.touched[l.session] = struct{}{}
		}
	}
	c.publish()
}

// forgetMissed lets go of what nobody may come back for.
func (c *company) forgetMissed() {
	for _, t := range c.tables {
		for _, v := range t.views {
			v.miss(nil)
		}
	}
}

// cursor is the published position as clients get it. c.mu is held.
func (c *company) cursor() string {
	if text := c.sealed.Load(); text != nil {
		return *text
	}
	epoch := c.hub.epoch.Load()
	if epoch == nil {
		return ""
	}
	text := c.hub.sealer.seal(*epoch, c.id, c.at)
	c.sealed.Store(&text)
	return text
}

// adopt takes new shapes: subscriptions of changed tables are made anew, those
// of tables that can't be served any more end. The views of reread are read again.
func (c *company) adopt(served *tables, reread []*shape) {
	before := c.served
	again := before.mapping != served.mapping || len(before.broken) != len(served.broken) // quarantined: who listens there is told
	c.served = served
	for _, s := range reread {
		if t := c.tables[s]; t != nil && served.broken[s.mapping.Name] == nil {
			c.rereadAll(t)
		}
	}
	var altered []*subscription
	for s, t := range c.tables {
		name := s.mapping.Name
		if served.broken[name] == nil && served.shapes[name] == s {
			continue
		}
		for _, v := range t.views {
			for sub := range v.subscribers {
				altered = append(altered, sub)
			}
		}
	}
	c.pause(altered, true)
	for _, sub := range altered {
		c.rebind(sub, served.broken[sub.query.shape.mapping.Name])
	}
	c.pause(altered, false)
	if again {
		c.regrantAll()
	}
	c.tellHoles(before)
}

// pause keeps the sessions of subscriptions where they are while these are made
// anew: all their queries go on together.
func (c *company) pause(subs []*subscription, paused bool) {
	c.mu.Lock()
	for _, sub := range subs {
		sub.session.paused = paused
	}
	c.mu.Unlock()
	for _, sub := range subs {
		sub.session.kick()
	}
}
