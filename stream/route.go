package stream

import (
	"fmt"
	"slices"
	"sort"

	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/cdc/pgoutput"
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
	if int64(h.position-h.tidied) >= h.Retention.WAL/marks { // by the clock alone a quick writer would be far ahead
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
	h.marked = status.Floor
	h.position = max(h.position, status.Floor)
	for _, c := range h.companies { // joined before
		c.inbox.push(message{do: func() { c.floor, c.last = status.Floor, commit{end: status.Floor} }}, 0)
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
	h.current = nil
	h.position = max(h.position, tx.End)
	h.split(tx, h.ring.concern, h.everyone)
	for _, c := range h.touched {
		c.routing.seal(tx)
	}
	h.touched = h.touched[:0]
}

func (h *Hub) everyone(visit func(*company)) {
	h.ring.concernAll()
	for _, c := range h.companies {
		visit(c)
	}
}

// split hands each change of tx to the companies it concerns: the one of the new
// row, and the one of the old row where it is another. A change whose old
// company the WAL does not tell goes to everyone: who shows its key drops it.
func (h *Hub) split(tx *cdc.Transaction, find func(key []byte) *company, everyone func(func(*company))) {
	for i := range tx.Changes {
		c := &tx.Changes[i]
		b := h.bind(c.Relation)
		if b.shape == nil {
			continue
		}
		switch {
		case c.Op == cdc.OpUndecodable && !h.back:
			h.quarantine(b.shape, c.Err)
			continue
		case c.Op == cdc.OpUndecodable, b.keyless && (c.Op == cdc.OpUpdate || c.Op == cdc.OpDelete):
			// Only the database can tell which row, or what is left of it.
			everyone(func(co *company) { co.addReread(b.shape) })
			continue
		case b.stale:
			// Its columns are not those of now, and were not when the catalogue was
			// asked: the table has been altered twice. Only the database can tell
			// the row as it is now.
			everyone(func(co *company) { co.addReread(b.shape) })
			continue
		case c.Op == cdc.OpTruncate && len(b.shape.catalog.Leaves) > 1:
			// Of one partition or several: only the database knows which rows are left.
			everyone(func(co *company) { co.addReread(b.shape) })
			continue
		case c.Op == cdc.OpTruncate:
			everyone(func(co *company) { co.add(rowChange{Change: c, binding: b, index: i}) })
			continue
		}
		h.splitRow(rowChange{Change: c, binding: b, index: i}, find, everyone)
	}
	for _, rel := range tx.Touched {
		if b := h.bind(rel); b.shape != nil {
			everyone(func(co *company) { co.addReread(b.shape) })
		}
	}
}

func (h *Hub) splitRow(ch rowChange, find func([]byte) *company, everyone func(func(*company))) {
	c, b := ch.Change, ch.binding
	var owner *company
	if !c.New.Absent() {
		kind, key := c.New.Column(b.company)
		if kind == pgoutput.KindNull {
			h.Metrics.NullCompany.Inc()
		} else if owner = find(key); owner != nil {
			own := ch
			own.here, own.was = true, sameCompany(c, b, key)
			owner.add(own)
		}
	}
	if c.Op == cdc.OpInsert {
		return
	}
	if kind, key := oldCompany(c, b); kind != 0 {
		if kind == pgoutput.KindNull {
			return
		}
		if former := find(key); former != nil && former != owner {
			left := ch
			left.was = true
			former.add(left)
		}
		return
	}
	everyone(func(co *company) {
		if co != owner {
			co.add(ch)
		}
	})
}

// sameCompany reports whether the old row is known to be of the company key.
func sameCompany(c *cdc.Change, b *binding, key []byte) bool {
	kind, old := oldCompany(c, b)
	return kind == pgoutput.KindText && string(old) == string(key)
}

// oldCompany is the company column of the old row: its kind is 0 where the WAL
// does not say. An index identity sends the columns of its index only, the others as
// null, and nothing at all when none of those changed.
func oldCompany(c *cdc.Change, b *binding) (kind byte, key []byte) {
	switch {
	case c.OldKind == pgoutput.OldRow:
		return c.Old.Column(b.company)
	case c.OldKind == pgoutput.OldKey:
		if kind, key = c.Old.Column(b.company); kind == pgoutput.KindText {
			return kind, key
		}
	}
	return 0, nil
}

// bind finds what a relation of the stream is to the mapping. A relation that
// is new, or whose columns are not those of its table, makes the schema be read
// again: once, whatever comes of it.
func (h *Hub) bind(rel *cdc.Relation) *binding {
	if b := h.bindings[rel]; b != nil {
		return b
	}
	s := h.relations[rel.OID]
	if !h.asked[rel] && !h.back && (s == nil || bind(s, rel).stale) {
		// A partition attached, a table altered or made anew, or one that nobody
		// mapped. The stream describes a relation again after each of these.
		h.asked[rel] = true
		h.reload(fmt.Sprintf("the stream describes %s.%s anew", rel.Namespace, rel.Name))
		s = h.relations[rel.OID]
	}
	b := &binding{}
	if s != nil {
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
	c.routing = routing{touched: c.routing.touched}
	log, here, after := h.logOf(c), h.here(), h.after
	c.inbox.restart(message{do: func() {
		if log.n < c.logN { // a later one has come before it, and knows more
			return
		}
		c.takeLog(log)
		c.floor, c.after = log.floor, after
		c.reached(here)
		c.last = here.last
		c.restart()
	}})
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
	c.trim(log.floor, log.floorTime)
}

// splitFor gives what transactions mean to one company, by the shapes in force. The
// one being routed is still to come.
func (h *Hub) splitFor(c *company, txs []*cdc.Transaction) []companyTx {
	var split []companyTx
	kept, touched := c.routing, h.touched
	h.back = true
	defer func() { h.back = false }()
	for _, tx := range txs {
		if tx == h.current {
			continue
		}
		c.routing = routing{}
		h.split(tx, func(key []byte) *company {
			if string(key) == c.id {
				return c
			}
			return nil
		}, func(visit func(*company)) { visit(c) })
		c.routing.seal(tx)
		sealed, _ := c.routing.routed()
		split = append(split, sealed...)
	}
	c.routing, h.touched = kept, touched
	return split
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
