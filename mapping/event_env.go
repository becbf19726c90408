package mapping

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"github.com/walwire/walwire/cdc/pgvalue"
	"github.com/walwire/walwire/mapping/predicate"
)

// eventEnvironment is CEL with what a rule on an operation knows.
func eventEnvironment(columns []predicate.Column, on string) (*schema, *cel.Env, error) {
	s, err := newSchema(columns, nil)
	if err != nil {
		return nil, nil, err
	}
	s.columns, s.changed = columns, make(map[string]*cel.Type, len(columns))
	for _, c := range columns {
		s.changed[c.Name] = cel.BoolType
	}
	options := []cel.EnvOption{cel.CustomTypeProvider(s), cel.CrossTypeNumericComparisons(true), cel.EnableIdentifierEscapeSyntax()}
	row, old := cel.Variable("row", cel.ObjectType(rowType)), cel.Variable("old", cel.ObjectType(rowType))
	switch on {
	case OnInsert:
		s.vars, options = "a rule on insert knows `row`", append(options, row)
	case OnDelete:
		s.vars, options = "a rule on delete knows `old`, the row that was", append(options, old)
	default:
		s.vars = "a rule on update knows `row`, `old` (the row before) and `changed` (changed.column is true where they differ)"
		options = append(options, row, old, cel.Variable("changed", cel.ObjectType(changedType)))
	}
	env, err := cel.NewEnv(options...)
	return s, env, err
}

// getters makes a field readable when a rule is evaluated.
func (s *schema) getters(f *types.FieldType, structType, field string) {
	ordinal := 0
	for i := range s.columns {
		if s.columns[i].Name == field {
			ordinal = i
		}
	}
	f.IsSet = func(any) bool { return true }
	if structType == changedType {
		f.GetFrom = func(target any) (any, error) { return target.([]bool)[ordinal], nil }
		return
	}
	column := s.columns[ordinal]
	f.GetFrom = func(target any) (any, error) {
		text, null := target.(predicate.Source).Column(ordinal)
		if null {
			return types.NullValue, nil
		}
		v, err := eventValue(column.Type, text)
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", column.Name, err)
		}
		return v, nil
	}
}

// eventValue is a column's value as a rule on events sees it.
func eventValue(t *pgvalue.Type, text []byte) (any, error) {
	switch t.Kind {
	case pgvalue.KindBool:
		return types.Bool(string(text) == "t"), nil
	case pgvalue.KindInt, pgvalue.KindInt8, pgvalue.KindOID:
		n, err := strconv.ParseInt(string(text), 10, 64)
		return types.Int(n), err
	case pgvalue.KindText, pgvalue.KindBPChar, pgvalue.KindUUID, pgvalue.KindEnum, pgvalue.KindNet:
		return types.String(text), nil
	}
	encoded, err := t.AppendJSON(nil, text)
	if err != nil {
		return nil, err
	}
	var v any
	if err := json.Unmarshal(encoded, &v); err != nil {
		return nil, fmt.Errorf("decode %s: %w", t.Name, err)
	}
	s, isText := v.(string)
	switch {
	case !isText:
		return v, nil
	case t.Kind == pgvalue.KindNumeric, t.Kind == pgvalue.KindFloat4, t.Kind == pgvalue.KindFloat8:
		f, err := strconv.ParseFloat(s, 64)
		if errors.Is(err, strconv.ErrRange) {
			err = nil // infinite, as it compares
		}
		return types.Double(f), err
	case t.Kind == pgvalue.KindTimestampTZ:
		at, err := time.Parse(time.RFC3339Nano, s)
		return types.Timestamp{Time: at}, err
	case t.Kind == pgvalue.KindTimestamp:
		at, err := time.Parse("2006-01-02T15:04:05.999999", s)
		return types.Timestamp{Time: at}, err
	}
	return s, nil
}

// exactChanges replaces old.x == row.x and old.x != row.x by changed.x, which compares
// all of a value and no form of it in CEL. It implements cel.ASTOptimizer.
type exactChanges struct{}

// Optimize implements cel.ASTOptimizer.
func (exactChanges) Optimize(ctx *cel.OptimizerContext, a *celast.AST) *celast.AST {
	root := celast.NavigateAST(a)
	matches := celast.MatchDescendants(root, func(e celast.NavigableExpr) bool {
		if e.Kind() != celast.CallKind {
			return false
		}
		call := e.AsCall()
		if name := call.FunctionName(); name != operators.Equals && name != operators.NotEquals || len(call.Args()) != 2 {
			return false
		}
		left, column := selection(call.Args()[0])
		right, other := selection(call.Args()[1])
		return column != "" && column == other && (left == "old" && right == "row" || left == "row" && right == "old")
	})
	for _, m := range matches {
		_, column := selection(m.AsCall().Args()[0])
		changed := ctx.NewSelect(ctx.NewIdent("changed"), column)
		if m.AsCall().FunctionName() == operators.Equals {
			changed = ctx.NewCall(operators.LogicalNot, changed)
		}
		ctx.UpdateExpr(m, changed)
	}
	return a
}
