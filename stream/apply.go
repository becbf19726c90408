package stream

import (
	"iter"
	"slices"

	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/cdc/pgoutput"
)

// pending is what a transaction leaves of one key: its last row, or nothing.
type pending struct {
	key    string
	change *rowChange
	gone   bool
	// before is the change whose old row stood under the key before the
	// transaction; nil: none of the company's did.
	before *rowChange
	// unknown is set where the WAL does not carry that row.
	unknown bool
}

// apply brings the company to the commit of t. The changes are netted by key
// first, so that a row moved between partitions, or a key that changed hands,
// comes out as what it is at the commit.
func (c *company) apply(t *companyTx) {
	c.position, c.time = t.tx.End, t.tx.Time
	c.unseen = append(c.unseen, *t)
	c.recent = append(c.recent, *t)
	c.last = commitOf(t.tx)
	for s, changes := range byTable(t.changes) {
		if tb := c.tables[s]; tb != nil && len(tb.views) > 0 {
			c.applyTable(t, tb, changes)
		}
	}
	for _, s := range t.reread {
		if tb := c.tables[s]; tb != nil {
			c.rereadAll(tb, t.tx.XID)
		}
	}
	c.settleWindows()
	c.raise(t)
}

// settleWindows ends a commit for the windows it touched: a row that left and came
// back has not changed, and a window that has run short is read again.
func (c *company) settleWindows() {
	for _, v := range c.windows {
		v.window.touched = false
		v.fold()
		v.window.trim(v)
		if v.live() && v.window.short() {
			c.hub.Metrics.Refills.Inc()
			c.reread(v)
		}
	}
	clear(c.windows)
	c.windows = c.windows[:0]
}

// byTable yields the changes of each table, in WAL order. A table's changes are
// netted over the whole transaction, wherever in it they stand.
func byTable(changes []rowChange) iter.Seq2[*shape, []rowChange] {
	return func(yield func(*shape, []rowChange) bool) {
		if len(changes) == 0 {
			return
		}
		first := changes[0].binding.shape
		if !slices.ContainsFunc(changes, func(ch rowChange) bool { return ch.binding.shape != first }) {
			yield(first, changes)
			return
		}
		var order []*shape
		tables := make(map[*shape][]rowChange)
		for _, ch := range changes {
			s := ch.binding.shape
			if tables[s] == nil {
				order = append(order, s)
			}
			tables[s] = append(tables[s], ch)
		}
		for _, s := range order {
			if !yield(s, tables[s]) {
				return
			}
		}
	}
}

func (c *company) applyTable(t *companyTx, tb *table, changes []rowChange) {
	if slices.ContainsFunc(changes, incomplete) {
		c.rereadAll(tb, t.tx.XID)
		return
	}
	n := &c.scratch
	truncated, err := n.netAll(tb.shape, changes)
	if truncated {
		c.truncate(t.tx.XID, tb)
	}
	unknown := false
	for i := 0; err == nil && i < len(n.pending); i++ {
		err = c.settle(t.tx.XID, tb, &n.pending[i])
		unknown = unknown || n.pending[i].unknown
	}
	if truncated {
		for _, v := range tb.views {
			v.fold()
		}
	}
	if truncated || unknown {
		c.rereadRowless(tb, t.tx.XID)
	}
	if err != nil {
		c.fail(tb, err)
	}
	clear(n.pending)
}

func incomplete(ch rowChange) bool { return ch.Incomplete }

// netAll leaves in pending what the changes come to, key by key. What stood before
// a TRUNCATE is gone.
func (n *scratch) netAll(s *shape, changes []rowChange) (truncated bool, err error) {
	n.pending = n.pending[:0]
	clear(n.at)
	for i := range changes {
		if changes[i].Op == cdc.OpTruncate {
			truncated = true
			n.pending = n.pending[:0]
			clear(n.at)
			continue
		}
		if err := n.net(&changes[i], s); err != nil {
			return truncated, err
		}
	}
	return truncated, nil
}

// net notes what a change leaves of the keys it names.
func (n *scratch) net(ch *rowChange, s *shape) error {
	var newKey string
	if !ch.New.Absent() {
		key, err := n.keyOf(s, row{binding: ch.binding, tuple: ch.New})
		if err != nil {
			return err
		}
		newKey = key
	}
	before := ch // of newKey
	switch {
	case ch.Op == cdc.OpInsert:
		before = nil
	case ch.Op == cdc.OpDelete || !ch.Old.Absent():
		oldKey, err := n.keyOf(s, row{binding: ch.binding, tuple: ch.Old})
		if err != nil {
			return err
		}
		if ch.Op == cdc.OpDelete || oldKey != newKey {
			n.set(pending{key: oldKey, gone: true}, ch)
			before = nil
		}
	}
	if ch.Op != cdc.OpDelete {
		n.set(pending{key: newKey, change: ch, gone: !ch.here}, before)
	}
	return nil
}

func (n *scratch) keyOf(s *shape, r row) (string, error) {
	n.row = r
	key, err := s.appendKey(n.key[:0], &n.row)
	n.key = key
	return string(key), err
}

// set notes what is left of a key; before is the change that found it as it was,
// nil where there was nothing.
func (n *scratch) set(p pending, before *rowChange) {
	if i, ok := n.at[p.key]; ok {
		p.before, p.unknown = n.pending[i].before, n.pending[i].unknown
		n.pending[i] = p
		return
	}
	switch {
	case before == nil:
	case before.OldKind != pgoutput.OldRow:
		p.unknown = true
	case before.was:
		p.before = before
	}
	n.at[p.key] = len(n.pending)
	n.pending = append(n.pending, p)
}

// settle brings every view to what transaction xid leaves of one key.
func (c *company) settle(xid uint32, tb *table, p *pending) error {
	n := &c.scratch
	n.matched = n.matched[:0]
	n.nth++
	if !p.gone {
		n.row = row{binding: p.change.binding, tuple: p.change.New}
		tb.eval.Reset(&n.row)
		var err error
		if n.matched, err = tb.index.match(tb.eval, n.matched); err != nil {
			return err
		}
	}
	n.seen++
	for _, v := range n.matched {
		v.mark = n.seen
	}
	held := tb.rows[p.key]
	if held != nil {
		c.hideFrom(held)
	}
	n.codes = n.codes[:0]
	if len(n.matched) > 0 {
		if err := c.showIn(tb, p.key, held); err != nil {
			return err
		}
	}
	if tb.rowless > 0 {
		if err := c.settleRowless(tb, p); err != nil {
			return err
		}
	}
	for v := range tb.loading {
		if err := c.overlay(xid, v, p.key); err != nil {
			return err
		}
	}
	return nil
}

// hideFrom takes a row out of the live views that no longer match.
func (c *company) hideFrom(r *heldRow) {
	for i := len(r.refs) - 1; i >= 0; i-- {
		if v := r.refs[i].view; v.mark != c.scratch.seen {
			v.take(r)
		}
	}
}

// showIn puts the row into the matched live views, encoded once per mask.
func (c *company) showIn(tb *table, key string, held *heldRow) error {
	if held == nil || len(held.refs) == 0 { // the last view has just let go of it
		held = &heldRow{key: key}
	}
	for _, v := range c.scratch.matched {
		if !v.live() {
			continue
		}
		e, err := c.encode(v.mask, held)
		if err != nil {
			return err
		}
		place, err := v.order.placeOf(tb.eval, c.scratch.nth)
		if err != nil {
			return err
		}
		v.put(held, e, place)
	}
	if len(held.refs) == 0 { // beyond every window
		return nil
	}
	tb.rows[key] = held // taken out where one view let go before another took it
	for i := range c.scratch.codes {
		if code := &c.scratch.codes[i]; held.needs(code.mask) {
			c.count(held.put(code.mask, code.encoding))
		}
	}
	return nil
}

// newCode is an encoding of the row being settled; changed says that the held
// one differs.
type newCode struct {
	code
	changed bool
}

// encode gives the row being settled under m, made once. A row that looks as
// before keeps its old bytes.
func (c *company) encode(m *mask, held *heldRow) (*newCode, error) {
	n := &c.scratch
	for i := range n.codes {
		if n.codes[i].mask == m {
			return &n.codes[i], nil
		}
	}
	buf, keyEnd, err := m.append(n.json[:0], &n.row)
	n.json = buf
	if err != nil {
		return nil, err
	}
	made := newCode{code: code{mask: m, encoding: encoding{key: keyEnd}}, changed: true}
	if held != nil {
		if before, ok := held.code(m); ok && string(before.json) == string(buf) {
			made.encoding, made.changed = before, false
		}
	}
	if made.changed {
		made.json = append(make([]byte, 0, len(buf)), buf...)
	}
	n.codes = append(n.codes, made)
	return &n.codes[len(n.codes)-1], nil
}

// truncate empties every view of the table.
func (c *company) truncate(xid uint32, tb *table) {
	for _, v := range tb.views {
		for _, r := range v.shown() {
			v.add(v.removed(r.heldRow))
		}
		v.clear()
		if v.window != nil {
			v.window.complete = true
		}
		if l := v.loading; l != nil {
			l.truncate(xid)
		}
	}
}

// fail ends what a table serves here: a row of it can't be matched or encoded.
func (c *company) fail(tb *table, err error) {
	c.log.Error("a row can't be served; its live queries end", "table", tb.shape.mapping.Name, "error", err)
	for _, v := range tb.views {
		c.end(v, unreadable(tb.shape))
	}
}

func unreadable(s *shape) *Error {
	return errorf(CodeInternal, "a row of table %s can't be read by the server; its log says more", s.mapping.Name)
}
