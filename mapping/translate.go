package mapping

import (
	"unicode"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"

	"github.com/walwire/walwire/mapping/predicate"
)

// maxComparisons bounds a translated rule: ?: doubles its condition.
const maxComparisons = 1000

// possible is what a rule may do with a column.
const possible = "a column can be compared by ==, !=, <, <=, >, >= with a value that needs no row, tested by == null, " +
	"looked for by `row.column in list`, `value in row.array_column` and row.text_column.startsWith(value), " +
	"or stand alone when it is boolean; these combine by &&, ||, ! and ?:"

// translator turns a checked expression into terms. What it can't translate it
// reports with its place and replaces by false.
type translator struct {
	env         *cel.Env
	ast         *celast.AST
	text        []rune
	columns     []predicate.Column
	generated   []bool
	report      func(offset int, format string, args ...any)
	comparisons int
}

func never() term { return fixed{predicate.Never()} }

// fail reports a part of the rule that can't be translated.
func (t *translator) fail(e celast.Expr, format string, args ...any) term {
	t.report(t.start(e), format, args...)
	return never()
}

// start is the offset at which a part of the rule begins: the parser's own
// offset of a + b is that of the +, and that of f(x) is the parenthesis.
func (t *translator) start(e celast.Expr) int {
	first := len(t.text)
	celast.PostOrderVisit(e, celast.NewExprVisitor(func(e celast.Expr) {
		if r, ok := t.ast.SourceInfo().GetOffsetRange(e.ID()); ok {
			first = min(first, t.functionName(int(r.Start)))
		}
	}))
	return first
}

// functionName goes back from a parenthesis to the name before it.
func (t *translator) functionName(offset int) int {
	if offset >= len(t.text) || t.text[offset] != '(' {
		return offset
	}
	for offset > 0 && (unicode.IsLetter(t.text[offset-1]) || unicode.IsDigit(t.text[offset-1]) || t.text[offset-1] == '_') {
		offset--
	}
	return offset
}

// mentions reports whether a variable stands anywhere in a part of the rule.
func mentions(e celast.Expr, variable string) bool {
	found := false
	celast.PreOrderVisit(e, celast.NewExprVisitor(func(e celast.Expr) {
		found = found || e.Kind() == celast.IdentKind && e.AsIdent() == variable
	}))
	return found
}

// boolean translates a part of the rule that is a condition.
func (t *translator) boolean(e celast.Expr, negated bool) term {
	if !mentions(e, "row") {
		return t.condition(e, negated)
	}
	if ordinal, ok, term := t.column(e); term != nil {
		return term
	} else if ok {
		return t.flag(e, ordinal, negated)
	}
	if e.Kind() != celast.CallKind {
		return t.fail(e, "this can't be asked of a row: %s", possible)
	}
	call := e.AsCall()
	switch args := call.Args(); call.FunctionName() {
	case operators.LogicalNot:
		return t.boolean(args[0], !negated)
	case operators.LogicalAnd:
		return t.both(t.boolean(args[0], negated), t.boolean(args[1], negated), negated)
	case operators.LogicalOr:
		return t.both(t.boolean(args[0], negated), t.boolean(args[1], negated), !negated)
	case operators.Conditional:
		// Where the condition is neither true nor false, neither branch holds.
		return anyOf{
			allOf{t.boolean(args[0], false), t.boolean(args[1], negated)},
			allOf{t.boolean(args[0], true), t.boolean(args[2], negated)},
		}
	case operators.In:
		return t.membership(e, args[0], args[1], negated)
	case overloads.StartsWith:
		return t.prefix(e, call, negated)
	}
	return t.binary(e, call, negated)
}

// both joins two terms by or, or by and.
func (t *translator) both(a, b term, or bool) term {
	if or {
		return anyOf{a, b}
	}
	return allOf{a, b}
}

// condition translates a part that needs no row.
func (t *translator) condition(e celast.Expr, negated bool) term {
	o, constant, ok := t.operand(e)
	switch held, isBool := constant.(bool); {
	case !ok:
		return never()
	case mentions(e, "user"):
		return condition{operand: o, negated: negated}
	case !isBool:
		return t.fail(e, "this is not a condition: it must be true or false")
	case held != negated:
		return fixed{predicate.Always()}
	}
	return never()
}

// flag translates a boolean column that stands alone.
func (t *translator) flag(e celast.Expr, ordinal int, negated bool) term {
	if t.ast.GetType(e.ID()).Kind() != types.BoolKind {
		return t.fail(e, "column %q is %s, not a condition: compare it with a value", t.columns[ordinal].Name, t.columns[ordinal].Type.Name)
	}
	return t.leaf(e, e, ordinal, predicate.Eq, operand{}, !negated)
}

// membership translates `a in b`, where either may be the column.
func (t *translator) membership(e, item, list celast.Expr, negated bool) term {
	if ordinal, ok, failed := t.column(item); failed != nil {
		return failed
	} else if ok && !mentions(list, "row") {
		return t.against(e, list, ordinal, polar(predicate.In, negated))
	}
	if ordinal, ok, failed := t.column(list); failed != nil {
		return failed
	} else if ok && !mentions(item, "row") {
		return t.against(e, item, ordinal, polar(predicate.ArrayContains, negated))
	}
	return t.fail(e, "this use of `in` can't be asked of a row: %s", possible)
}

// prefix translates row.column.startsWith(value).
func (t *translator) prefix(e celast.Expr, call celast.CallExpr, negated bool) term {
	if !call.IsMemberFunction() || len(call.Args()) != 1 || mentions(call.Args()[0], "row") {
		return t.fail(e, "this use of startsWith can't be asked of a row: %s", possible)
	}
	ordinal, ok, failed := t.column(call.Target())
	if failed != nil {
		return failed
	}
	if !ok {
		return t.fail(e, "this use of startsWith can't be asked of a row: %s", possible)
	}
	return t.against(e, call.Args()[0], ordinal, polar(predicate.StartsWith, negated))
}

// binary translates a comparison, in either order.
func (t *translator) binary(e celast.Expr, call celast.CallExpr, negated bool) term {
	op, ok := comparisonOps()[call.FunctionName()]
	if !ok {
		return t.fail(e, "%s of a row can't be translated: %s", spell(call.FunctionName()), possible)
	}
	left, right := call.Args()[0], call.Args()[1]
	if mentions(left, "row") && mentions(right, "row") {
		return t.fail(e, "both sides of %s need the row: %s", spell(call.FunctionName()), possible)
	}
	if mentions(right, "row") {
		left, right, op = right, left, mirror(op)
	}
	ordinal, ok, failed := t.column(left)
	if failed != nil {
		return failed
	}
	if !ok {
		return t.fail(left, "only a column itself can be compared, not something computed from it: %s", possible)
	}
	return t.against(e, right, ordinal, polar(op, negated))
}

// against translates "column op value".
func (t *translator) against(e, value celast.Expr, ordinal int, op predicate.Op) term {
	if value.Kind() == celast.LiteralKind && value.AsLiteral() == types.NullValue {
		switch op {
		case predicate.Eq:
			return fixed{isNull(ordinal, t.columns[ordinal], predicate.IsNull)}
		case predicate.Ne:
			return fixed{isNull(ordinal, t.columns[ordinal], predicate.IsNotNull)}
		}
	}
	o, constant, ok := t.operand(value)
	if !ok {
		return never()
	}
	if constant == nil && !mentions(value, "user") {
		return t.fail(value, "null equals nothing: test a column with == null or != null")
	}
	return t.leaf(e, value, ordinal, op, o, constant)
}

func isNull(ordinal int, c predicate.Column, op predicate.Op) *predicate.Node {
	node, _ := predicate.Compare(ordinal, c, op) // a null test fits every type
	return node
}

// leaf makes the comparison of a column with a constant, or with an operand
// where constant is nil.
func (t *translator) leaf(e, value celast.Expr, ordinal int, op predicate.Op, o operand, constant any) term {
	if t.comparisons++; t.comparisons > maxComparisons {
		if t.comparisons == maxComparisons+1 {
			return t.fail(e, "the rule has more than %d comparisons once ?: is written out: make it simpler", maxComparisons)
		}
		return never()
	}
	column := t.columns[ordinal]
	if err := checkOp(column.Type, op); err != nil {
		return t.fail(e, "column %q: %v", column.Name, err)
	}
	if constant == nil {
		return comparison{operand: o, ordinal: ordinal, column: column, op: op}
	}
	node, err := compare(ordinal, column, op, constant)
	if err != nil {
		return t.fail(value, "%v", err)
	}
	return fixed{node}
}
