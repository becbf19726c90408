package stream

import (
	"fmt"
	"slices"

	"github.com/walwire/walwire/mapping"
	"github.com/walwire/walwire/mapping/predicate"
)

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
	bulks     []bulk  // by rule, made when first needed
	bulky     bool    // in eventTable.bulky
}

func (t *tap) condition() *predicate.Node     { return t.predicate }
func (t *tap) anchorList() []predicate.Anchor { return t.anchors }

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
