package mapping_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/internal/demo"
	"github.com/walwire/walwire/internal/pgtest"
	"github.com/walwire/walwire/mapping"
	"github.com/walwire/walwire/mapping/predicate"
	"github.com/walwire/walwire/migrations"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// mustExample compiles walwire.example.yaml against the reference schema with
// the demo's data in it.
func mustExample(t *testing.T) (*mapping.Mapping, *pgx.Conn) {
	t.Helper()
	ctx, url := context.Background(), pgtest.Database(t)
	if err := migrations.Up(ctx, url, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if err := demo.Seed(ctx, url); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"WALWIRE_DATABASE_URL": url, "WALWIRE_TOKEN_SECRET": strings.Repeat("s", 32)}
	cfg, err := mapping.Load("../walwire.example.yaml", func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	conn := pgtest.MustConnect(t, url)
	infos := make(map[string]mapping.TableInfo)
	for _, table := range cfg.Tables {
		infos[table.Name] = mustInfo(t, conn, table.Relation)
	}
	m, err := mapping.Compile(cfg, infos)
	if err != nil {
		t.Fatal(err)
	}
	return m, conn
}

// mustInfo reads a table's description from the catalogue.
func mustInfo(t *testing.T, conn *pgx.Conn, relation mapping.Relation) mapping.TableInfo {
	t.Helper()
	name := cdc.TableName(relation)
	tables, err := cdc.LoadTables(context.Background(), conn, []cdc.TableName{name})
	if err != nil {
		t.Fatal(err)
	}
	info := mapping.TableInfo{Key: tables[name].Key}
	for _, c := range tables[name].Columns {
		info.Columns = append(info.Columns, mapping.ColumnInfo{
			Column: predicate.Column{Name: c.Name, Type: c.Type}, NotNull: c.NotNull, Generated: c.Generated,
		})
	}
	return info
}

// attributes are what the rules know of one of the demo's people: claims, and
// the rows found in the database.
func attributes(t *testing.T, m *mapping.Mapping, conn *pgx.Conn, p demo.Principal) map[string]any {
	t.Helper()
	branches := make([]any, len(p.BranchIDs))
	for i, b := range p.BranchIDs {
		branches[i] = b
	}
	user := map[string]any{"id": p.Sub, "company": p.CompanyID, "roles": p.Roles, "branches": branches}
	for _, lookup := range m.UserRows() {
		found := rowsOf(t, conn, lookup.Table, p, lookup.Predicate(user))
		if len(found) != 1 {
			continue
		}
		values, err := lookup.Attributes(found[0])
		if err != nil {
			t.Fatal(err)
		}
		for name, v := range values {
			user[name] = v
		}
	}
	return user
}

// textRow is a row in PostgreSQL's text format.
type textRow [][]byte

func (r textRow) Column(i int) ([]byte, bool) { return r[i], r[i] == nil }

// rowsOf selects the rows of the principal's company that satisfy a predicate.
func rowsOf(t *testing.T, conn *pgx.Conn, table *mapping.Table, p demo.Principal, rule *predicate.Node) []textRow {
	t.Helper()
	company, err := table.CompanyNode(p.CompanyID)
	if err != nil {
		t.Fatal(err)
	}
	where, args := predicate.All(company, rule).AppendSQL(nil, nil, table.Columns)
	args = append([]any{pgx.QueryResultFormats{pgx.TextFormatCode}}, args...)
	rows, err := conn.Query(context.Background(), "SELECT * FROM "+table.Relation.String()+" WHERE "+string(where), args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out []textRow
	for rows.Next() {
		var r textRow
		for _, v := range rows.RawValues() {
			if v != nil {
				v = append([]byte{}, v...)
			}
			r = append(r, v)
		}
		out = append(out, r)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestExample holds that the worked configuration fits the reference schema and
// shows the demo's people what they may see: the rows of one plain SQL condition
// each, and no columns beyond.
func TestExample(t *testing.T) {
	m, conn := mustExample(t)
	people := demo.Principals()
	const all = "true"
	tests := []struct {
		person, table, where string
		hidden               []string
	}{
		{"owner", "appointments", all, nil},
		{"other_company_owner", "appointments", all, nil},
		{"receptionist", "appointments", all, []string{"price"}},
		{"staff", "appointments", "staff_id = $2", []string{"internal_notes", "price"}},
		{"client", "appointments", "client_id = $3", []string{"internal_notes", "company_id"}},
		{"client", "clients", "id = $3", []string{"tags", "user_id"}},
		{"staff", "clients", "status <> 'blocked'", []string{"email", "phone", "preferences"}},
		{"receptionist", "staff", "active", []string{"user_id"}},
		{"client", "staff", "active AND status <> 'off'", []string{"user_id", "availability"}},
		{"staff", "notifications", "user_id = $4 OR role = 'staff' OR branch_id = ANY($5::uuid[]) OR coalesce(user_id, role, branch_id::text) IS NULL", nil},
		{"client", "notifications", "user_id = $4 OR role = 'client' OR coalesce(user_id, role, branch_id::text) IS NULL AND kind IN ('broadcast', 'push')", []string{"role", "branch_id"}},
	}
	for _, tt := range tests {
		t.Run(tt.person+"/"+tt.table, func(t *testing.T) {
			p := people[tt.person]
			table, _ := m.Table(tt.table)
			rule, columns, ok := table.Access(p.Roles, attributes(t, m, conn, p))
			if !ok {
				t.Fatal("no access")
			}
			got := len(rowsOf(t, conn, table, p, rule))
			var want int
			err := conn.QueryRow(context.Background(), `WITH args AS (SELECT $2::text, $3::text, $4::text, $5::text[]) SELECT count(*) FROM `+tt.table+`, args
				WHERE company_id = $1 AND (`+strings.NewReplacer("$2", "$2::text::uuid", "$3", "$3::text::uuid", "$5::uuid[]", "$5::text[]::uuid[]").Replace(tt.where)+`)`,
				p.CompanyID, nullable(p.StaffID), nullable(p.ClientID), p.Sub, p.BranchIDs).Scan(&want)
			if err != nil {
				t.Fatal(err)
			}
			if got != want || got == 0 {
				t.Errorf("%d rows, want %d (and some)", got, want)
			}
			for _, c := range columns {
				if slices.Contains(tt.hidden, table.Columns[c].Name) {
					t.Errorf("column %s is shown", table.Columns[c].Name)
				}
			}
			t.Logf("%d rows, %d of %d columns", got, len(columns), len(table.Columns))
		})
	}
	t.Run("UnknownRole", func(t *testing.T) {
		table, _ := m.Table("appointments")
		if _, _, ok := table.Access([]string{"auditor"}, nil); ok {
			t.Error("access without a rule")
		}
	})
}

func nullable(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// TestQuotedNames compiles a mapping of a table whose names need quotes, with a
// composite key and an integer company.
func TestQuotedNames(t *testing.T) {
	conn := pgtest.MustConnect(t, pgtest.Database(t))
	pgtest.MustExec(t, conn, `CREATE SCHEMA "My ""Shop"""`)
	pgtest.MustExec(t, conn, `CREATE TABLE "My ""Shop"""."Order.Lines" ("Tenant" int2 NOT NULL, "order" int8, "line no" int4,
		"Due Date" date, "in" text, doubled int4 GENERATED ALWAYS AS ("line no" * 2) STORED, PRIMARY KEY ("order", "line no"))`)
	pgtest.MustExec(t, conn, `INSERT INTO "My ""Shop"""."Order.Lines" VALUES (7, 1, 1, '2026-03-01', 'x'), (7, 1, 2, '2026-03-02', 'x'), (8, 2, 1, '2026-03-02', 'x')`)
	cfg, err := mapping.Parse("walwire.yaml", []byte(`version: 1
auth: {issuer: i, audience: a, keys: [{id: k, alg: HS256, secret: `+strings.Repeat("s", 32)+`}]}
user: {claims: {id: sub, company: c, roles: r}}
tables:
  lines:
    table: '"My ""Shop"""."Order.Lines"'
    company: Tenant
    roles:
      clerk: {rows: "row.`+"`Due Date`"+` > '2026-03-01' && row.`+"`in`"+` == 'x'", columns: ["Due Date"]}
      all: {rows: true, columns: "*"}
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	m, err := mapping.Compile(cfg, map[string]mapping.TableInfo{"lines": mustInfo(t, conn, cfg.Tables[0].Relation)})
	if err != nil {
		t.Fatal(err)
	}
	table, _ := m.Table("lines")
	rule, columns, _ := table.Access([]string{"clerk"}, nil)
	if got := rowsOf(t, conn, table, demo.Principal{CompanyID: "7"}, rule); len(got) != 1 || string(got[0][2]) != "2" {
		t.Errorf("rows: %q", got)
	}
	if !slices.Equal(columns, []int{1, 2, 3}) {
		t.Errorf("columns of clerk, with the key: %v", columns)
	}
	if _, columns, _ = table.Access([]string{"all"}, nil); !slices.Equal(columns, []int{0, 1, 2, 3, 4}) {
		t.Errorf("all columns, without the generated one: %v", columns)
	}
}
