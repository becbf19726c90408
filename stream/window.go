package stream

import (
	"slices"
	"sort"
)

// window is the rows of an ordered view with a limit. It holds some rows beyond
// the limit, so that one can move up when another leaves. Unless it is complete
// it knows the table's rows up to bound only: what lies beyond is not looked at, and
// when fewer than limit rows are left the view is read again (a refill).
type window struct {
	limit    int
	beyond   int // rows to hold beyond the limit
	complete bool
	bound    string // not complete: every row of the view up to here is held
	rows     []windowRow
	touched  bool // in company.windows
}

// windowRow is a row in its place.
type windowRow struct {
	place string
	*heldRow
}

func newWindow(limit int) *window { return &window{limit: limit, beyond: limit/4 + 16} }

// find gives the index of a place, or where it would be.
func (w *window) find(place string) int {
	return sort.Search(len(w.rows), func(i int) bool { return w.rows[i].place >= place })
}

// admits reports whether a row there is one that the window has to hold.
func (w *window) admits(place string) bool { return w.complete || place <= w.bound }

// short reports whether rows beyond the bound may have moved up.
func (w *window) short() bool { return !w.complete && len(w.rows) < w.limit }

// shown are the rows within the limit.
func (w *window) shown() []windowRow { return w.rows[:min(len(w.rows), w.limit)] }

// put brings the window to a row as it is now.
func (w *window) put(v *view, r *heldRow, e *newCode, place string) {
	ref := r.ref(v)
	switch {
	case !w.admits(place):
		if ref != nil {
			w.take(v, r)
		}
		return
	case ref == nil:
		w.insert(v, r, e, place)
		return
	}
	from := w.find(ref.place)
	if ref.place == place {
		if e.changed && from < w.limit {
			v.add(v.modified(r, e.json, place))
		}
		return
	}
	w.move(v, r, e, from, place)
}

// insert takes a row in; it pushes the last one out of the limit.
func (w *window) insert(v *view, r *heldRow, e *newCode, place string) {
	at := w.find(place)
	w.rows = slices.Insert(w.rows, at, windowRow{place, r})
	r.addRef(ref{view: v, place: place})
	if at < w.limit {
		v.add(v.added(r.key, e.json, place))
		w.pushedOut(v)
	} else if w.long() {
		v.touch()
	}
}

// move puts a row that is held elsewhere.
func (w *window) move(v *view, r *heldRow, e *newCode, from int, place string) {
	w.rows = slices.Delete(w.rows, from, from+1)
	at := w.find(place)
	w.rows = slices.Insert(w.rows, at, windowRow{place, r})
	was, is := from < w.limit, at < w.limit
	switch {
	case was && is:
		v.add(v.modified(r, e.json, place))
	case was:
		v.add(v.removed(r))
	case is:
		v.add(v.added(r.key, e.json, place))
	}
	r.ref(v).place = place
	switch {
	case was && !is:
		w.movedUp(v)
	case is && !was:
		w.pushedOut(v)
	}
}

// take lets a row go.
func (w *window) take(v *view, r *heldRow) {
	at := w.find(r.ref(v).place)
	if at < w.limit {
		v.add(v.removed(r))
	}
	w.rows = slices.Delete(w.rows, at, at+1)
	v.forget(r)
	if at < w.limit {
		w.movedUp(v)
	}
}

// movedUp says that the row now last within the limit was not shown before.
func (w *window) movedUp(v *view) {
	if len(w.rows) >= w.limit {
		last := w.rows[w.limit-1]
		e, _ := last.code(v.mask)
		v.add(v.added(last.key, e.json, last.place))
	}
}

// pushedOut says that the first row beyond the limit was shown before.
func (w *window) pushedOut(v *view) {
	if len(w.rows) > w.limit {
		v.add(v.removed(w.rows[w.limit].heldRow))
	}
}

// long reports whether there are more rows than it needs to hold.
func (w *window) long() bool { return len(w.rows) > w.limit+2*w.beyond }

// trim lets rows go that lie too far beyond the limit.
func (w *window) trim(v *view) {
	if !w.long() {
		return
	}
	keep := w.limit + w.beyond
	for _, r := range w.rows[keep:] {
		v.forget(r.heldRow)
	}
	clear(w.rows[keep:])
	w.rows = w.rows[:keep]
	w.complete, w.bound = false, w.rows[keep-1].place
}

// begin takes what a hand-off found.
func (w *window) begin(v *view) {
	sort.Slice(w.rows, func(i, j int) bool { return w.rows[i].place < w.rows[j].place })
	w.trim(v)
}
