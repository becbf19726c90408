package predicate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/walwire/walwire/cdc/pgvalue"
)

// Always is the predicate of every row.
func Always() *Node { return &Node{Kind: True} }

// Never is the predicate of no row.
func Never() *Node { return &Node{Kind: False} }

// Compare builds the leaf "column op values" and checks that the column's type
// has the operator and that the values are of the type. ordinal is the column's
// place in Table.Columns. Of values, In, NotIn and the ArrayContainsAny pair take
// any number, IsNull and IsNotNull none, the others one. == null and != null are
// the null tests; elsewhere null is an error. In nothing is never, NotIn nothing
// always true.
func Compare(ordinal int, col Column, op Op, values ...any) (*Node, error) {
	if len(values) == 1 && values[0] == nil && (op == Eq || op == Ne) {
		if op == Eq {
			op = IsNull
		} else {
			op = IsNotNull
		}
		values = nil
	}
	if err := checkCompare(col.Type, op, len(values)); err != nil {
		return nil, fmt.Errorf("column %q: %w", col.Name, err)
	}
	params := make([]pgvalue.Param, 0, len(values))
	for _, v := range values {
		p, err := parseValue(col.Type, op, v)
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", col.Name, err)
		}
		params = append(params, p)
	}
	return newLeaf(ordinal, op, params), nil
}

// newLeaf puts a set of values into its one form: sorted, each once, and a
// constant where there is none.
func newLeaf(ordinal int, op Op, params []pgvalue.Param) *Node {
	switch op {
	case In, NotIn, ArrayContainsAny, NotArrayContainsAny:
		slices.SortFunc(params, func(a, b pgvalue.Param) int { return strings.Compare(a.Key, b.Key) })
		params = slices.CompactFunc(params, func(a, b pgvalue.Param) bool { return a.Key == b.Key })
	}
	switch n := len(params); {
	case n == 0 && (op == In || op == ArrayContainsAny):
		return Never()
	case n == 0 && (op == NotIn || op == NotArrayContainsAny):
		return Always()
	case n == 1:
		op = singular(op)
	}
	return &Node{Kind: Leaf, Column: ordinal, Op: op, Params: params, sorted: true}
}

// singular gives the operator on one value that says the same as op on a set
// of one.
func singular(op Op) Op {
	switch op {
	case In:
		return Eq
	case NotIn:
		return Ne
	case ArrayContainsAny:
		return ArrayContains
	case NotArrayContainsAny:
		return NotArrayContains
	}
	return op
}

// checkCompare checks what doesn't depend on the values.
func checkCompare(t *pgvalue.Type, op Op, values int) error {
	want := 1
	var err error
	switch op {
	case Eq, Ne:
		err = t.CheckEquality()
	case In, NotIn:
		want, err = values, t.CheckEquality()
	case Lt, Le, Gt, Ge:
		err = t.CheckOrder()
	case ArrayContains, NotArrayContains:
		err = t.CheckContains()
	case ArrayContainsAny, NotArrayContainsAny:
		want, err = values, t.CheckContains()
	case IsNull, IsNotNull:
		want = 0
	case StartsWith, NotStartsWith:
		err = t.CheckPrefix()
	default:
		err = fmt.Errorf("operator %d does not exist", op)
	}
	if err == nil && values != want {
		err = fmt.Errorf("operator %s takes %d value(s), got %d", op, want, values)
	}
	return err
}

// parseValue parses a value as the operator compares it: an element for
// containment.
func parseValue(t *pgvalue.Type, op Op, v any) (pgvalue.Param, error) {
	switch op {
	case ArrayContains, NotArrayContains, ArrayContainsAny, NotArrayContainsAny:
		return t.Elem.Parse(v)
	}
	return t.Parse(v)
}

// All is true where every node is. Constants and nested Ands are dissolved.
func All(nodes ...*Node) *Node { return join(And, True, False, nodes) }

// Any is true where at least one node is. Constants and nested Ors are dissolved.
func Any(nodes ...*Node) *Node { return join(Or, False, True, nodes) }

// join makes an And (neutral True, absorbing False) or an Or (the reverse).
func join(kind, neutral, absorbing NodeKind, nodes []*Node) *Node {
	var flat []*Node
	for _, n := range nodes {
		switch n.Kind {
		case neutral:
		case absorbing:
			return &Node{Kind: absorbing}
		case kind:
			flat = append(flat, n.Children...)
		default:
			flat = append(flat, n)
		}
	}
	switch len(flat) {
	case 0:
		return &Node{Kind: neutral}
	case 1:
		return flat[0]
	}
	return &Node{Kind: kind, Children: flat}
}

// Negate gives NOT n, pushed down to the leaves. A leaf on a NULL column is
// false on both sides, as NOT NULL is not true in SQL.
func Negate(n *Node) *Node {
	switch n.Kind {
	case True:
		return Never()
	case False:
		return Always()
	case Leaf:
		c := *n
		c.Op = n.Op.Complement()
		return &c
	}
	children := make([]*Node, len(n.Children))
	for i, c := range n.Children {
		children[i] = Negate(c)
	}
	if n.Kind == And {
		return Any(children...)
	}
	return All(children...)
}
