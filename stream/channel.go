package stream

import (
	"slices"

	"github.com/walwire/walwire/cdc"
)

// channel is a set of events with the rights and rooms they are heard under, shared by
// all listeners for whom these are the same. Owned by the company's goroutine, but for
// chain.
type channel struct {
	id        string
	query     *eventQuery
	taps      []channelTap
	listeners map[*listener]struct{}
	raised    []raised // by the commit at hand
	fresh     []*entry // not yet in chain
	dirty     bool     // in company.dirtyChannels

	chain chain // guarded by company.mu
}

type channelTap struct {
	table *eventTable
	tap   *tap
}

// listener is one subscription to events of one session. Where the chain does not reach
// back to, its events are found again in the log: so an event is never dropped for a slow
// client, nor kept for one.
type listener struct {
	id      uint64
	session *session
	request *clientEvents
	names   []string // of the events that it can get; the company's
	channel *channel // the company's; nil once ended

	// The following are guarded by company.mu: the session's writer advances them under
	// the read lock.
	opened bool    // the client knows of it
	at     cdc.LSN // the client has been told everything up to here
	next   uint64  // sequence number in the chain; 0 where the log is to be asked
	gaps   []gap   // to be said before what follows at
}

// listen opens a subscription to events. start says where. In the company's goroutine,
// like all below.
func (c *company) listen(l *listener, start func()) *Error {
	if l.session.left { // while it was found out where to begin
		return errorf(CodeUnavailable, "the connection is gone")
	}
	q, err := compileEvents(l.session.principal.Load(), l.request, c.served)
	if err != nil {
		return err
	}
	ch := c.channelOf(q)
	ch.listeners[l] = struct{}{}
	l.names = q.names
	l.channel, l.at, l.next = ch, c.published, ch.chain.end()
	start()
	l.gaps = append(l.gaps, q.gaps...)
	if l.next == 0 {
		c.catchUp(l)
	}
	c.mu.Lock()
	l.session.listeners = append(l.session.listeners, l)
	c.mu.Unlock()
	l.session.kick()
	return nil
}

// firstEvent is the sequence number of a channel's first entry: older ones may come
// before it, and 0 stands for none.
const firstEvent = 1 << 32

// channelOf gives the channel of a compiled request, made when it is the first.
func (c *company) channelOf(q *eventQuery) *channel {
	if ch := c.channels[q.id]; ch != nil {
		return ch
	}
	ch := &channel{id: q.id, query: q, listeners: make(map[*listener]struct{}), chain: chain{from: c.position, first: firstEvent}}
	c.raiser.add(ch, q)
	c.channels[q.id] = ch
	return ch
}

// unlisten ends a subscription to events; tell says so to the client.
func (c *company) unlisten(l *listener, tell func()) {
	ch := l.channel
	if ch == nil {
		tell()
		return
	}
	c.mu.Lock()
	l.channel = nil
	l.session.listeners = slices.DeleteFunc(l.session.listeners, func(other *listener) bool { return other == l })
	tell()
	c.mu.Unlock()
	c.quit(ch, l)
}

// quit takes a listener out of a channel, which goes with the last.
func (c *company) quit(ch *channel, l *listener) {
	if delete(ch.listeners, l); len(ch.listeners) > 0 {
		return
	}
	c.raiser.remove(ch)
	delete(c.channels, ch.id)
	c.hub.memory.chains.Add(-int64(ch.chain.bytes))
	c.mu.Lock()
	ch.chain = chain{}
	c.mu.Unlock()
}

// retune brings a listener to the rights and rules of now: what it has not been told yet
// it is told by these, out of the log.
func (c *company) retune(l *listener) {
	q, err := compileEvents(l.session.principal.Load(), l.request, c.served)
	if err != nil {
		c.unlisten(l, func() { l.session.endedListening(l, err) })
		return
	}
	before := l.channel
	if q.id == before.id {
		return
	}
	ch := c.channelOf(q)
	ch.listeners[l] = struct{}{}
	l.names = q.names
	c.mu.Lock()
	l.channel, l.next, l.opened, l.gaps = ch, 0, false, append(l.gaps, q.gaps...)
	c.mu.Unlock()
	c.quit(before, l)
	l.session.kick()
}

// raise finds the events of a commit that was applied.
func (c *company) raise(t *companyTx) {
	r := c.raiser
	r.commit(t)
	for _, ch := range r.touched {
		ops := ch.take()
		ch.fresh = append(ch.fresh, &entry{position: t.tx.End, time: t.tx.Time, ops: ops})
		c.ops += len(ops)
		c.hub.Metrics.Events.Add(float64(len(ops)))
		if !ch.dirty {
			ch.dirty = true
			c.dirtyChannels = append(c.dirtyChannels, ch)
		}
	}
	clear(r.touched)
	r.touched = r.touched[:0]
}

// forgetEvents makes every listener ask the log for what it has not been told: the
// stream was not followed commit by commit.
func (c *company) forgetEvents() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ch := range c.channels {
		clear(ch.fresh)
		ch.fresh = ch.fresh[:0]
		c.hub.memory.chains.Add(-int64(ch.chain.bytes))
		ch.chain = chain{from: c.position, first: ch.chain.end()}
		for l := range ch.listeners {
			l.next = 0
			c.touched[l.session] = struct{}{}
		}
	}
}

// advance notes how far listeners are that have been told everything, before the log
// lets go of it. c.mu is held.
func (c *company) advanceLocked() {
	for _, ch := range c.channels {
		for l := range ch.listeners {
			if l.next == ch.chain.end() {
				l.at = max(l.at, c.published)
			}
		}
	}
}

// pull is what a listener is still to be told that its channel no longer holds.
type pull struct {
	company  *company
	listener *listener
	from, to cdc.LSN
	gaps     []gap
}

// pullChanges is how many changes of the log are looked at in one go.
const pullChanges = 2000

// each calls emit with every event of the log, in order, until it says false. It runs in
// the session's writer, and holds a part of the log at a time. It returns false where
// that was not all: emit said so, or the company has ended.
func (p *pull) each(emit func(data []byte) bool) bool {
	for _, g := range p.gaps {
		if !emit(g.json()) {
			return false
		}
	}
	for from := p.from; from < p.to; {
		var events [][]byte
		next := p.to
		if !p.company.call(func() { events, next = p.company.eventsAfter(p.listener, from, p.to) }) || p.listener.session.gone() {
			return false // of who has left nothing is found: that is not all
		}
		for _, data := range events {
			if !emit(data) {
				return false
			}
		}
		from = next
	}
	return true
}

// eventsAfter finds in the log what a listener was to be told above from, up to to or as
// far as one go leads.
func (c *company) eventsAfter(l *listener, from, to cdc.LSN) (events [][]byte, next cdc.LSN) {
	if from < c.floor {
		g := gap{from: from, to: min(c.floor, to), until: c.floorTime, because: "the log does not reach back to where the client was"}
		events, from = append(events, g.json()), g.to
	}
	q, err := compileEvents(l.session.principal.Load(), l.request, c.served)
	if err != nil { // it is about to end
		return append(events, gap{from: from, to: to, because: cantBeServed}.json()), to
	}
	entries, next := c.entriesAfter(q, from, to, pullChanges)
	for _, e := range entries {
		for _, o := range e.ops {
			events = append(events, o.data)
		}
	}
	return events, next
}

// entriesAfter finds in the log what a channel tells of the commits above from, up to
// to, or as far as so many changes lead.
func (c *company) entriesAfter(q *eventQuery, from, to cdc.LSN, most int) (entries []*entry, next cdc.LSN) {
	r, ch := newRaiser(c), &channel{}
	r.again = true // else whoever comes back again and again would fill the log
	r.add(ch, q)
	changes := 0
	for i := c.logAfter(from); i < len(c.recent) && c.recent[i].tx.End <= to; i++ {
		t := &c.recent[i]
		r.commit(t)
		if ops := ch.take(); len(ops) > 0 {
			entries = append(entries, &entry{position: t.tx.End, time: t.tx.Time, ops: ops})
		}
		r.touched = r.touched[:0]
		if changes += max(len(t.changes), 1); changes >= most { // a commit that has only been read again has none
			return entries, t.tx.End
		}
	}
	return entries, to
}

// backfillChanges is how many changes of the log are looked at so that all who come back
// to a channel at about the same place share what is found.
const backfillChanges = 20_000

// catchUp lets a listener that comes back go on from its channel's chain, as far as that
// reaches back, or can be made to. Else it asks the log by itself.
func (c *company) catchUp(l *listener) {
	ch := l.channel
	if l.at >= ch.chain.from {
		l.next, _ = ch.chain.after(l.at)
		return
	}
	if l.at < c.floor {
		return
	}
	entries, next := c.entriesAfter(ch.query, l.at, ch.chain.from, backfillChanges)
	bytes := 0
	for _, e := range entries {
		bytes += e.size()
	}
	if next < ch.chain.from || ch.chain.bytes+bytes > c.hub.chainBytes() {
		return
	}
	c.mu.Lock()
	ch.chain.prepend(entries, l.at, bytes)
	c.mu.Unlock()
	c.hub.memory.chains.Add(int64(bytes))
	l.next, _ = ch.chain.after(l.at)
}

// since gives where to start so as to be told of the commits from a time on; and what is
// missing of them. In the company's goroutine.
func (c *company) since(at int64) (cdc.LSN, []gap) {
	// One by one: the times of commits are not quite in the order of the log.
	i := slices.IndexFunc(c.recent, func(t companyTx) bool { return t.tx.Time >= at })
	switch {
	case i < 0 && len(c.recent) > 0:
		return c.position, nil
	case c.floorTime == 0 && i <= 0 || c.floorTime != 0 && at <= c.floorTime: // nor quite in order what the log has let go of
		start := c.floor
		if i > 0 {
			start = c.recent[i-1].tx.End
		}
		return start, []gap{{to: c.floor, since: at, until: c.floorTime, because: "the log does not reach back so far"}}
	case i < 0:
		return c.position, nil
	case i > 0:
		return c.recent[i-1].tx.End, nil
	}
	return c.floor, nil
}

// head is what a listener is told when it begins.
func (l *listener) head() []byte {
	head := []byte(`,"names":[`)
	for i, name := range l.names {
		if i > 0 {
			head = append(head, ',')
		}
		head = appendString(head, name)
	}
	head = appendPosition(append(head, `],"from":"`...), l.at)
	return append(head, '"')
}

// collectEvents takes what there is to say of the session's subscriptions to events.
// company.mu is held.
func (s *session) collectEvents(out *cut) {
	for _, l := range s.listeners {
		u := update{id: l.id}
		if !l.opened {
			u.names = l.head()
		}
		ch := l.channel
		entries, ok := ch.chain.since(l.next)
		entries = slices.Clone(entries) // the chain lets go of its own while they are written
		switch {
		case !ok:
			u.pull = &pull{company: s.company, listener: l, from: l.at, to: out.position, gaps: l.gaps}
		case len(l.gaps) > 0:
			u.pull, u.entries = &pull{gaps: l.gaps}, entries
		default:
			u.entries = entries
		}
		if len(entries) > 0 || u.pull != nil || u.names != nil {
			out.updates = append(out.updates, u)
		}
		l.opened, l.at, l.next, l.gaps = true, out.position, ch.chain.end(), nil
		if l.at < ch.chain.from { // the stream goes on behind what is published: what lies between is in the log, or a gap
			l.next = 0
		}
	}
}

// endedListening tells the client that a subscription to events has ended.
func (s *session) endedListening(l *listener, err *Error) {
	s.mu.Lock()
	delete(s.listening, l.id)
	s.mu.Unlock()
	s.say(errorFrame(l.id, err))
}
