package mapping

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"

	"github.com/walwire/walwire/cdc/pgvalue"
	"github.com/walwire/walwire/mapping/predicate"
)

// The names under which CEL's type checker knows the variables.
const (
	rowType     = "walwire.Row"
	userType    = "walwire.User"
	changedType = "walwire.Changed"
)

// schema tells CEL's type checker what `row`, `user` and `changed` hold. Everything
// else it asks the standard registry.
type schema struct {
	types.Provider
	row     map[string]*cel.Type
	user    map[string]*cel.Type
	changed map[string]*cel.Type // of events alone
	columns []predicate.Column   // that row is read by when it is evaluated, of events alone
	vars    string               // which variables there are, where it is not row and user
}

func newSchema(columns []predicate.Column, user map[string]*cel.Type) (*schema, error) {
	registry, err := types.NewRegistry()
	if err != nil {
		return nil, err
	}
	row := make(map[string]*cel.Type, len(columns))
	for _, c := range columns {
		row[c.Name] = columnType(c.Type)
	}
	return &schema{Provider: registry, row: row, user: user}, nil
}

// knows says which variables there are.
func (s *schema) knows() string {
	if s.vars != "" {
		return s.vars
	}
	return "a rule knows `row` (its columns) and `user` (the attributes mapped under user)"
}

// environment is CEL with the two variables.
func (s *schema) environment() (*cel.Env, error) {
	return cel.NewEnv(
		cel.CustomTypeProvider(s),
		cel.Variable("row", cel.ObjectType(rowType)),
		cel.Variable("user", cel.ObjectType(userType)),
		cel.CrossTypeNumericComparisons(true),
		cel.EnableIdentifierEscapeSyntax(),
	)
}

func (s *schema) fields(structType string) map[string]*cel.Type {
	switch structType {
	case rowType:
		return s.row
	case userType:
		return s.user
	case changedType:
		return s.changed
	}
	return nil
}

// FindStructType implements types.Provider.
func (s *schema) FindStructType(structType string) (*types.Type, bool) {
	if s.fields(structType) != nil {
		return types.NewTypeTypeWithParam(types.NewObjectType(structType)), true
	}
	return s.Provider.FindStructType(structType)
}

// FindStructFieldNames implements types.Provider.
func (s *schema) FindStructFieldNames(structType string) ([]string, bool) {
	if fields := s.fields(structType); fields != nil {
		return keysOf(fields), true
	}
	return s.Provider.FindStructFieldNames(structType)
}

// FindStructFieldType implements types.Provider. Of access rules the type comes
// without getters: `user` is a map when a rule is bound, and `row` is never evaluated.
func (s *schema) FindStructFieldType(structType, field string) (*types.FieldType, bool) {
	if fields := s.fields(structType); fields != nil {
		t, ok := fields[field]
		f := &types.FieldType{Type: t}
		if ok && s.columns != nil {
			s.getters(f, structType, field)
		}
		return f, ok
	}
	return s.Provider.FindStructFieldType(structType, field)
}

// columnType is a column's type in CEL. Every column may be compared with null.
// Where PostgreSQL compares with more than one type of CEL (numeric with int
// and double, a timestamp with timestamps and strings) it is dyn, and the
// constants are checked by the column's own type instead.
func columnType(t *pgvalue.Type) *cel.Type {
	switch t.Kind {
	case pgvalue.KindBool:
		return cel.NullableType(cel.BoolType)
	case pgvalue.KindInt, pgvalue.KindInt8, pgvalue.KindOID:
		return cel.NullableType(cel.IntType)
	case pgvalue.KindFloat4, pgvalue.KindFloat8:
		return cel.NullableType(cel.DoubleType)
	case pgvalue.KindText, pgvalue.KindBPChar, pgvalue.KindUUID, pgvalue.KindEnum, pgvalue.KindNet:
		return cel.NullableType(cel.StringType)
	}
	return cel.DynType
}

// attributeType is the type in CEL of an attribute that a row gives: that of
// the value UserRow.Attributes makes.
func attributeType(t *pgvalue.Type) *cel.Type {
	switch t.Kind {
	case pgvalue.KindBool:
		return cel.BoolType
	case pgvalue.KindInt, pgvalue.KindInt8, pgvalue.KindOID:
		return cel.IntType
	case pgvalue.KindFloat4, pgvalue.KindFloat8:
		return cel.DoubleType
	case pgvalue.KindArray, pgvalue.KindJSON, pgvalue.KindJSONB:
		return cel.DynType
	}
	return cel.StringType
}
