package stream

import (
	"encoding/binary"
	"strconv"
)

// viewOf gives the view for a query, made when it is the first.
func (c *company) viewOf(q *query) *view {
	t := c.tables[q.shape]
	if t == nil {
		t = newTable(q.shape)
		c.tables[q.shape] = t
	}
	m := t.mask(q)
	order := t.ordering(q)
	id := q.predicate.Canonical() + "\x00" + m.id
	if order != nil {
		id += "\x00" + order.id + "\x00" + strconv.Itoa(q.limit)
		q.order = order.Order
	}
	if v := t.views[id]; v != nil {
		q.predicate, q.columns = v.predicate, v.columns // the same: one is enough
		return v
	}
	v := &view{
		company: c, table: t, id: id, predicate: q.predicate, columns: q.columns, mask: m, order: order,
		anchors:     q.predicate.Anchors(q.shape.distinct),
		subscribers: make(map[*subscription]struct{}),
	}
	if q.limit > 0 {
		v.window = newWindow(q.limit)
	}
	t.views[id] = v
	t.index.add(v)
	c.hub.Metrics.Views.Inc()
	return v
}

// mask gives what a query shows of a row, as views share it.
func (t *table) mask(q *query) *mask {
	var memory [64]byte
	asked := memory[:0]
	for _, c := range q.columns {
		asked = binary.AppendUvarint(asked, uint64(c)+1)
	}
	if q.verbatim {
		asked = append(asked, 0)
	}
	if m := t.asked[string(asked)]; m != nil {
		return m
	}
	m := newMask(q.shape.columns, q.shape.key, q.columns, q.verbatim)
	if known := t.masks[m.id]; known != nil {
		m = known
	} else {
		t.masks[m.id] = m
	}
	if len(t.asked) < maxAsked { // clients may ask in any order
		t.asked[string(asked)] = m
	}
	return m
}

const (
	maxAsked = 100
	// spare bounds the masks and orderings that are kept for views to come.
	spare = 200
)

// tidy forgets the masks and orderings of views that are gone, once they are many.
func (t *table) tidy() {
	if len(t.masks)+len(t.orderings) <= 2*len(t.views)+spare {
		return
	}
	clear(t.masks)
	clear(t.asked)
	clear(t.orderings)
	for _, v := range t.views {
		t.masks[v.mask.id] = v.mask
		if v.order != nil {
			t.orderings[v.order.id] = v.order
		}
	}
}

// ordering gives the order of a query as views share it, nil without one.
func (t *table) ordering(q *query) *ordering {
	if q.order == nil {
		return nil
	}
	id := q.order.Canonical()
	if q.last {
		id += "last"
	}
	o := t.orderings[id]
	if o == nil {
		o = &ordering{Order: q.order, id: id, last: q.last}
		t.orderings[id] = o
	}
	return o
}
