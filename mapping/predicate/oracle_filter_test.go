package predicate_test

import (
	"fmt"
	"strings"

	"github.com/walwire/walwire/cdc/pgvalue"
	"github.com/walwire/walwire/cdc/pgvalue/pgvaluetest"
	"github.com/walwire/walwire/mapping/predicate"
)

// allOperators are those that filters can write.
func allOperators() []string {
	return []string{"==", "!=", "<", "<=", ">", ">=", "in", "not-in", "is-null", "starts-with", "array-contains", "array-contains-any"}
}

// operators are those that the type has, as filters write them.
func operators(t *pgvalue.Type) []string {
	ops := []string{"is-null"}
	if t.SupportsEquality() {
		ops = append(ops, "==", "!=", "in", "not-in")
	}
	if t.SupportsOrder() {
		ops = append(ops, "<", "<=", ">", ">=")
	}
	if t.SupportsPrefix() {
		ops = append(ops, "starts-with")
	}
	if t.SupportsContains() {
		ops = append(ops, "array-contains", "array-contains-any")
	}
	return ops
}

// leaf makes a random condition on a column.
func (o *oracle) leaf(column int, op string) []any {
	name := o.columns[column].Name
	pick := func(from []any) any { return from[o.skewed(len(from))] }
	var value any
	switch op {
	case "is-null":
		value = o.random.IntN(2) == 0
	case "in", "not-in", "array-contains-any":
		from := o.consts[column]
		if op == "array-contains-any" {
			from = o.elems[column]
		}
		list := []any{}
		for range o.random.IntN([]int{4, 16}[o.random.IntN(2)]) {
			list = append(list, pick(from))
		}
		value = list
	case "array-contains":
		value = pick(o.elems[column])
	case "starts-with":
		runes := []rune(pick(o.consts[column]).(string))
		value = string(runes[:min(len(runes), o.skewed(len(runes)+1)+o.random.IntN(2))])
	default:
		value = pick(o.consts[column])
	}
	return []any{name, op, value}
}

// tree makes a random filter.
func (o *oracle) tree(depth int) any {
	if depth == 0 || o.random.IntN(4) == 0 {
		column := o.random.IntN(len(o.columns))
		ops := operators(o.columns[column].Type)
		return o.leaf(column, ops[o.random.IntN(len(ops))])
	}
	switch o.random.IntN(5) {
	case 0:
		return map[string]any{"not": o.tree(depth - 1)}
	case 1, 2:
		return map[string]any{"and": []any{o.tree(depth - 1), o.tree(depth - 1)}}
	}
	return map[string]any{"or": []any{o.tree(depth - 1), o.tree(depth - 1)}}
}

// sql says in SQL what a filter means, not by the code under test: with NOT and
// three truth values.
func (o *oracle) sql(filter any) string {
	if c, ok := filter.([]any); ok {
		return o.leafSQL(c[0].(string), c[1].(string), c[2])
	}
	for key, v := range filter.(map[string]any) {
		if key == "not" {
			return "(NOT " + o.sql(v) + ")"
		}
		var parts []string
		for _, part := range v.([]any) {
			parts = append(parts, o.sql(part))
		}
		return "(" + strings.Join(parts, " "+key+" ") + ")"
	}
	return ""
}

func (o *oracle) leafSQL(name, op string, value any) string {
	_, col, err := o.resolve(name)
	if err != nil {
		o.t.Fatal(err)
	}
	left := predicate.QuoteIdentifier(name)
	if col.Type.Kind == pgvalue.KindArray {
		left += "::" + col.Type.Name // an array of a domain's values has no operators of its own
	}
	switch op {
	case "is-null":
		return fmt.Sprintf("((num_nulls(%s) = 1) = %v)", left, value) // IS NULL of a composite value asks for its fields
	case "==":
		return "(" + left + " = " + o.literal(col.Type, value) + ")"
	case "!=":
		return "(" + left + " <> " + o.literal(col.Type, value) + ")"
	case "in", "not-in":
		return o.setSQL(left, op, col.Type, value.([]any))
	case "starts-with":
		return fmt.Sprintf("starts_with(%s::text, %s)", left, pgvaluetest.Quote(value.(string)))
	case "array-contains":
		return o.containsSQL(left, col.Type, []any{value})
	case "array-contains-any":
		return o.containsSQL(left, col.Type, value.([]any))
	}
	if kind := col.Type.Kind; kind == pgvalue.KindText || kind == pgvalue.KindBPChar {
		left += ` COLLATE "C"`
	}
	return "(" + left + " " + op + " " + o.literal(col.Type, value) + ")"
}

// setSQL compares with each value; with none of them where there is none.
func (o *oracle) setSQL(left, op string, t *pgvalue.Type, values []any) string {
	comparison, join, empty := " = ", " OR ", "FALSE"
	if op == "not-in" {
		comparison, join, empty = " <> ", " AND ", "TRUE"
	}
	if len(values) == 0 {
		return empty
	}
	var parts []string
	for _, v := range values {
		parts = append(parts, left+comparison+o.literal(t, v))
	}
	return "(" + strings.Join(parts, join) + ")"
}

func (o *oracle) containsSQL(left string, t *pgvalue.Type, values []any) string {
	if len(values) == 0 {
		return "FALSE"
	}
	var parts []string
	for _, v := range values {
		parts = append(parts, left+" @> ARRAY["+o.literal(t.Elem, v)+"]")
	}
	return "(" + strings.Join(parts, " OR ") + ")"
}

// literal gives a constant in SQL.
func (o *oracle) literal(t *pgvalue.Type, v any) string {
	p, err := t.Parse(v)
	if err != nil {
		o.t.Fatal(err)
	}
	return pgvaluetest.Quote(p.Text) + "::" + t.Name
}
