package mapping

import (
	"fmt"
	"slices"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"

	"github.com/walwire/walwire/mapping/predicate"
)

// column gives the column that an expression is. A column that can't be used
// gives the term to go on with.
func (t *translator) column(e celast.Expr) (ordinal int, ok bool, failed term) {
	if e.Kind() != celast.SelectKind || e.AsSelect().Operand().Kind() != celast.IdentKind || e.AsSelect().Operand().AsIdent() != "row" {
		return 0, false, nil
	}
	name := e.AsSelect().FieldName()
	if e.AsSelect().IsTestOnly() {
		return 0, false, t.fail(e, "every row has its columns: write row.%s != null", name)
	}
	ordinal = slices.IndexFunc(t.columns, func(c predicate.Column) bool { return c.Name == name })
	if ordinal < 0 {
		return 0, false, t.fail(e, "there is no column %q", name)
	}
	if t.generated[ordinal] {
		return 0, false, t.fail(e, "column %q is generated: it is not in the log of changes, so no rule can rest on it; use the columns it is made from", name)
	}
	return ordinal, true, nil
}

// operand compiles a part that needs no row, and computes it where it needs no
// user either.
func (t *translator) operand(e celast.Expr) (o operand, constant any, ok bool) {
	if e.Kind() == celast.SelectKind && !e.AsSelect().IsTestOnly() &&
		e.AsSelect().Operand().Kind() == celast.IdentKind && e.AsSelect().Operand().AsIdent() == "user" {
		return operand{attribute: e.AsSelect().FieldName()}, nil, true
	}
	program, err := t.program(e)
	if err != nil {
		t.fail(e, "%v", err)
		return operand{}, nil, false
	}
	if mentions(e, "user") {
		return operand{program: program}, nil, true
	}
	out, _, err := program.Eval(map[string]any{})
	if err != nil {
		t.fail(e, "this can't be computed: %v", err)
		return operand{}, nil, false
	}
	constant, ok = native(out)
	if !ok {
		t.fail(e, "a %s is no value that a column can have", out.Type().TypeName())
	}
	return operand{}, constant, ok
}

// program compiles one part of the checked rule.
func (t *translator) program(e celast.Expr) (cel.Program, error) {
	part := celast.NewCheckedAST(celast.NewAST(e, t.ast.SourceInfo()), t.ast.TypeMap(), t.ast.ReferenceMap())
	proto, err := celast.ToProto(part)
	if err != nil {
		return nil, fmt.Errorf("take a part of the rule: %w", err)
	}
	return t.env.Program(cel.CheckedExprToAst(proto), cel.EvalOptions(cel.OptOptimize))
}
