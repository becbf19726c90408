package cdc

import "slices"

// key picks the columns that name a row at every moment of the stream: the
// primary key, else the index that is the replica identity, else the smallest
// one. A deferrable constraint does not do: within one statement two rows can
// share a key, and changes applied in turn would then hit the wrong row.
func (r *rawRelation) key() []int {
	var best *rawIndex
	for i := range r.Indexes {
		x := &r.Indexes[i]
		if r.names(x) && (best == nil || x.better(best)) {
			best = x
		}
	}
	if best == nil {
		return nil
	}
	ordinals := make([]int, len(best.Columns))
	for i, num := range best.Columns {
		ordinals[i] = r.ordinal(num)
	}
	return ordinals
}

// names says whether the index names every row, in the table and the stream.
func (r *rawRelation) names(x *rawIndex) bool {
	if !x.Immediate || !x.Valid || x.Partial || x.Expressions {
		return false
	}
	return !slices.ContainsFunc(x.Columns, func(num int16) bool {
		i := r.ordinal(num)
		return i < 0 || !r.Columns[i].NotNull || r.Columns[i].Generated
	})
}

func (x *rawIndex) better(y *rawIndex) bool {
	switch {
	case x.Primary != y.Primary:
		return x.Primary
	case x.Identity != y.Identity:
		return x.Identity
	default:
		return len(x.Columns) < len(y.Columns) // equal: the first by name stays
	}
}

func (r *rawRelation) ordinal(num int16) int {
	return slices.IndexFunc(r.Columns, func(c rawColumn) bool { return c.Num == num })
}
