package stream

import (
	"slices"
	"sort"
	"sync/atomic"
	"time"

	"github.com/walwire/walwire/cdc"
)

// resumption is what a client that comes back says it has: its place, and the
// token of the subscription it had.
type resumption struct {
	cursor
	token string
}

// resume lets a subscription go on from where its client is, as far as the log
// tells what it missed; false: it begins anew. wait says that it will be known once
// the view has its rows.
func (c *company) resume(sub *subscription, v *view) (resumed, wait bool) {
	r := sub.resume
	if r == nil || c.served.incomplete[v.table.shape] || r.token != c.token(sub.session.principal.Load().ID, v) || !c.covers(r.cursor) {
		return false, false
	}
	if !v.follows() {
		return false, true
	}
	if read := v.read; !v.rowless && (!c.hub.confirms(read) || c.served.n != c.hub.serving().n) {
		// Its rows may be those of a catalogue that the token does not know of yet, or
		// that the company is still to be told of.
		if !v.confirming.Equal(read) { // else it comes for all who wait
			v.confirming = read
			c.hub.group.Go(func() {
				c.hub.post(func() {
					c.hub.confirm(read, func() { c.inbox.push(message{do: func() { c.confirmed(v, read) }}, 0) })
				})
			})
		}
		return false, true
	}
	c.mu.Lock()
	next, ok := v.chain.after(r.position)
	if ok {
		c.continueLocked(sub, next, nil)
	}
	c.mu.Unlock()
	if ok {
		return true, false
	}
	missed, ok := c.missedSince(v, r.position)
	if !ok {
		return false, false
	}
	c.mu.Lock()
	c.continueLocked(sub, v.chain.end(), missed)
	c.mu.Unlock()
	return true, false
}

// confirmed lets those go on who wait for a look at the catalogue after the view's rows
// were read.
func (c *company) confirmed(v *view, read time.Time) {
	if v.read.Equal(read) && v.live() {
		v.confirming = time.Time{}
		c.release(v)
	}
}

// continueLocked attaches a subscription that needs no snapshot.
func (c *company) continueLocked(sub *subscription, next uint64, missed *missed) {
	c.hub.Metrics.Resumes.Inc()
	sub.resume = nil
	sub.miss(missed)
	sub.next = next
	sub.attached, sub.resumed, sub.held = true, true, false
}

// covers reports whether the log holds what follows a cursor. That the cursor belongs
// to the log's history, the hub has found (knows): what has begun since has raised
// the floor.
func (c *company) covers(at cursor) bool { return at.position >= c.floor && at.position <= c.position }

// logAfter gives the index of the first transaction above position.
func (c *company) logAfter(position cdc.LSN) int {
	return sort.Search(len(c.recent), func(i int) bool { return c.recent[i].tx.End > position })
}

// tokenVersion changes with what a row looks like to clients.
const tokenVersion = "1"

// token binds a subscription to its user, its query with the rights it runs under,
// and the table as it is.
func (c *company) token(user string, v *view) string {
	s := v.table.shape
	name := s.catalog.TableName
	return c.hub.sealer.token(tokenVersion, c.id, user, s.mapping.Name, name.String(), s.columns[s.company].Name, c.served.marks[name], v.id)
}

// missed is what a view's clients have missed who come back from one position: most have
// been told the same. It counts as memory while somebody holds it.
type missed struct {
	from, to cdc.LSN
	entries  []*entry // one, or none
	holders  atomic.Int32
}

func (m *missed) size() (n int) {
	for _, e := range m.entries {
		n += e.size()
	}
	return n
}

// hold and letGo count holders; nil is fine.
func (m *missed) hold(in *memory) {
	if m != nil && m.holders.Add(1) == 1 {
		in.chains.Add(int64(m.size()))
	}
}

func (m *missed) letGo(in *memory) {
	if m != nil && m.holders.Add(-1) == 0 {
		in.chains.Add(-int64(m.size()))
	}
}

// miss makes a subscription hold what its client is to be told before the chain's.
// company.mu is held.
func (sub *subscription) miss(m *missed) {
	in := &sub.session.server.hub.memory
	m.hold(in)
	sub.missed.letGo(in)
	sub.missed = m
}

// miss makes a view hold what the next who comes back may have missed, too.
func (v *view) miss(m *missed) {
	in := &v.company.hub.memory
	m.hold(in)
	v.missed.letGo(in)
	v.missed = m
}

// missedSince gives what happened to a view's rows since position; false when the log
// does not tell, or where memory is short.
func (c *company) missedSince(v *view, position cdc.LSN) (*missed, bool) {
	if m := v.missed; m != nil && m.from == position && m.to == c.position {
		return m, true
	}
	ops, ok := c.missedOps(v, position)
	if !ok {
		return nil, false
	}
	m := &missed{from: position, to: c.position}
	if len(ops) > 0 {
		m.entries = []*entry{{position: c.position, time: c.time, ops: ops}}
	}
	if c.hub.memory.over(80) && m.size() > tightChain {
		return nil, false // the rows of now are held anyway
	}
	if !c.hub.memory.over(50) {
		v.miss(m)
	}
	return m, true
}

// missedOps is missedSince, made. It holds for a view that follows the stream.
func (c *company) missedOps(v *view, position cdc.LSN) ([]op, bool) {
	s := v.table.shape
	var changes []rowChange
	for i := c.logAfter(position); i < len(c.recent); i++ {
		t := &c.recent[i]
		if slices.Contains(t.reread, s) {
			return nil, false
		}
		for _, ch := range t.changes {
			if ch.binding.shape == s {
				changes = append(changes, ch)
			}
		}
	}
	if slices.ContainsFunc(changes, incomplete) {
		return nil, false
	}
	n := &c.scratch
	truncated, err := n.netAll(s, changes)
	defer func() { clear(n.pending) }()
	if err != nil || truncated || slices.ContainsFunc(n.pending, func(p pending) bool { return p.unknown }) {
		return nil, false
	}
	if v.window != nil {
		return c.missedInWindow(v)
	}
	var ops []op
	for i := range n.pending {
		o, ok, err := c.missedRow(v, &n.pending[i])
		if err != nil {
			return nil, false
		}
		if ok {
			ops = append(ops, o)
		}
	}
	return ops, true
}

// former puts the row that stood under p's key before into scratch and reports
// whether it was the view's.
func (c *company) former(v *view, p *pending) (bool, error) {
	n := &c.scratch
	n.nth++
	n.codes = n.codes[:0]
	if p.before == nil {
		return false, nil
	}
	n.formerRow = row{binding: p.before.binding, tuple: p.before.Old}
	v.table.former.Reset(&n.formerRow)
	return v.predicate.Eval(v.table.former)
}

func (c *company) missedRow(v *view, p *pending) (o op, ok bool, err error) {
	had, err := c.former(v, p)
	if err != nil {
		return o, false, err
	}
	n, has := &c.scratch, false
	if !p.gone {
		n.row = row{binding: p.change.binding, tuple: p.change.New}
		v.table.eval.Reset(&n.row)
		if has, err = v.predicate.Eval(v.table.eval); err != nil {
			return o, false, err
		}
	}
	return c.step(v, p.key, had, has)
}

// missedInWindow undoes the pending changes on the window's rows of now, which
// gives those its client was shown, and tells the difference.
func (c *company) missedInWindow(v *view) ([]op, bool) {
	w, n := v.window, &c.scratch
	changed := make(map[string]bool, len(n.pending))
	var then []keyedRow
	for i := range n.pending {
		p := &n.pending[i]
		changed[p.key] = true
		had, err := c.former(v, p)
		if err != nil {
			return nil, false
		}
		if !had {
			continue
		}
		r := keyedRow{key: p.key}
		if r.json, r.encoding.key, err = v.mask.append(nil, &n.formerRow); err == nil {
			r.place, err = v.order.placeOf(v.table.former, n.nth)
		}
		if err != nil {
			return nil, false
		}
		if w.admits(r.place) {
			then = append(then, r)
		}
	}
	for _, r := range w.rows {
		if !changed[r.key] && w.admits(r.place) {
			e, _ := r.code(v.mask)
			then = append(then, keyedRow{r.key, loadedRow{e, r.place}})
		}
	}
	if !w.complete && len(then) < w.limit {
		return nil, false // rows beyond the bound were shown, and are not known
	}
	sort.Slice(then, func(i, j int) bool { return then[i].place < then[j].place })
	before := make(map[string]loadedRow, w.limit)
	for _, r := range then[:min(len(then), w.limit)] {
		before[r.key] = r.loadedRow
	}
	return v.differenceOps(before), true
}
