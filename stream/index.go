package stream

import (
	"fmt"
	"slices"
	"unsafe"

	"github.com/walwire/walwire/mapping/predicate"
)

// index finds the views that may show a row without a look at every view. Each
// view stands at its predicate's anchors: under an equality in a map, under a
// range in an interval tree, and only where it has neither in a list that every
// change walks.
type index[T anchored] struct {
	columns []columnIndex[T] // those with an anchor
	scan    []T
}

// anchored is what an index finds.
type anchored interface {
	comparable
	anchorList() []predicate.Anchor
}

func (v *view) anchorList() []predicate.Anchor { return v.anchors }

// columnIndex holds the anchors on one column.
type columnIndex[T anchored] struct {
	column   int
	uses     int
	equal    map[string][]T
	contains map[string][]T
	ranges   intervalTree[T]
	nRanges  int
}

func (ix *index[T]) column(column int) *columnIndex[T] {
	for i := range ix.columns {
		if ix.columns[i].column == column {
			return &ix.columns[i]
		}
	}
	ix.columns = append(ix.columns, columnIndex[T]{column: column, equal: make(map[string][]T), contains: make(map[string][]T)})
	return &ix.columns[len(ix.columns)-1]
}

func (ix *index[T]) add(v T) {
	for _, a := range v.anchorList() {
		if a.Kind == predicate.AnchorScan {
			ix.scan = append(ix.scan, v)
			continue
		}
		c := ix.column(a.Column)
		c.uses++
		switch a.Kind {
		case predicate.AnchorEqual:
			c.equal[a.Key] = append(c.equal[a.Key], v)
		case predicate.AnchorContains:
			c.contains[a.Key] = append(c.contains[a.Key], v)
		case predicate.AnchorRange:
			c.nRanges++
			c.ranges.add(a.Range, v)
		}
	}
}

func (ix *index[T]) remove(v T) {
	for _, a := range v.anchorList() {
		if a.Kind == predicate.AnchorScan {
			ix.scan = removeFrom(ix.scan, v)
			continue
		}
		c := ix.column(a.Column)
		switch a.Kind {
		case predicate.AnchorEqual:
			removePosting(c.equal, a.Key, v)
		case predicate.AnchorContains:
			removePosting(c.contains, a.Key, v)
		case predicate.AnchorRange:
			c.nRanges--
			c.ranges.remove(a.Range, v)
		}
		if c.uses--; c.uses == 0 {
			ix.columns = slices.DeleteFunc(ix.columns, func(ci columnIndex[T]) bool { return ci.column == a.Column })
		}
	}
}

func removePosting[T comparable](postings map[string][]T, key string, v T) {
	if left := removeFrom(postings[key], v); len(left) > 0 {
		postings[key] = left
	} else {
		delete(postings, key)
	}
}

// candidates calls visit for every view whose anchors admit the row, possibly
// several times.
func (ix *index[T]) candidates(row *predicate.Row, visit func(T)) error {
	for i := range ix.columns {
		c := &ix.columns[i]
		if len(c.equal) > 0 || c.nRanges > 0 {
			key, null, err := row.Key(c.column)
			if err != nil {
				return fmt.Errorf("match: %w", err)
			}
			if !null {
				for _, v := range c.equal[string(key)] {
					visit(v)
				}
				// The key stays as it is for as long as stab runs.
				c.ranges.stab(unsafe.String(unsafe.SliceData(key), len(key)), visit)
			}
		}
		if len(c.contains) > 0 {
			keys, null, err := row.Elements(c.column)
			if err != nil {
				return fmt.Errorf("match: %w", err)
			}
			for j := 0; !null && j < len(keys); j++ {
				for _, v := range c.contains[string(keys[j])] {
					visit(v)
				}
			}
		}
	}
	for _, v := range ix.scan {
		visit(v)
	}
	return nil
}
