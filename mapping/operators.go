package mapping

import (
	"strings"

	"cel.dev/cel-go/common/operators"

	"github.com/walwire/walwire/cdc/pgvalue"
	"github.com/walwire/walwire/mapping/predicate"
)

// comparisonOps are CEL's comparisons by the names of its functions.
func comparisonOps() map[string]predicate.Op {
	return map[string]predicate.Op{
		operators.Equals:        predicate.Eq,
		operators.NotEquals:     predicate.Ne,
		operators.Less:          predicate.Lt,
		operators.LessEquals:    predicate.Le,
		operators.Greater:       predicate.Gt,
		operators.GreaterEquals: predicate.Ge,
	}
}

// mirror gives the operator of `b op a` for that of `a op b`.
func mirror(op predicate.Op) predicate.Op {
	switch op {
	case predicate.Lt:
		return predicate.Gt
	case predicate.Le:
		return predicate.Ge
	case predicate.Gt:
		return predicate.Lt
	case predicate.Ge:
		return predicate.Le
	}
	return op
}

func polar(op predicate.Op, negated bool) predicate.Op {
	if negated {
		return op.Complement()
	}
	return op
}

// checkOp says whether a type has an operator.
func checkOp(t *pgvalue.Type, op predicate.Op) error {
	switch op {
	case predicate.Lt, predicate.Le, predicate.Gt, predicate.Ge:
		return t.CheckOrder()
	case predicate.ArrayContains, predicate.NotArrayContains:
		return t.CheckContains()
	case predicate.StartsWith, predicate.NotStartsWith:
		return t.CheckPrefix()
	}
	return t.CheckEquality()
}

// spell gives a function of CEL as one writes it.
func spell(function string) string {
	if op, ok := operators.FindReverse(function); ok && op != "" {
		return op
	}
	return strings.Trim(function, "_@")
}
