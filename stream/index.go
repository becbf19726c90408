package stream

import (
	"fmt"
	"slices"

	"github.com/walwire/walwire/mapping/predicate"
)

// index finds the views that show a row without a look at every view. Each view stands
// at its predicate's anchors: under an equality in a hash table, under a range in an
// interval tree, and only where it has neither in a list that every change walks. What
// else its predicate asks is checked there.
type index[T anchored] struct {
	columns []columnIndex[T] // those with an anchor
	scan    []posted[T]
	once    once[T]
}

// anchored is what an index finds.
type anchored interface {
	comparable
	condition() *predicate.Node
	anchorList() []predicate.Anchor // of the condition
}

func (v *view) condition() *predicate.Node     { return v.predicate }
func (v *view) anchorList() []predicate.Anchor { return v.anchors }

// columnIndex holds the anchors on one column.
type columnIndex[T anchored] struct {
	column   int
	uses     int
	equal    postings[T]
	contains postings[T]
	ranges   intervalTree[T]
}

func (ix *index[T]) column(column int) *columnIndex[T] {
	for i := range ix.columns {
		if ix.columns[i].column == column {
			return &ix.columns[i]
		}
	}
	ix.columns = append(ix.columns, columnIndex[T]{column: column})
	return &ix.columns[len(ix.columns)-1]
}

func (ix *index[T]) add(v T) {
	anchors := v.anchorList()
	checks := v.condition().Checks(anchors)
	for i := range anchors {
		a, e := &anchors[i], posted[T]{check: checks[i], item: v}
		if a.Kind == predicate.AnchorScan {
			ix.scan = append(ix.scan, e)
			continue
		}
		c := ix.column(a.Column)
		c.uses++
		switch a.Kind {
		case predicate.AnchorEqual:
			c.equal.add(a.Key, e)
		case predicate.AnchorContains:
			c.contains.add(a.Key, e)
		case predicate.AnchorRange:
			c.ranges.add(&a.Range, e)
		}
	}
}

func (ix *index[T]) remove(v T) {
	anchors := v.anchorList()
	for i := range anchors {
		a := &anchors[i]
		if a.Kind == predicate.AnchorScan {
			ix.scan = removeFrom(ix.scan, v)
			continue
		}
		c := ix.column(a.Column)
		switch a.Kind {
		case predicate.AnchorEqual:
			c.equal.remove(a.Key, v)
		case predicate.AnchorContains:
			c.contains.remove(a.Key, v)
		case predicate.AnchorRange:
			c.ranges.remove(&a.Range, v)
		}
		if c.uses--; c.uses == 0 {
			ix.columns = slices.DeleteFunc(ix.columns, func(ci columnIndex[T]) bool { return ci.column == a.Column })
		}
	}
}

// match appends the views that show the row, each once.
func (ix *index[T]) match(row *predicate.Row, found []T) ([]T, error) {
	ix.once.reset()
	s := search[T]{row: row, found: found, once: &ix.once}
	for i := range ix.columns {
		c := &ix.columns[i]
		if c.equal.used > 0 || c.ranges.root != nil {
			key, null, err := row.Key(c.column)
			if err != nil {
				return s.found, fmt.Errorf("match: %w", err)
			}
			if !null {
				s.all(c.equal.at(key))
				c.ranges.stab(key, &s)
			}
		}
		if c.contains.used > 0 {
			keys, null, err := row.Elements(c.column)
			if err != nil {
				return s.found, fmt.Errorf("match: %w", err)
			}
			for j := 0; !null && j < len(keys); j++ {
				s.all(c.contains.at(keys[j]))
			}
		}
	}
	s.all(ix.scan)
	return s.found, s.err
}
