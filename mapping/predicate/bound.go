package predicate

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/walwire/walwire/cdc/pgvalue"
)

// Bound is one end of a part of an ordered sequence of rows.
type Bound uint8

// The bounds. StartAt and EndAt include the rows that are equal to the bound in
// all columns that it gives.
const (
	StartAt Bound = iota + 1
	StartAfter
	EndAt
	EndBefore
)

// String gives the bound as queries write it.
func (b Bound) String() string {
	switch b {
	case StartAt:
		return "startAt"
	case StartAfter:
		return "startAfter"
	case EndAt:
		return "endAt"
	case EndBefore:
		return "endBefore"
	}
	return "unknown bound"
}

// Bound gives the predicate of the rows on one side of a position. raw is a
// list of values, null among them, for the first columns of the order, at least
// one and at most all of them. Errors are *FilterError. The predicate has a NULL
// where the order has it: it is not one to Negate.
func (o Order) Bound(b Bound, raw json.RawMessage, columns []Column) (*Node, error) {
	v, err := decodeJSON(b.String(), raw)
	if err != nil {
		return nil, err
	}
	list, ok := v.([]any)
	if !ok || len(list) == 0 || len(list) > len(o) {
		return nil, invalid(b.String(), fmt.Errorf("needs a list of 1 to %d values for the columns of the order, the key included", len(o)))
	}
	position := make([]boundValue, len(list))
	for i, v := range list {
		position[i].null = v == nil
		if v == nil {
			continue
		}
		col := columns[o[i].Column]
		if position[i].param, err = col.Type.Parse(v); err != nil {
			return nil, invalid(b.String()+"["+strconv.Itoa(i)+"]", fmt.Errorf("column %q: %w", col.Name, err))
		}
	}
	if b == EndAt || b == EndBefore {
		o = o.Reverse()
	}
	return o.from(position, b == StartAt || b == EndAt), nil
}

// boundValue is one value of a position.
type boundValue struct {
	null  bool
	param pgvalue.Param
}

// from gives the rows after the position, or at it and after it. A row that is
// not before the position in the first column, nor after it, is equal there and
// decided by the others. So the first column's own range stands before all else,
// where an index can serve it.
func (o Order) from(position []boundValue, inclusive bool) *Node {
	t, v := o[0], position[0]
	if len(position) == 1 {
		return t.from(v, inclusive)
	}
	return All(t.from(v, true), Any(t.from(v, false), o[1:].from(position[1:], inclusive)))
}

// from is Order.from for one column.
func (t Term) from(v boundValue, inclusive bool) *Node {
	isNull, isNotNull := newLeaf(t.Column, IsNull, nil), newLeaf(t.Column, IsNotNull, nil)
	switch {
	case v.null && t.NullsLast && inclusive:
		return isNull
	case v.null && t.NullsLast:
		return Never()
	case v.null && inclusive:
		return Always()
	case v.null:
		return isNotNull
	}
	beyond := newLeaf(t.Column, t.operator(inclusive), []pgvalue.Param{v.param})
	if t.NullsLast && !t.key {
		return Any(beyond, isNull)
	}
	return beyond
}

func (t Term) operator(inclusive bool) Op {
	switch {
	case t.Desc && inclusive:
		return Le
	case t.Desc:
		return Lt
	case inclusive:
		return Ge
	}
	return Gt
}
