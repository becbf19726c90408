package predicate_test

import "github.com/walwire/walwire/cdc/pgvalue"

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
	pick := func(from []any) any { return from[o.random.IntN(len(from))] }
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
		for range o.random.IntN(16) {
			list = append(list, pick(from))
		}
		value = list
	case "array-contains":
		value = pick(o.elems[column])
	case "starts-with":
		runes := []rune(pick(o.consts[column]).(string))
		value = string(runes[:o.random.IntN(len(runes)+1)])
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
