package stream

import (
	"slices"

	"github.com/walwire/walwire/mapping/predicate"
)

// search looks for the views that show one row.
type search[T anchored] struct {
	row   *predicate.Row
	found []T
	once  *once[T]
	err   error
}

func (s *search[T]) all(entries []posted[T]) {
	for i := range entries {
		s.one(&entries[i])
	}
}

// one adds the view of an anchor that admits the row, where the view shows it.
func (s *search[T]) one(e *posted[T]) {
	verdict := e.check.Of(s.row)
	if verdict == predicate.Fails || e.check.Shared() && !s.once.first(e.item) {
		return
	}
	if verdict == predicate.Undecided {
		ok, err := e.item.condition().Eval(s.row)
		if err != nil {
			s.err = err
		}
		if !ok {
			return
		}
	}
	s.found = append(s.found, e.item)
}

// once tells what is found for the first time. The views themselves are not written to:
// each would be a cache miss.
type once[T comparable] struct {
	few  []T
	many map[T]struct{} // those beyond
}

// mostFew is how many are looked through one by one.
const mostFew = 32

func (o *once[T]) reset() {
	o.few = o.few[:0]
	o.many = nil
}

func (o *once[T]) first(v T) bool {
	if slices.Contains(o.few, v) {
		return false
	}
	if len(o.few) < mostFew {
		o.few = append(o.few, v)
		return true
	}
	if _, ok := o.many[v]; ok {
		return false
	}
	if o.many == nil {
		o.many = make(map[T]struct{})
	}
	o.many[v] = struct{}{}
	return true
}
