package stream

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/walwire/walwire/mapping/predicate"
)

// table is what a company holds of one shape of a table.
type table struct {
	shape *shape
	rows  map[string]*heldRow // by canonical key: every row that some live view shows
	views map[string]*view    // by canonical query
	masks map[string]*mask
	asked map[string]*mask // by what queries ask for, whatever its order
	// orderings are by their canonical form.
	orderings map[string]*ordering
	index     index[*view]
	// loading are the views that keep an overlay of what the stream says.
	loading map[*view]struct{}
	// rowless counts the views that hold no rows.
	rowless int
	eval    *predicate.Row // of a row as it is
	former  *predicate.Row // of a row as it was
}

func newTable(s *shape) *table {
	return &table{
		shape:   s,
		rows:    make(map[string]*heldRow),
		views:   make(map[string]*view),
		masks:   make(map[string]*mask),
		asked:   make(map[string]*mask),
		loading: make(map[*view]struct{}),
		eval:    predicate.NewRow(s.columns),
		former:  predicate.NewRow(s.columns),

		orderings: make(map[string]*ordering),
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
	at    map[*view]int // places in refs, where these are many
	codes []code
}

// manyRefs is from how many on a row's references are found by a map.
const manyRefs = 32

// ref is a back-reference: the view, the row's index in it where it has no
// window, and its place where it has an order.
type ref struct {
	view  *view
	at    int
	place string
}

// ref gives the row's reference to v, nil where v does not hold it.
func (r *heldRow) ref(v *view) *ref {
	if i := r.find(v); i >= 0 {
		return &r.refs[i]
	}
	return nil
}

func (r *heldRow) find(v *view) int {
	if r.at != nil {
		if i, ok := r.at[v]; ok {
			return i
		}
		return -1
	}
	return slices.IndexFunc(r.refs, func(x ref) bool { return x.view == v })
}

func (r *heldRow) addRef(x ref) {
	r.refs = append(r.refs, x)
	switch {
	case r.at != nil:
		r.at[x.view] = len(r.refs) - 1
	case len(r.refs) > manyRefs:
		r.at = make(map[*view]int, 2*manyRefs)
		for i := range r.refs {
			r.at[r.refs[i].view] = i
		}
	}
}

func (r *heldRow) dropRef(v *view) {
	i, last := r.find(v), len(r.refs)-1
	if i < 0 {
		return
	}
	r.refs[i] = r.refs[last]
	r.refs[last] = ref{}
	r.refs = r.refs[:last]
	switch {
	case r.at == nil:
	case last <= manyRefs/2:
		r.at = nil
	default:
		if i < last {
			r.at[r.refs[i].view] = i
		}
		delete(r.at, v)
	}
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

// put sets the encoding under m and gives by how many octets the row has grown.
func (r *heldRow) put(m *mask, e encoding) (grown int) {
	for i := range r.codes {
		if r.codes[i].mask == m {
			grown = e.size() - r.codes[i].size()
			r.codes[i].encoding = e
			return grown
		}
	}
	r.codes = append(r.codes, code{mask: m, encoding: e})
	return e.size()
}

// needs reports whether a view that holds the row shows it under m.
func (r *heldRow) needs(m *mask) bool {
	for i := range r.refs {
		if r.refs[i].view.mask == m {
			return true
		}
	}
	return false
}

// drop forgets the encoding where no remaining view needs it, and gives by how many
// octets the row has shrunk.
func (r *heldRow) drop(m *mask) (shrunk int) {
	if r.needs(m) {
		return 0
	}
	for i := range r.codes {
		if r.codes[i].mask == m {
			shrunk = r.codes[i].size()
			last := len(r.codes) - 1
			r.codes[i] = r.codes[last]
			r.codes[last] = code{}
			r.codes = r.codes[:last]
			break
		}
	}
	return shrunk
}

// view is one query with the rights it runs under, shared by all subscriptions
// for which both are the same. Owned by the company's goroutine, but for chain.
type view struct {
	company     *company
	table       *table
	id          string // canonical predicate and mask
	predicate   *predicate.Node
	columns     []int // of the query that it was made for
	mask        *mask
	anchors     []predicate.Anchor
	subscribers map[*subscription]struct{}

	order  *ordering  // nil: none
	window *window    // nil: every row is shown
	rows   []*heldRow // without a window; unordered
	// rowless is set while the view's rows are not known: it was resumed, and follows
	// the stream by old rows and new ones, without a SELECT.
	rowless bool
	read    time.Time // when its rows had been read
	// confirming is read while a look at the catalogue after it is awaited.
	confirming time.Time
	loading    *loading // set until the first hand-off is done, and while read again
	mark       uint64   // scratch.seen when last found
	was        uint64   // scratch.seen when last found by a row as it was
	missed     *missed  // what the last who came back had missed; nil: nobody has
	dirty      bool     // in company.dirty
	fresh      []*entry // not yet in chain

	chain chain // guarded by company.mu
}

// live reports whether the view follows the stream with its rows.
func (v *view) live() bool { return v.loading == nil && !v.rowless }

// follows reports whether what the view's subscribers are told is up to date.
func (v *view) follows() bool { return v.loading == nil || v.rowless }

// put brings the view to a row as it is now.
func (v *view) put(r *heldRow, e *newCode, place string) {
	if v.window != nil {
		v.window.put(v, r, e, place)
		return
	}
	switch ref := r.ref(v); {
	case ref == nil:
		v.show(r, place)
		v.add(v.added(r.key, e.json, place))
	case e.changed || ref.place != place:
		v.add(v.modified(r, e.json, place))
		ref.place = place
	}
}

// take lets a row go that is no longer the view's.
func (v *view) take(r *heldRow) {
	if v.window != nil {
		v.window.take(v, r)
		return
	}
	v.add(v.removed(r))
	v.hide(r)
}

// added, modified and removed are what is said of a row. r is as it was.
func (v *view) added(key string, data []byte, place string) op {
	return op{kind: opAdded, key: key, data: data, order: v.order.wire(place)}
}

func (v *view) modified(r *heldRow, data []byte, place string) op {
	o := op{kind: opModified, key: r.key, data: data, order: v.order.wire(place)}
	v.remember(&o, r)
	return o
}

func (v *view) removed(r *heldRow) op {
	e, _ := r.code(v.mask)
	o := op{kind: opRemoved, key: r.key, data: e.keyJSON()}
	v.remember(&o, r)
	return o
}

// remember notes what a client of a window was shown: rows leave it and come
// back within one commit.
func (v *view) remember(o *op, r *heldRow) {
	if v.window != nil {
		e, _ := r.code(v.mask)
		o.was, o.wasOrder = e.json, v.order.wire(r.ref(v).place)
	}
}

// grow makes room for so many rows more.
func (v *view) grow(n int) {
	if w := v.window; w != nil {
		w.rows = slices.Grow(w.rows, n)
		return
	}
	v.rows = slices.Grow(v.rows, n)
}

// show adds row to the view.
func (v *view) show(r *heldRow, place string) {
	if v.window != nil { // in order once window.begin is called
		r.addRef(ref{view: v, place: place})
		v.window.rows = append(v.window.rows, windowRow{place, r})
		return
	}
	r.addRef(ref{view: v, at: len(v.rows), place: place})
	v.rows = append(v.rows, r)
}

// hide takes r out of a view without a window.
func (v *view) hide(r *heldRow) {
	at, last := r.ref(v).at, len(v.rows)-1
	if moved := v.rows[last]; moved != r {
		v.rows[at] = moved
		moved.ref(v).at = at
	}
	v.rows[last] = nil
	v.rows = v.rows[:last]
	v.forget(r)
}

// forget takes the view out of r's references; r lets go of what only this view
// needed.
func (v *view) forget(r *heldRow) {
	r.dropRef(v)
	v.company.count(-r.drop(v.mask))
	if len(r.refs) == 0 {
		delete(v.table.rows, r.key)
	}
}

// clear takes all rows out.
func (v *view) clear() {
	for len(v.rows) > 0 {
		v.hide(v.rows[len(v.rows)-1])
	}
	if w := v.window; w != nil {
		for _, r := range w.rows {
			v.forget(r.heldRow)
		}
		clear(w.rows)
		w.rows = w.rows[:0]
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
	if v.window != nil {
		v.touch()
	}
	c.ops++
}

// touch has the window looked at when the commit is settled.
func (v *view) touch() {
	if w := v.window; !w.touched {
		w.touched = true
		v.company.windows = append(v.company.windows, v)
	}
}

// fold leaves one op a key in the newest entry.
func (v *view) fold() {
	n := len(v.fresh)
	if n == 0 || v.fresh[n-1].position != v.company.position {
		return
	}
	e := v.fresh[n-1]
	if e.ops = foldOps(e.ops); len(e.ops) == 0 {
		v.fresh[n-1] = nil
		v.fresh = v.fresh[:n-1]
	}
}

// shown gives the rows that subscribers are shown: by their place where the view
// has an order, else by key.
func (v *view) shown() []windowRow {
	if v.window != nil {
		return v.window.shown()
	}
	rows := make([]windowRow, len(v.rows))
	for i, r := range v.rows {
		rows[i] = windowRow{r.ref(v).place, r}
	}
	slices.SortFunc(rows, func(a, b windowRow) int {
		return cmp.Or(strings.Compare(a.place, b.place), strings.Compare(a.key, b.key))
	})
	return rows
}

// encoded gives the rows as a snapshot carries them, and their order keys where
// the view has an order.
func (v *view) encoded() (data [][]byte, order []string) {
	rows := v.shown()
	if v.order != nil && v.order.last {
		rows = slices.Clone(rows)
		slices.Reverse(rows)
	}
	data = make([][]byte, len(rows))
	for i, r := range rows {
		e, _ := r.code(v.mask)
		data[i] = e.json
		if v.order != nil {
			order = append(order, v.order.wire(r.place))
		}
	}
	return data, order
}
