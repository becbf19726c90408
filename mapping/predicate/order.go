package predicate

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/walwire/walwire/cdc/pgvalue"
)

// Term is one column of an order.
type Term struct {
	Column    int // ordinal in Table.Columns
	Desc      bool
	NullsLast bool // NULLs stand after all others in the resulting sequence, whatever Desc is

	key bool // a column of the table's key, which is never NULL
}

// Order is a total order of a table's rows: its terms, the most significant
// first, end with the table's key, so that no two rows are equal. Immutable.
type Order []Term

// ParseOrder parses a client's orderBy: a list of columns, each "name",
// ["name"], ["name", "asc" or "desc"] or the same with "nulls-first" or
// "nulls-last" as third part. Unless asked otherwise NULL is lowest: first
// ascending, last descending. The columns of key, ordinals of columns that are
// never NULL, that are not in the list follow in the direction of the last one.
// Nothing, null and [] give the key alone. Errors are *FilterError.
func ParseOrder(raw json.RawMessage, resolve Resolve, key []int, columns []Column, limits Limits) (Order, error) {
	const root = "orderBy"
	var list []any
	if len(raw) > 0 {
		v, err := decodeJSON(root, raw)
		if err != nil {
			return nil, err
		}
		var ok bool
		if list, ok = v.([]any); !ok && v != nil {
			return nil, invalid(root, errors.New(`needs a list of columns such as [["starts_at", "desc"], "room"]`))
		}
	}
	o := make(Order, 0, len(list)+len(key))
	for i, v := range list {
		path := root + "[" + strconv.Itoa(i) + "]"
		if limits.Values > 0 && i >= limits.Values {
			return nil, tooLarge(path, "there are more than %d columns", limits.Values)
		}
		term, col, err := parseTerm(path, v, resolve)
		if err != nil {
			return nil, err
		}
		if o.has(term.Column) {
			return nil, invalid(path, fmt.Errorf("column %q is there already", col.Name))
		}
		term.key = slices.Contains(key, term.Column)
		o = append(o, term)
	}
	return o.withKey(root, key, columns)
}

// parseTerm parses one column of an orderBy.
func parseTerm(path string, v any, resolve Resolve) (Term, Column, error) {
	parts, ok := v.([]any)
	if !ok {
		parts = []any{v}
	}
	words := make([]string, 0, 3)
	for _, part := range parts {
		word, ok := part.(string)
		if !ok {
			break
		}
		words = append(words, word)
	}
	if n := len(words); n != len(parts) || n < 1 || n > 3 {
		return Term{}, Column{}, invalid(path, errors.New(`needs "column", ["column", "asc" or "desc"] or ["column", "asc" or "desc", "nulls-first" or "nulls-last"]`))
	}
	var t Term
	if len(words) > 1 {
		if t.Desc = words[1] == "desc"; !t.Desc && words[1] != "asc" {
			return t, Column{}, invalid(path, fmt.Errorf(`the direction needs to be "asc" or "desc", got %.40q`, words[1]))
		}
	}
	t.NullsLast = t.Desc
	if len(words) > 2 {
		if t.NullsLast = words[2] == "nulls-last"; !t.NullsLast && words[2] != "nulls-first" {
			return t, Column{}, invalid(path, fmt.Errorf(`the third part needs to be "nulls-first" or "nulls-last", got %.40q`, words[2]))
		}
	}
	ordinal, col, err := resolve(words[0])
	if err != nil {
		return t, col, &FilterError{Path: path, Code: FilterColumn, Err: err}
	}
	if err := col.Type.CheckOrder(); err != nil {
		return t, col, invalid(path, fmt.Errorf("column %q: %w", col.Name, err))
	}
	t.Column = ordinal
	return t, col, nil
}

// withKey appends the columns of the key that are missing.
func (o Order) withKey(root string, key []int, columns []Column) (Order, error) {
	desc := len(o) > 0 && o[len(o)-1].Desc
	for _, k := range key {
		if o.has(k) {
			continue
		}
		col := columns[k]
		// An enum as key only needs some order: that of its labels' text.
		if err := col.Type.CheckOrder(); err != nil && col.Type.Kind != pgvalue.KindEnum {
			return nil, invalid(root, fmt.Errorf("the table's key has no order: column %q: %w", col.Name, err))
		}
		o = append(o, Term{Column: k, Desc: desc, NullsLast: desc, key: true})
	}
	return o, nil
}

func (o Order) has(column int) bool {
	return slices.ContainsFunc(o, func(t Term) bool { return t.Column == column })
}

// Reverse gives the order of the same rows from the last to the first.
func (o Order) Reverse() Order {
	r := slices.Clone(o)
	for i := range r {
		r[i].Desc, r[i].NullsLast = !r[i].Desc, !r[i].NullsLast
	}
	return r
}

// Canonical gives a string that two orders of the same table share when their
// terms are the same. It is for use as a map key; it is not readable.
func (o Order) Canonical() string {
	var dst []byte
	for _, t := range o {
		dst = binary.AppendUvarint(dst, uint64(t.Column))
		flags := byte(0)
		if t.Desc {
			flags |= 1
		}
		if t.NullsLast {
			flags |= 2
		}
		dst = append(dst, flags)
	}
	return string(dst)
}

// AppendSQL appends the ORDER BY list, without these words. The columns are
// named without their table. As no key is NULL, its columns are written as an
// index has them that was made without a word on NULLs.
func (o Order) AppendSQL(dst []byte, columns []Column) []byte {
	for i, t := range o {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		col := columns[t.Column]
		dst = append(dst, ordered(QuoteIdentifier(col.Name), col.Type)...)
		dst = append(dst, t.sqlDirection()...)
	}
	return dst
}

func (t Term) sqlDirection() string {
	nullsLast := t.NullsLast
	if t.key {
		nullsLast = !t.Desc
	}
	switch {
	case t.Desc && nullsLast:
		return " DESC NULLS LAST"
	case t.Desc:
		return " DESC NULLS FIRST"
	case nullsLast:
		return " ASC NULLS LAST"
	}
	return " ASC NULLS FIRST"
}
