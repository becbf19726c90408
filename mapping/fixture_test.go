package mapping

import (
	"testing"

	"github.com/walwire/walwire/cdc/pgvalue"
	"github.com/walwire/walwire/mapping/predicate"
)

// testTypes are the types of the fixture table, as pgvalue.Load gives them.
func testTypes() map[string]*pgvalue.Type {
	base := func(oid uint32, name string, kind pgvalue.Kind) *pgvalue.Type {
		return &pgvalue.Type{OID: oid, Base: oid, Name: name, Kind: kind}
	}
	text := base(25, "text", pgvalue.KindText)
	return map[string]*pgvalue.Type{
		"bool": base(16, "boolean", pgvalue.KindBool), "int": base(23, "integer", pgvalue.KindInt),
		"int8": base(20, "bigint", pgvalue.KindInt8), "text": text,
		"uuid": base(2950, "uuid", pgvalue.KindUUID), "numeric": base(1700, "numeric", pgvalue.KindNumeric),
		"float": base(701, "double precision", pgvalue.KindFloat8), "date": base(1082, "date", pgvalue.KindDate),
		"stamp": base(1114, "timestamp without time zone", pgvalue.KindTimestamp),
		"tz":    base(1184, "timestamp with time zone", pgvalue.KindTimestampTZ),
		"json":  base(114, "json", pgvalue.KindJSON),
		"tags":  {OID: 1009, Base: 1009, Name: "text[]", Kind: pgvalue.KindArray, Elem: text},
		"nums":  {OID: 1007, Base: 1007, Name: "integer[]", Kind: pgvalue.KindArray, Elem: base(23, "integer", pgvalue.KindInt)},
	}
}

// visits is the fixture table.
func visits() TableInfo {
	types := testTypes()
	columns := []struct {
		name, kind string
	}{
		{"id", "uuid"}, {"company_id", "uuid"}, {"staff_id", "uuid"}, {"status", "text"}, {"notes", "text"},
		{"seats", "int"}, {"big", "int8"}, {"price", "numeric"}, {"score", "float"}, {"active", "bool"},
		{"starts_at", "tz"}, {"local_at", "stamp"}, {"day", "date"}, {"tags", "tags"}, {"nums", "nums"},
		{"extra", "json"}, {"Due Date", "date"}, {"doubled", "int"},
	}
	var info TableInfo
	for _, c := range columns {
		info.Columns = append(info.Columns, ColumnInfo{
			Column:    predicate.Column{Name: c.name, Type: types[c.kind]},
			NotNull:   c.name == "id",
			Generated: c.name == "doubled",
		})
	}
	info.Key = []int{0}
	return info
}

// row is a row of the fixture table in PostgreSQL's text; missing is NULL.
type row map[string]string

// Column implements predicate.Source.
func (r row) Column(i int) ([]byte, bool) {
	text, ok := r[visits().Columns[i].Name]
	return []byte(text), !ok
}

func mustCompile(tb testing.TB, cfg *Config) *Table {
	tb.Helper()
	m, err := Compile(cfg, map[string]TableInfo{"visits": visits()})
	if err != nil {
		tb.Fatalf("compile:\n%v", err)
	}
	t, _ := m.Table("visits")
	return t
}

// withRule is the valid configuration with another rule.
func withRule(tb testing.TB, rule string) string {
	return replaced(tb, valid, "row.staff_id == user.staff_id", rule)
}

// mustRule compiles a rule of the fixture table.
func mustRule(tb testing.TB, rule string) *Rule {
	tb.Helper()
	cfg := mustParse(tb, valid)
	cfg.User.Claims = map[string]string{"id": "sub", "company": "c", "roles": "r"}
	for _, name := range []string{"staff_id", "a", "b", "n", "flag", "list", "when"} {
		cfg.User.Claims[name] = name
	}
	cfg.Tables[0].Roles[0].Rows = Expression{Text: rule}
	return mustCompile(tb, cfg).roles[0].rule
}

func mustEval(tb testing.TB, n *predicate.Node, r row) bool {
	tb.Helper()
	var columns []predicate.Column
	for _, c := range visits().Columns {
		columns = append(columns, c.Column)
	}
	evaluator := predicate.NewRow(columns)
	evaluator.Reset(r)
	ok, err := n.Eval(evaluator)
	if err != nil {
		tb.Fatal(err)
	}
	return ok
}
