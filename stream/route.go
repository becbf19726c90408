package stream

import (
	"fmt"
	"slices"
	"sort"

	"github.com/walwire/walwire/cdc"
)

// maxBindings bounds the memory of relations seen; each connection brings its own.
const maxBindings = 4096

// batch routes a run of the feed and tells those who wait for its position.
func (h *Hub) batch(b cdc.Batch) {
	if h.epoch.Load() == nil {
		h.begin()
	}
	for _, tx := range b.Transactions {
		h.route(tx)
	}
	if n := len(b.Transactions); n > 0 {
		h.lag.Store(b.Transactions[n-1].Sent - b.Transactions[n-1].Time)
	}
	h.position = max(h.position, b.Progress)
	h.visited.Store(uint64(h.position))
	for _, c := range h.companies {
		h.deliver(c)
	}
	h.release()
	if h.bounds().share(h.taken(), h.tidied) { // by the clock alone a quick writer would be far ahead
		select {
		case h.see <- struct{}{}:
		default:
		}
	}
}

// begin is called with the first of the stream.
func (h *Hub) begin() {
	status := h.Consumer.Status()
	epoch := fmt.Sprintf("%s/%d", status.SystemID, status.Timeline)
	h.epoch.Store(&epoch)
	h.ring.begin(status.Floor)
	h.position = max(h.position, status.Floor)
	h.marked = h.taken()
	h.marked.position = status.Floor
	n := h.logs
	for _, c := range h.companies { // joined before
		c.inbox.push(message{do: func() {
			if n >= c.logN { // else the stream has gone on behind a gap
				c.floor, c.last = status.Floor, commit{end: status.Floor}
			}
			c.mu.Lock()
			for _, ch := range c.channels {
				for l := range ch.listeners {
					l.at = max(l.at, status.Floor)
					l.session.kick()
				}
			}
			c.mu.Unlock()
		}}, 0)
	}
	h.tidy()
}

// pass goes on behind a gap: commits may be missing before it. Every view is read
// again, in snapshots that see whatever could be.
func (h *Hub) pass(tx *cdc.Transaction) {
	h.Metrics.Gaps.Inc()
	h.ring.begin(tx.End)
	h.anchored.Store(false)
	h.after = max(h.after, tx.Gap.XID)
	h.position = max(h.position, tx.End)
	for _, c := range h.companies {
		h.restart(c)
	}
}

// route sorts a transaction's changes by company.
func (h *Hub) route(tx *cdc.Transaction) {
	if tx.Gap != nil {
		h.pass(tx)
		return
	}
	h.Metrics.Transactions.Inc()
	h.Metrics.Changes.Add(float64(len(tx.Changes)))
	if len(tx.Changes) == 0 && !tx.Oversize {
		if h.ring.names(&h.Retention, tx) {
			h.ring.append(tx) // for cursors to name
		}
		h.position = max(h.position, tx.End)
		return
	}
	h.unseen = append(h.unseen, tx)
	h.ring.append(tx)
	h.pending.Store(int64(len(h.unseen)))
	// Shapes are brought up to date first: what follows is read by them.
	h.current = tx
	for i := range tx.Changes {
		h.bind(tx.Changes[i].Relation)
	}
	for _, rel := range tx.Touched {
		h.bind(rel)
	}
	h.split(tx, h.concern, h.everyone)
	for _, c := range h.touched {
		c.routing.seal(tx)
	}
	h.touched = h.touched[:0]
	h.current = nil
	h.position = max(h.position, tx.End)
}

// index notes anew which companies the log's transactions concern: what was routed
// while a table was not served, or was another one, was noted of nobody. The one being
// routed is still to come.
func (h *Hub) index() {
	r := &h.ring
	r.everyone = nil
	for _, s := range r.scopes {
		s.txs = nil
	}
	h.back = true
	defer func() { h.back = false }()
	for i, tx := range r.txs {
		if tx == h.current {
			continue
		}
		n := r.first + uint64(i)
		h.split(tx, func(key []byte) *company {
			r.concern(key, n)
			return nil
		}, func(func(*company)) { r.concernAll(n) })
	}
}

func (h *Hub) concern(key []byte) *company { return h.ring.concern(key, h.ring.newest()) }

func (h *Hub) everyone(visit func(*company)) {
	h.ring.concernAll(h.ring.newest())
	for _, c := range h.companies {
		visit(c)
	}
}

// bind finds what a relation of the stream is to the mapping. A relation that
// is new, or whose columns are not those of its table, makes the schema be read
// again: once, whatever comes of it.
func (h *Hub) bind(rel *cdc.Relation) {
	if b := h.bindings[rel]; b != nil {
		return
	}
	if s := h.relations[rel.OID]; !h.asked[rel] && (s == nil || bind(s, rel).stale) {
		// A partition attached, a table altered or made anew, or one that nobody
		// mapped. The stream describes a relation again after each of these.
		h.asked[rel] = true
		h.reload(fmt.Sprintf("the stream describes %s.%s anew", rel.Namespace, rel.Name))
	}
	h.bound(rel)
}

// bound is what a relation is to the mapping in force.
func (h *Hub) bound(rel *cdc.Relation) *binding {
	if b := h.bindings[rel]; b != nil {
		return b
	}
	b := &binding{}
	if s := h.relations[rel.OID]; s != nil {
		b = bind(s, rel)
	}
	if len(h.bindings)+len(h.asked) > maxBindings { // of connections long gone
		clear(h.bindings)
		clear(h.asked)
	}
	h.bindings[rel] = b
	return b
}

// deliver moves what was routed to c into its inbox. A company that can't keep up
// is read again instead; nobody else notices.
func (h *Hub) deliver(c *company) {
	txs, bytes := c.routing.routed()
	if len(txs) == 0 {
		return
	}
	if c.inbox.push(message{txs: txs}, bytes) > h.InboxBytes {
		h.Metrics.Overflows.Inc()
		h.Log.Warn("a company's changes exceed its inbox: its live queries are read again", "company", c.id, "limit", h.InboxBytes)
		h.restart(c)
	}
}

// restart makes a company let go of what waits for it and read every view again.
func (h *Hub) restart(c *company) {
	c.routing.routed() // what is being routed comes behind
	log, here, after, served := h.logOf(c), h.here(), h.after, h.tables()
	begin := func() {
		if log.n < c.logN { // a later one has come before it, and knows more
			return
		}
		c.takeLog(log)
		c.floor, c.after = log.floor, after
		c.reached(here)
		c.last = here.last
		c.restart()
	}
	// What waited is done by the tables that the log is split by.
	adopt := func() {
		if log.n >= c.logN {
			c.adopt(served, nil)
		}
	}
	c.inbox.restart(message{do: begin}, message{do: adopt})
}

// companyLog is what the ring holds of a company, as its own, and the commits that a
// snapshot of then may not see.
type companyLog struct {
	n              uint64 // later ones have higher numbers
	floor          cdc.LSN
	floorTime      int64 // of the last commit that the log let go of, 0: not known
	recent, unseen []companyTx
}

func (h *Hub) logOf(c *company) companyLog {
	h.logs++
	log := h.splitFor(c, h.ring.of(c.id))
	if len(h.unseen) == 0 {
		return companyLog{h.logs, h.ring.floor, h.ring.before.time, log, nil}
	}
	older := 0 // than the ring
	for older < len(h.unseen) && h.unseen[older].End <= h.ring.floor {
		older++
	}
	unseen := h.splitFor(c, h.unseen[:older])
	oldest := h.unseen[0].Commit
	i := sort.Search(len(log), func(i int) bool { return log[i].tx.Commit >= oldest })
	return companyLog{h.logs, h.ring.floor, h.ring.before.time, log, append(unseen, log[i:]...)}
}

// takeLog replaces the company's log, unless it has a later one: that of a restart
// comes before what waited.
func (c *company) takeLog(log companyLog) {
	if log.n < c.logN {
		return
	}
	c.logN, c.recent, c.unseen = log.n, log.recent, log.unseen
	c.forgetMissed()
	c.trim(log.floor, log.floorTime)
}

// routing is what the hub has sorted to a company and not yet delivered. It
// belongs to the hub's goroutine.
type routing struct {
	touched bool        // in Hub.touched
	changes []rowChange // of the transaction being routed
	reread  []*shape
	txs     []companyTx
	bytes   int
}

func (c *company) add(change rowChange) {
	c.touch()
	c.routing.changes = append(c.routing.changes, change)
}

func (c *company) addReread(s *shape) {
	c.touch()
	if !slices.Contains(c.routing.reread, s) {
		c.routing.reread = append(c.routing.reread, s)
	}
}

func (c *company) touch() {
	if !c.routing.touched {
		c.routing.touched = true
		c.hub.touched = append(c.hub.touched, c)
	}
}

// seal ends the transaction being routed.
func (r *routing) seal(tx *cdc.Transaction) {
	r.touched = false
	if len(r.changes) == 0 && len(r.reread) == 0 {
		return
	}
	n := len(r.changes)
	r.txs = append(r.txs, companyTx{tx: tx, changes: r.changes[:n:n], reread: r.reread})
	r.changes, r.reread = r.changes[n:], nil
	r.bytes += tx.Bytes * n / max(len(tx.Changes), 1)
}

// routed takes the sealed transactions.
func (r *routing) routed() ([]companyTx, int) {
	txs, bytes := r.txs, r.bytes
	r.txs, r.bytes = nil, 0
	return txs, bytes
}
