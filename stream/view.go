package stream

import (
	"sort"

	"github.com/walwire/walwire/mapping/predicate"
)

// table is what a company holds of one shape of a table.
type table struct {
	shape *shape
	rows  map[string]*heldRow // by canonical key: every row that some live view shows
	views map[string]*view    // by canonical query
	masks map[string]*mask
	index index
	// loading are the views that keep an overlay of what the stream says.
	loading map[*view]struct{}
	eval    *predicate.Row
}

func newTable(s *shape) *table {
	return &table{
		shape:   s,
		rows:    make(map[string]*heldRow),
		views:   make(map[string]*view),
		masks:   make(map[string]*mask),
		loading: make(map[*view]struct{}),
		eval:    predicate.NewRow(s.columns),
	}
}

// hold gives the row of that key, made when no view shows it yet.
func (t *table) hold(key string) *heldRow {
	r := t.rows[key]
	if r == nil {
		r = &heldRow{key: key}
		t.rows[key] = r
	}
	return r
}

// heldRow is a row as the views that show it share it.
type heldRow struct {
	key   string
	refs  []ref
	codes []code
}

// ref is a back-reference: the view and the row's place in it.
type ref struct {
	view *view
	at   int
}

// code is the row's encoding under a mask.
type code struct {
	mask *mask
	encoding
}

func (r *heldRow) code(m *mask) (encoding, bool) {
	for i := range r.codes {
		if r.codes[i].mask == m {
			return r.codes[i].encoding, true
		}
	}
	return encoding{}, false
}

// put sets the encoding under m.
func (r *heldRow) put(m *mask, e encoding) {
	for i := range r.codes {
		if r.codes[i].mask == m {
			r.codes[i].encoding = e
			return
		}
	}
	r.codes = append(r.codes, code{mask: m, encoding: e})
}

// drop forgets encodings that no remaining view needs.
func (r *heldRow) drop(m *mask) {
	for _, ref := range r.refs {
		if ref.view.mask == m {
			return
		}
	}
	for i := range r.codes {
		if r.codes[i].mask == m {
			last := len(r.codes) - 1
			r.codes[i] = r.codes[last]
			r.codes[last] = code{}
			r.codes = r.codes[:last]
			return
		}
	}
}

// view is one query with the rights it runs under, shared by all subscriptions
// for which both are the same. Owned by the company's goroutine, but for chain.
type view struct {
	company     *company
	table       *table
	id          string // canonical predicate and mask
	predicate   *predicate.Node
	mask        *mask
	anchors     []predicate.Anchor
	subscribers map[*subscription]struct{}

	rows    []*heldRow // shown; unordered
	loading *loading   // set until the first hand-off is done, and while read again
	mark    uint64     // scratch.seen when last found
	dirty   bool       // in company.dirty
	fresh   []*entry   // not yet in chain

	chain chain // guarded by company.mu
}

// live reports whether the view follows the stream.
func (v *view) live() bool { return v.loading == nil }

// show adds row to the view.
func (v *view) show(r *heldRow) {
	r.refs = append(r.refs, ref{view: v, at: len(v.rows)})
	v.rows = append(v.rows, r)
}

// hide takes r out of the view; r forgets what only this view needed.
func (v *view) hide(r *heldRow) {
	for i := range r.refs {
		if r.refs[i].view != v {
			continue
		}
		at, last := r.refs[i].at, len(v.rows)-1
		if moved := v.rows[last]; moved != r {
			v.rows[at] = moved
			moved.moveRef(v, at)
		}
		v.rows[last] = nil
		v.rows = v.rows[:last]
		r.refs[i] = r.refs[len(r.refs)-1]
		r.refs[len(r.refs)-1] = ref{}
		r.refs = r.refs[:len(r.refs)-1]
		break
	}
	r.drop(v.mask)
	if len(r.refs) == 0 {
		delete(v.table.rows, r.key)
	}
}

func (r *heldRow) moveRef(v *view, at int) {
	for i := range r.refs {
		if r.refs[i].view == v {
			r.refs[i].at = at
			return
		}
	}
}

// add puts ops of the commit at the company's position behind the chain.
func (v *view) add(o op) {
	c := v.company
	if n := len(v.fresh); n > 0 && v.fresh[n-1].position == c.position {
		v.fresh[n-1].ops = append(v.fresh[n-1].ops, o)
	} else {
		v.fresh = append(v.fresh, &entry{position: c.position, time: c.time, ops: []op{o}})
	}
	if !v.dirty {
		v.dirty = true
		c.dirty = append(c.dirty, v)
	}
	c.ops++
}

// fold leaves one op a key in the newest entry, after a TRUNCATE and what followed it.
func (v *view) fold() {
	if n := len(v.fresh); n > 0 && v.fresh[n-1].position == v.company.position {
		v.fresh[n-1].ops = foldOps(v.fresh[n-1].ops)
	}
}

// encoded gives the rows' JSON, in key order.
func (v *view) encoded() [][]byte {
	rows := append([]*heldRow(nil), v.rows...)
	sort.Slice(rows, func(i, j int) bool { return rows[i].key < rows[j].key })
	data := make([][]byte, len(rows))
	for i, r := range rows {
		e, _ := r.code(v.mask)
		data[i] = e.json
	}
	return data
}
