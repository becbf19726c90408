package torture

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// column is a column of a table that is written and queried.
type column struct {
	name string
	typ  string // as SQL declares it
	kind kind
	null bool
	// pool are the values that writers and queries take, as PostgreSQL prints
	// them; nil for columns that are made otherwise.
	pool []string
}

// table is a table of the test. The first columns are its key.
type table struct {
	name    string
	keys    int // columns of the key
	columns []column
	rows    int // how many keys there are to choose from
	extra   string
	leaves  []string // of a partitioned table
	key     func(r *rand.Rand, n int, company int) []string
}

// The tenants of the test: companies have branches, staff and clients whose
// numbers tell whose they are.
const (
	companies       = 3
	branchesEach    = 4
	staffEach       = 8
	clientsEach     = 20
	historySlot     = "torture_history"
	historyPub      = "torture_history"
	serverSlot      = "walwire"
	serverRole      = "walwire_torture"
	serverPassword  = "secret"
	longNoteOctets  = 2600 // stored out of line
	heartbeatsTable = "torture_beat"
)

func branchOf(r *rand.Rand, company int) int { return company*10 + 1 + r.IntN(branchesEach) }
func staffOf(r *rand.Rand, company int) int  { return company*100 + 1 + r.IntN(staffEach) }
func clientOf(r *rand.Rand, company int) int { return company*1000 + 1 + r.IntN(clientsEach) }

var (
	oddTexts = []string{"", "a", "A", "b", "B", "Z", "z", "ä", "Ä", "ae", "é", "e\u0301", "ß", "ss", "_x", "-x", "x y", "x-y", "xy", "ﬁ", "i", "ı", "İ",
		"日本", "日", "\U0001F600", "\U0001F600!", "\uE000", "\uFFFD", "zebra", "Zebra", "10", "9", "100", " lead", "tail ", "quo'te", `back\slash`, `dou"ble`, "tab\tbed", "%_like%"}
	oddCodes  = []string{"a     ", "A     ", "ab    ", "ä     ", "Z-1   ", "z1    ", "      ", "abcdef", "ABCDEF"}
	states    = []string{"new", "open", "busy", "done", "void"}
	prices    = []string{"0.00", "1.00", "9.99", "10.00", "10.50", "99.90", "100.00", "-5.25", "12345678.90"}
	floats    = []string{"0", "1", "-1", "0.5", "1e+20", "1e-07", "3.25", "NaN", "Infinity", "-Infinity", "100"}
	moments   = []string{"2026-03-01 09:00:00+00", "2026-03-01 09:30:00+00", "2026-03-01 09:30:00.5+00", "2026-03-02 00:00:00+00", "2025-12-31 23:59:59.999999+00", "2026-03-29 01:30:00+00", "1999-01-01 00:00:00+00"}
	days      = []string{"2000-02-29", "1970-01-01", "2026-03-01", "2026-03-02", "1899-12-31"}
	tagSets   = []string{"{}", "{vip}", "{vip,new}", `{"a b","quo\"te"}`, "{NULL,vip}", "{old,new,vip}", "{ä,Z}"}
	intSets   = []string{"{}", "{1}", "{1,2}", "{3,NULL}", "{2,3,5,7}", "{-1}"}
	documents = []string{`{}`, `{"a": 1}`, `{"a": 1.0, "b": [1, 2, {"c": null}]}`, `[]`, `"text"`, `null`, `{"long": "ä\"x"}`, `{"n": 12345678901234567890}`}
	photos    = []string{`\x`, `\x00`, `\x00ff`, `\xdeadbeef`, `\x7f80`, `\xff`}
	spans     = []string{"PT0S", "PT1H", "P1D", "P1M", "PT90M", "P1Y2M3DT4H5M6.5S"}
	uids      = []string{"00000000-0000-0000-0000-000000000000", "6f1c0d3e-8f5a-4b6e-9b1a-0c2d3e4f5a6b", "ffffffff-ffff-ffff-ffff-ffffffffffff"}
	smalls    = []string{"0", "1", "2", "3", "5", "8", "13", "50", "-7"}
	bools     = []string{"t", "f"}
)

// tables makes the schema's description. notes are large values.
func tables() []*table {
	return []*table{visits(), people(), messages(), stock()}
}

func visits() *table {
	return &table{name: "visits", keys: 1, rows: 4000, columns: []column{
		{name: "id", typ: "bigint", kind: kindBig},
		{name: "company", typ: "int", kind: kindInt},
		{name: "branch_id", typ: "int", kind: kindInt},
		{name: "staff_id", typ: "int", kind: kindInt, null: true},
		{name: "client_id", typ: "int", kind: kindInt, null: true},
		{name: "state", typ: "visit_state", kind: kindEnum, pool: states},
		{name: "title", typ: "text", kind: kindText, pool: oddTexts},
		{name: "note", typ: "text", kind: kindText, null: true, pool: notes()},
		{name: "price", typ: "numeric(10,2)", kind: kindBig, null: true, pool: prices},
		{name: "starts_at", typ: "timestamptz", kind: kindTime, pool: moments},
		{name: "tags", typ: "text[]", kind: kindTextArray, null: true, pool: tagSets},
		{name: "data", typ: "jsonb", kind: kindJSONB, null: true, pool: documents},
		{name: "score", typ: "float8", kind: kindFloat, pool: floats},
		{name: "code", typ: "char(6)", kind: kindChar, pool: oddCodes},
		{name: "seen", typ: "boolean", kind: kindBool, pool: bools},
	}, key: func(_ *rand.Rand, n, _ int) []string { return []string{fmt.Sprint(9_000_000_000 + n)} }}
}

// notes are some small texts and some that are stored out of line.
func notes() []string {
	r := rand.New(rand.NewPCG(1, 2))
	out := []string{"", "short"}
	for range 3 {
		var b strings.Builder
		for b.Len() < longNoteOctets { // does not compress well
			fmt.Fprintf(&b, "%x", r.Uint64())
		}
		out = append(out, b.String())
	}
	return append(out, "a", "b", "c", "done")
}

func people() *table {
	kinds := []string{"a", "B", "ä", "Z", "_"}
	return &table{name: "people", keys: 2, rows: 1000, columns: []column{
		{name: "sort", typ: "text", kind: kindText, pool: kinds},
		{name: "no", typ: "int", kind: kindInt},
		{name: "company", typ: "int", kind: kindInt},
		{name: "branch_id", typ: "int", kind: kindInt},
		{name: "staff_id", typ: "int", kind: kindInt, null: true},
		{name: "name", typ: "varchar(60)", kind: kindText, null: true, pool: oddTexts},
		{name: "born", typ: "date", kind: kindDate, null: true, pool: days},
		{name: "rate", typ: "numeric", kind: kindBig, pool: []string{"1", "1.0", "1.00", "-2.5", "NaN", "1000000000000000000000.5", "0.1"}},
		{name: "photo", typ: "bytea", kind: kindBytea, null: true, pool: photos},
		{name: "langs", typ: "int[]", kind: kindIntArray, pool: intSets},
		{name: "active", typ: "boolean", kind: kindBool, null: true, pool: bools},
		{name: "uid", typ: "uuid", kind: kindUUID, pool: uids},
		{name: "pause", typ: "interval", kind: kindInterval, null: true, pool: spans},
	}, key: func(_ *rand.Rand, n, _ int) []string {
		return []string{kinds[n%len(kinds)], fmt.Sprint(n / len(kinds))}
	}}
}

func messages() *table {
	return &table{name: "messages", keys: 2, rows: 1200, columns: []column{
		{name: "branch_id", typ: "int", kind: kindInt},
		{name: "id", typ: "uuid", kind: kindUUID},
		{name: "company", typ: "int", kind: kindInt},
		{name: "client_id", typ: "int", kind: kindInt, null: true},
		{name: "role", typ: "text", kind: kindText, null: true, pool: []string{"owner", "manager", "staff", "client"}},
		{name: "body", typ: "text", kind: kindText, pool: oddTexts},
		{name: "sent_at", typ: "timestamptz", kind: kindTime, pool: moments},
		{name: "urgent", typ: "boolean", kind: kindBool, pool: bools},
	}, leaves: []string{"messages_0", "messages_1", "messages_2"},
		key: func(r *rand.Rand, n, company int) []string {
			return []string{fmt.Sprint(branchOf(r, company)), fmt.Sprintf("%08x-0000-4000-8000-%012x", uint32(n)*2654435761, n)}
		}}
}

func stock() *table {
	return &table{name: "stock", keys: 1, rows: 500, columns: []column{
		{name: "id", typ: "int", kind: kindInt},
		{name: "company", typ: "int", kind: kindInt},
		{name: "branch_id", typ: "int", kind: kindInt},
		{name: "qty", typ: "int", kind: kindInt, pool: smalls},
		{name: "state", typ: "visit_state", kind: kindEnum, null: true, pool: states},
		{name: "memo", typ: "text", kind: kindText, null: true, pool: memos()},
		{name: "level", typ: "real", kind: kindFloat, null: true, pool: []string{"0", "0.1", "1.5", "-3", "NaN"}},
	}, extra: "CREATE UNIQUE INDEX stock_identity ON stock (company, id); ALTER TABLE stock REPLICA IDENTITY USING INDEX stock_identity;",
		key: func(_ *rand.Rand, n, _ int) []string { return []string{fmt.Sprint(n)} }}
}

// memos are rarely large: the log does not repeat a large value of an old row
// here, and walwire has to read the table again.
func memos() []string {
	large := notes()[2]
	out := []string{large}
	for range 3 {
		out = append(out, oddTexts...)
	}
	return out
}

// column finds a column by name; it is there.
func (t *table) column(name string) (int, *column) {
	for i := range t.columns {
		if t.columns[i].name == name {
			return i, &t.columns[i]
		}
	}
	return -1, nil
}

// schemaSQL makes the tables, filled with nothing yet, and both publications.
func schemaSQL(tables []*table, users []*user) string {
	var b strings.Builder
	b.WriteString(membersSQL(users))
	b.WriteString("CREATE TYPE visit_state AS ENUM ('new', 'open', 'busy', 'done', 'void');\n")
	names := make([]string, len(tables))
	var leaves strings.Builder // are published also while they are detached
	for i, t := range tables {
		names[i] = t.name
		for _, leaf := range t.leaves {
			leaves.WriteString(", " + leaf)
		}
		b.WriteString(t.createSQL())
	}
	fmt.Fprintf(&b, "CREATE TABLE %s (id int PRIMARY KEY, n bigint);\nINSERT INTO %[1]s VALUES (1, 0);\n", heartbeatsTable)
	list := strings.Join(names, ", ")
	fmt.Fprintf(&b, "CREATE PUBLICATION walwire FOR TABLE %s, "+membersTable+";\n", list)
	if leaves.Len() > 0 { // 14 must be told them by name
		fmt.Fprintf(&b, `DO $$ BEGIN
	IF current_setting('server_version_num')::int < 150000 THEN ALTER PUBLICATION walwire ADD TABLE %s; END IF;
END $$;
`, leaves.String()[2:])
	}
	fmt.Fprintf(&b, "CREATE PUBLICATION %s FOR TABLE %s, %s%s;\n", historyPub, list, heartbeatsTable, leaves.String())
	return b.String()
}

func (t *table) createSQL() string {
	var columns []string
	for _, c := range t.columns {
		def := c.name + " " + c.typ
		if !c.null {
			def += " NOT NULL"
		}
		columns = append(columns, def)
	}
	var keys []string
	for _, c := range t.columns[:t.keys] {
		keys = append(keys, c.name)
	}
	columns = append(columns, "PRIMARY KEY ("+strings.Join(keys, ", ")+")")
	sql := fmt.Sprintf("CREATE TABLE %s (%s)", t.name, strings.Join(columns, ", "))
	for _, large := range []string{"note", "memo"} {
		if _, c := t.column(large); c != nil {
			sql += fmt.Sprintf(";\nALTER TABLE %s ALTER %s SET STORAGE EXTERNAL", t.name, large)
		}
	}
	if len(t.leaves) == 0 {
		sql += ";\n"
		if t.extra == "" {
			return sql + fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY FULL;\n", t.name)
		}
		return sql + t.extra + "\n"
	}
	sql += " PARTITION BY HASH (" + keys[0] + ");\n"
	for i, leaf := range t.leaves {
		sql += fmt.Sprintf("CREATE TABLE %s PARTITION OF %s FOR VALUES WITH (MODULUS %d, REMAINDER %d);\nALTER TABLE %[1]s REPLICA IDENTITY FULL;\n",
			leaf, t.name, len(t.leaves), i)
	}
	return sql + fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY FULL;\n", t.name)
}
