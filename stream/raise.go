package stream

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/walwire/walwire/mapping"
	"github.com/walwire/walwire/mapping/predicate"
)

// raiser turns commits into the events of channels. It is a function of the commit
// alone: the same one, run over the log, finds what a channel has missed. It belongs to the
// company's goroutine.
type raiser struct {
	company *company
	tables  map[*shape][]*eventTable
	net     scratch
	touched []*channel // by the commit at hand
	rows    uint64     // seen so far
	again   bool       // it looks through the log: what fails has been told
}

// raised is an event of the commit at hand.
type raised struct {
	index, ordinal int // of change and rule: the order
	row            uint64
	rule           *mapping.Event // nil: a gap
	data           []byte
}

func newRaiser(c *company) *raiser {
	return &raiser{company: c, tables: make(map[*shape][]*eventTable), net: scratch{at: make(map[string]int)}}
}

// commit raises the events of one commit.
func (r *raiser) commit(t *companyTx) {
	if len(r.tables) == 0 {
		return
	}
	for s, changes := range byTable(t.changes) {
		for _, et := range r.tables[s] {
			r.changes(t, et, changes)
		}
	}
	for _, s := range t.reread {
		for _, et := range r.tables[s] {
			r.lost(t, et, "the log does not hold the rows of this commit")
		}
	}
}

// lost tells all who listen to a table that they miss events of this commit.
func (r *raiser) lost(t *companyTx, et *eventTable, why string) {
	data := gap{table: et.mapping.Name, to: t.tx.End, until: t.tx.Time, because: why}.json()
	for tap := range et.taps { // of which a channel may have several
		if !slices.ContainsFunc(tap.channel.raised, func(e raised) bool { return bytes.Equal(e.data, data) }) {
			r.put(tap.channel, raised{data: data})
		}
	}
}

func (r *raiser) put(ch *channel, e raised) {
	if len(ch.raised) == 0 {
		r.touched = append(r.touched, ch)
	}
	ch.raised = append(ch.raised, e)
}

func (r *raiser) changes(t *companyTx, et *eventTable, changes []rowChange) {
	if slices.ContainsFunc(changes, incomplete) {
		r.lost(t, et, "the log does not hold all values of the rows: the table needs REPLICA IDENTITY FULL")
		return
	}
	truncated, err := r.net.netAll(et.shape, changes)
	if truncated {
		r.lost(t, et, "the table was truncated")
	}
	unknown := false
	for i := 0; err == nil && i < len(r.net.pending); i++ {
		p := &r.net.pending[i]
		if unknown = unknown || p.unknown; !p.unknown {
			err = r.change(t, et, p)
		}
	}
	clear(r.net.pending)
	switch {
	case err != nil:
		r.company.log.Error("a row can't be looked at for events", "table", et.mapping.Name, "error", err)
		r.lost(t, et, "a row can't be read by the server; its log says more")
	case unknown:
		r.lost(t, et, "the log does not hold the rows before: the table needs REPLICA IDENTITY FULL")
	}
	r.bulks(t, et)
	r.failures(et)
}

// change raises the events of what a commit leaves of one row.
func (r *raiser) change(t *companyTx, et *eventTable, p *pending) error {
	var ch mapping.EventChange
	var on mapping.EventOp
	index := 0
	if !p.gone {
		et.row = row{binding: p.change.binding, tuple: p.change.New}
		ch.Row, index = &et.row, p.change.index
	}
	if p.before != nil {
		et.old = row{binding: p.before.binding, tuple: p.before.Old}
		ch.Old = &et.old
		index = max(index, p.before.index)
	}
	switch {
	case ch.Row != nil && ch.Old == nil:
	case ch.Row != nil:
		if on = mapping.EventUpdate; !et.compare() {
			return nil
		}
		ch.Changed = et.changed
	case ch.Old != nil:
		on = mapping.EventDelete
	default:
		return nil
	}
	r.rows++
	if ch.Row != nil {
		et.eval.Reset(&et.row)
	}
	if ch.Old != nil {
		et.former.Reset(&et.old)
	}
	// Who may hear of the row comes first: rules cost more.
	matched, err := r.match(et, on)
	if err != nil || !matched || !et.fire(r, on, &ch) {
		return err
	}
	for i, taps := range et.matched {
		for _, tap := range taps {
			if err := r.deliver(t, et, tap, on, i == 1, index); err != nil {
				return err
			}
		}
	}
	return nil
}

// match finds the taps that may hear of the row at hand as it is, and as it was where
// there are rules about that; false for none.
func (r *raiser) match(et *eventTable, on mapping.EventOp) (bool, error) {
	for i, subject := range [...]*predicate.Row{et.eval, et.former} {
		et.matched[i] = et.matched[i][:0]
		if et.about[on][i] == 0 {
			continue
		}
		var err error
		if et.matched[i], err = et.index.match(subject, et.matched[i]); err != nil {
			return false, err
		}
	}
	return len(et.matched[0])+len(et.matched[1]) > 0, nil
}

// compare finds the columns that differ between old and row; false for none.
func (et *eventTable) compare() bool {
	any := false
	for i := range et.changed {
		now, null := et.row.Column(i)
		then, was := et.old.Column(i)
		et.changed[i] = null != was || !bytes.Equal(now, then)
		any = any || et.changed[i]
	}
	return any
}

// fire finds the rules that hold of a change.
func (et *eventTable) fire(r *raiser, on mapping.EventOp, ch *mapping.EventChange) bool {
	et.fired = et.fired[:0]
	for at, rule := range et.rules {
		if et.wanted[at] == 0 || rule.On != on {
			continue
		}
		holds, err := rule.Holds(ch)
		if err != nil {
			r.fail(et, at, err)
		}
		if holds {
			et.fired = append(et.fired, at)
		}
	}
	return len(et.fired) > 0
}

// fail notes a rule that can't be answered of a row: it raises no event, and the others
// go on.
func (r *raiser) fail(et *eventTable, at int, err error) {
	r.company.hub.Metrics.EventErrors.Inc()
	if et.failed[at]++; et.failed[at] > 1 || r.again {
		return
	}
	subject := &et.row
	if et.rules[at].On == mapping.EventDelete {
		subject = &et.old
	}
	key, _, _ := newMask(et.shape.columns, et.shape.key, nil, false).append(nil, subject)
	r.company.log.Error("a rule for events failed", "event", et.rules[at].Name, "table", et.mapping.Name, "key", string(key), "error", err)
}

// failures says how often each rule failed in the commit, where that was more than once.
func (r *raiser) failures(et *eventTable) {
	for at, n := range et.failed {
		if n > 1 && !r.again {
			r.company.log.Error("a rule for events failed for several rows of a commit", "event", et.rules[at].Name, "rows", n)
		}
		et.failed[at] = 0
	}
}

// deliver gives a tap what the fired rules tell of a row that it may see.
func (r *raiser) deliver(t *companyTx, et *eventTable, tap *tap, on mapping.EventOp, old bool, index int) error {
	was, known := false, false
	for _, at := range et.fired {
		l := tap.lenses[at]
		if l == nil || l.rule.OfOld != old || on == mapping.EventUpdate && !l.changes(et.changed) {
			continue
		}
		if on == mapping.EventUpdate && !old && !known {
			var err error
			if was, err = tap.access.Eval(et.former); err != nil {
				return err
			}
			known = true
		}
		m, err := l.make(t, et, r.rows, index, was, on)
		if err != nil {
			return err
		}
		if l.rule.Several > 0 {
			tap.collect(et, at, r.rows, index, m.key)
			continue
		}
		r.put(tap.channel, raised{index, l.rule.Ordinal, r.rows, l.rule, m.json})
	}
	return nil
}

// take gives a channel's events of the commit at hand, in order.
func (ch *channel) take() []op {
	slices.SortStableFunc(ch.raised, func(a, b raised) int {
		return cmp.Or(cmp.Compare(a.index, b.index), cmp.Compare(a.ordinal, b.ordinal))
	})
	ops := make([]op, len(ch.raised))
	for i := range ch.raised {
		ops[i] = op{kind: opEvent, data: ch.raised[i].data}
	}
	clear(ch.raised)
	if ch.raised = ch.raised[:0]; cap(ch.raised) > maxKeys {
		ch.raised = nil // not kept for a large commit's sake
	}
	return ops
}
