package mapping

import (
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
)

// ruleCompiler compiles the rules of one table.
type ruleCompiler struct {
	env    *cel.Env
	schema *schema
	table  *Table
	info   TableInfo
	// report adds a finding at a place of the rule being compiled.
	report func(offset int, format string, args ...any)
}

// compile parses, checks and translates a rule. Without findings the rule is
// not nil.
func (c *ruleCompiler) compile(text string) *Rule {
	if strings.TrimSpace(text) == "" {
		c.report(0, "the rule is empty: write true for every row of the company, or remove the role")
		return nil
	}
	checked := c.check(text)
	if checked == nil {
		return nil
	}
	t := &translator{env: c.env, ast: checked.NativeRep(), text: []rune(text), columns: c.table.Columns, report: c.report}
	for _, column := range c.info.Columns {
		t.generated = append(t.generated, column.Generated)
	}
	return &Rule{root: t.boolean(t.ast.Expr(), false), columns: c.named(t.ast.Expr())}
}

// check parses a condition and checks its types; nil after a finding.
func (c *ruleCompiler) check(text string) *cel.Ast {
	parsed, issues := c.env.Parse(text)
	if issues.Err() != nil {
		c.syntax(text, issues)
		return nil
	}
	checked, issues := c.env.Check(parsed)
	if issues.Err() != nil {
		for _, err := range issues.Errors() {
			c.checkError(parsed, err)
		}
		return nil
	}
	if k := checked.OutputType().Kind(); k != types.BoolKind && k != types.DynKind {
		c.report(0, "the rule gives %s, it must be true or false", describeType(checked.OutputType().String()))
		return nil
	}
	return checked
}

// named gives the ordinals of the columns that a rule names.
func (c *ruleCompiler) named(root celast.Expr) []int {
	var columns []int
	celast.PreOrderVisit(root, celast.NewExprVisitor(func(e celast.Expr) {
		variable, name := selection(e)
		if variable != "row" && variable != "old" && variable != "changed" {
			return
		}
		if i := columnIndex(c.info, name); i >= 0 && !slices.Contains(columns, i) {
			columns = append(columns, i)
		}
	}))
	slices.Sort(columns)
	return columns
}

// selection takes `variable.name` apart; "" where e is something else.
func selection(e celast.Expr) (variable, name string) {
	if e.Kind() != celast.SelectKind || e.AsSelect().Operand().Kind() != celast.IdentKind {
		return "", ""
	}
	return e.AsSelect().Operand().AsIdent(), e.AsSelect().FieldName()
}

// syntax reports the first error of a rule that can't be parsed; those after it
// mostly follow from it.
func (c *ruleCompiler) syntax(text string, issues *cel.Issues) {
	err := issues.Errors()[0]
	message, _, _ := strings.Cut(err.Message, " expecting ")
	message = strings.TrimPrefix(message, "Syntax error: ")
	c.report(offsetOf(text, err.Location), "the rule can't be read: %s. Write CEL, with ==, &&, || and !, as in row.staff_id == user.staff_id", message)
}

// offsetOf gives the offset in characters of a place in a text.
func offsetOf(text string, at common.Location) int {
	offset := at.Column()
	for i, line := range strings.Split(text, "\n") {
		if i+1 >= at.Line() {
			break
		}
		offset += len([]rune(line)) + 1
	}
	return offset
}

// checkError reports what the type checker found, in the words of tables and
// columns where it is about them.
func (c *ruleCompiler) checkError(parsed *cel.Ast, err *common.Error) {
	offset := offsetOf(parsed.Source().Content(), err.Location)
	expr := findExpr(parsed.NativeRep().Expr(), err.ExprID)
	if expr != nil {
		switch variable, name := selection(expr); variable {
		case "row", "old", "changed":
			names := keysOf(c.schema.row)
			c.report(offset+1, "%s has no column %q%s; its columns: %s", c.table.Relation, name, didYouMean(name, names), listOf(names))
			return
		case "user":
			names := keysOf(c.schema.user)
			c.report(offset+1, "user has no attribute %q%s; map it under user.claims or users. Mapped now: %s", name, didYouMean(name, names), listOf(names))
			return
		}
	}
	if name, ok := strings.CutPrefix(err.Message, "undeclared reference to '"); ok {
		name, _, _ = strings.Cut(name, "'")
		c.report(offset, "%q is not known: %s, and CEL's own functions", strings.Trim(name, "_@"), c.schema.knows())
		return
	}
	if match := regexp.MustCompile(`^found no matching overload for '(.+)' applied to '(.+)'`).FindStringSubmatch(err.Message); match != nil {
		c.report(offset, "%s does not take %s: both sides must have one type", spell(match[1]), describeType(match[2]))
		return
	}
	c.report(offset, "%s", err.Message)
}

func findExpr(root celast.Expr, id int64) celast.Expr {
	var found celast.Expr
	celast.PreOrderVisit(root, celast.NewExprVisitor(func(e celast.Expr) {
		if e.ID() == id {
			found = e
		}
	}))
	return found
}

// describeType spells a type of CEL without its notation for "may be null".
func describeType(t string) string {
	return regexp.MustCompile(`wrapper\((\w+)\)`).ReplaceAllString(t, "$1")
}

func keysOf[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	return names
}
