package stream

import (
	"bytes"
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"strconv"

	"github.com/walwire/walwire/cdc"
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

// eventTable is what is listened for in one table.
type eventTable struct {
	shape   *shape
	mapping *mapping.Table
	sealer  *sealer
	rules   []*mapping.Event
	wanted  []int     // of each rule: how many taps
	about   [3][2]int // by operation, of the row as it is and as it was: how many taps
	taps    map[*tap]struct{}
	index   index[*tap]
	lenses  map[string]*lens
	eval    *predicate.Row
	former  *predicate.Row
	row     row
	old     row
	changed []bool
	json    []byte    // memory used again for every row
	matched [2][]*tap // by the row at hand, as it is and as it was
	fired   []int     // of rules, by the row at hand
	failed  []int     // rows of the commit at hand whose rule failed, by rule
	bulky   []*tap
}

// tap is a channel's part in one table: the events of some rules about rows that its
// listeners may see and that stand in their rooms.
type tap struct {
	channel   *channel
	predicate *predicate.Node // access and rooms
	access    *predicate.Node
	anchors   []predicate.Anchor
	lenses    []*lens // by rule, nil: not for this tap
	mark      uint64
	bulks     []bulk // by rule, made when first needed
	bulky     bool   // in eventTable.bulky
}

func (t *tap) anchorList() []predicate.Anchor { return t.anchors }

// bulk collects the rows of an event of several.
type bulk struct {
	index int // of the first change
	rows  []uint64
	keys  [][]byte
}

// lens is what one rule tells those who may read certain columns. Shared by all taps
// that may read the same.
type lens struct {
	rule     *mapping.Event
	readable []bool
	row      *mask // the key first
	bare     bool  // the event carries the key alone
	old      *mask // nil: nothing of the row before

	made [2]made // of the row at hand: without and with the row before
}

type made struct {
	row  uint64
	json []byte
	key  []byte
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

func newEventTable(s *shape, t *mapping.Table, ids *sealer) *eventTable {
	et := &eventTable{
		shape: s, mapping: t, sealer: ids, rules: t.Events(), taps: make(map[*tap]struct{}), lenses: make(map[string]*lens),
		eval: predicate.NewRow(s.columns), former: predicate.NewRow(s.columns), changed: make([]bool, len(s.columns)),
	}
	et.wanted, et.failed = make([]int, len(et.rules)), make([]int, len(et.rules))
	return et
}

// add makes a channel hear what its taps ask for.
func (r *raiser) add(ch *channel, q *eventQuery) {
	for i := range q.taps {
		spec := &q.taps[i]
		et := r.table(spec.shape, spec.table)
		t := &tap{channel: ch, predicate: spec.predicate, access: spec.access, anchors: spec.predicate.Anchors(spec.shape.distinct), lenses: make([]*lens, len(et.rules))}
		for _, at := range spec.rules {
			t.lenses[at] = et.lens(et.rules[at], spec.columns)
			et.want(at, 1)
		}
		et.taps[t] = struct{}{}
		et.index.add(t)
		ch.taps = append(ch.taps, channelTap{et, t})
	}
}

// want counts a tap for a rule in, or out.
func (et *eventTable) want(at, n int) {
	et.wanted[at] += n
	i := 0
	if et.rules[at].OfOld {
		i = 1
	}
	et.about[et.rules[at].On][i] += n
}

func (r *raiser) table(s *shape, t *mapping.Table) *eventTable {
	for _, et := range r.tables[s] {
		if et.mapping == t {
			return et
		}
	}
	et := newEventTable(s, t, r.company.hub.sealer)
	r.tables[s] = append(r.tables[s], et)
	return et
}

func (r *raiser) remove(ch *channel) {
	for _, ct := range ch.taps {
		for at, l := range ct.tap.lenses {
			if l != nil {
				ct.table.want(at, -1)
			}
		}
		ct.table.index.remove(ct.tap)
		delete(ct.table.taps, ct.tap)
		if len(ct.table.taps) > 0 {
			continue
		}
		s := ct.table.shape
		r.tables[s] = slices.DeleteFunc(r.tables[s], func(et *eventTable) bool { return et == ct.table })
		if len(r.tables[s]) == 0 {
			delete(r.tables, s)
		}
	}
	ch.taps = nil
}

// lens gives what a rule tells who may read columns.
func (et *eventTable) lens(rule *mapping.Event, columns []int) *lens {
	id := fmt.Sprint(rule.Ordinal, columns)
	if l := et.lenses[id]; l != nil {
		return l
	}
	l := &lens{rule: rule, readable: make([]bool, len(et.shape.columns))}
	for _, i := range columns {
		l.readable[i] = true
	}
	hidden := func(i int) bool { return !l.readable[i] }
	carried := slices.DeleteFunc(slices.Clone(rule.Columns), hidden)
	l.row = newMask(et.shape.columns, et.shape.key, carried, false)
	l.bare = len(carried) == len(et.shape.key) || rule.Several > 0
	if old := slices.DeleteFunc(slices.Clone(rule.Old), hidden); len(old) > 0 {
		l.old = newMask(et.shape.columns, nil, old, false)
	}
	et.lenses[id] = l
	return l
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
		var failed error
		r.net.seen++
		err := et.index.candidates(subject, func(tap *tap) {
			if tap.mark == r.net.seen {
				return
			}
			tap.mark = r.net.seen
			switch ok, err := tap.predicate.Eval(subject); {
			case err != nil:
				failed = err
			case ok:
				et.matched[i] = append(et.matched[i], tap)
			}
		})
		if err == nil {
			err = failed
		}
		if err != nil {
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

// changes reports whether a change shows in what may be read.
func (l *lens) changes(changed []bool) bool {
	if l.rule.Changes != nil {
		return slices.ContainsFunc(l.rule.Changes, func(i int) bool { return changed[i] && l.readable[i] })
	}
	for i, is := range changed {
		if is && l.readable[i] {
			return true
		}
	}
	return false
}

// make gives the event as it is told, made once for all who may read the same. was says
// that the receiver was shown the row before.
func (l *lens) make(t *companyTx, et *eventTable, nth uint64, index int, was bool, on mapping.EventOp) (*made, error) {
	m := &l.made[0]
	if was {
		m = &l.made[1]
	}
	if m.row == nth && m.key != nil {
		return m, nil
	}
	subject := &et.row
	if l.rule.OfOld {
		subject = &et.old
	}
	full, keyEnd, err := l.row.append(et.json[:0], subject)
	et.json = full
	if err != nil {
		return nil, err
	}
	*m = made{row: nth, key: encoding{full, keyEnd}.keyJSON()}
	if l.rule.Several > 0 {
		return m, nil
	}
	buf := et.eventHead(l.rule, t, index)
	buf = append(append(buf, `,"key":`...), m.key...)
	if !l.bare {
		buf = append(append(buf, `,"row":`...), full...)
	}
	if was && l.old != nil {
		buf = append(buf, `,"old":`...)
		if buf, _, err = l.old.append(buf, &et.old); err != nil {
			return nil, err
		}
	}
	if was && on == mapping.EventUpdate {
		buf = l.appendChanged(buf, et)
	}
	m.json = append(buf, '}')
	return m, nil
}

func (l *lens) appendChanged(buf []byte, et *eventTable) []byte {
	buf = append(buf, `,"changed":[`...)
	first := true
	for i, is := range et.changed {
		if !is || !l.readable[i] {
			continue
		}
		if !first {
			buf = append(buf, ',')
		}
		first = false
		buf = appendString(buf, et.shape.columns[i].Name)
	}
	return append(buf, ']')
}

// eventHead begins an event.
func (et *eventTable) eventHead(rule *mapping.Event, t *companyTx, index int) []byte {
	buf := append(make([]byte, 0, 512), `{"event":`...)
	buf = appendString(buf, rule.Name)
	buf = et.sealer.appendEventID(append(buf, `,"id":"`...), t.tx.Commit, index, rule.Ordinal)
	buf = appendPosition(append(buf, `","position":"`...), t.tx.End)
	buf = appendTime(append(buf, `","time":"`...), t.tx.Time)
	buf = append(buf, `","table":`...)
	return appendString(buf, et.mapping.Name)
}

// appendPosition appends a position as PostgreSQL prints it.
func appendPosition(buf []byte, at cdc.LSN) []byte {
	buf = appendHex(buf, uint32(at>>32))
	return appendHex(append(buf, '/'), uint32(at))
}

func appendHex(buf []byte, n uint32) []byte {
	const digits = "0123456789ABCDEF"
	shift := max(bits.Len32(n)-1, 0) &^ 3
	for ; shift >= 0; shift -= 4 {
		buf = append(buf, digits[n>>shift&15])
	}
	return buf
}

// collect notes a row of an event of several.
func (t *tap) collect(et *eventTable, at int, row uint64, index int, key []byte) {
	if t.bulks == nil {
		t.bulks = make([]bulk, len(et.rules))
	}
	if !t.bulky {
		t.bulky, et.bulky = true, append(et.bulky, t)
	}
	b := &t.bulks[at]
	if len(b.rows) == 0 {
		b.index = index
	}
	b.rows, b.keys = append(b.rows, row), append(b.keys, key)
}

// maxKeys bounds the keys that an event of several lists.
const maxKeys = 10_000

// bulks raises the events of several rows.
func (r *raiser) bulks(t *companyTx, et *eventTable) {
	for _, tap := range et.bulky {
		for at := range tap.bulks {
			b := &tap.bulks[at]
			if rule := et.rules[at]; len(b.rows) > 0 && len(b.rows) >= rule.Several {
				r.stand(tap.channel, rule, b.rows)
				r.put(tap.channel, raised{b.index, rule.Ordinal, 0, rule, bulkJSON(rule, et, t, b)})
			}
			*b = bulk{}
		}
		tap.bulky = false
	}
	clear(et.bulky)
	et.bulky = et.bulky[:0]
}

// stand takes out the events of rows for which one of several stands.
func (r *raiser) stand(ch *channel, rule *mapping.Event, rows []uint64) {
	ch.raised = slices.DeleteFunc(ch.raised, func(e raised) bool {
		if e.rule == nil || e.row == 0 || !rule.StandsFor(e.rule) {
			return false
		}
		_, is := slices.BinarySearch(rows, e.row)
		return is
	})
	if len(ch.raised) == 0 {
		r.touched = slices.DeleteFunc(r.touched, func(other *channel) bool { return other == ch })
	}
}

func bulkJSON(rule *mapping.Event, et *eventTable, t *companyTx, b *bulk) []byte {
	buf := et.eventHead(rule, t, b.index)
	buf = strconv.AppendInt(append(buf, `,"count":`...), int64(len(b.keys)), 10)
	buf = append(buf, `,"keys":[`...)
	for i, key := range b.keys[:min(len(b.keys), maxKeys)] {
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = append(buf, key...)
	}
	buf = append(buf, ']')
	if len(b.keys) > maxKeys {
		buf = append(buf, `,"keys_cut":true`...)
	}
	return append(buf, '}')
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

// gap is what a listener is told where events may be missing.
type gap struct {
	table    string  // "": any
	from, to cdc.LSN // zero: not known
	since    int64   // commit times, zero: not known
	until    int64
	because  string
}

func (g gap) json() []byte {
	buf := []byte(`{"event":"gap"`)
	if g.table != "" {
		buf = appendString(append(buf, `,"table":`...), g.table)
	}
	if g.from != 0 {
		buf = append(appendPosition(append(buf, `,"from":"`...), g.from), '"')
	}
	if g.to != 0 {
		buf = append(appendPosition(append(buf, `,"to":"`...), g.to), '"')
	}
	if g.since != 0 {
		buf = append(appendTime(append(buf, `,"since":"`...), g.since), '"')
	}
	if g.until != 0 {
		buf = append(appendTime(append(buf, `,"until":"`...), g.until), '"')
	}
	return append(appendString(append(buf, `,"because":`...), g.because), '}')
}
