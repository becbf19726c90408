package cdc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/internal/pgtest"
)

// testConn is a superuser's connection to a fresh database in which the
// statements were run.
func testConn(t *testing.T, sql ...string) *pgx.Conn {
	t.Helper()
	conn := pgtest.MustConnect(t, pgtest.Database(t))
	for _, s := range sql {
		pgtest.MustExec(t, conn, s)
	}
	return conn
}

// testRole makes a role that may log in with the password "x".
func testRole(t *testing.T, admin *pgx.Conn, options string) string {
	t.Helper()
	role := pgtest.Unique("role")
	pgtest.MustExec(t, admin, `CREATE ROLE `+role+` LOGIN PASSWORD 'x' `+options)
	t.Cleanup(func() {
		ctx := context.Background() // the test's has ended
		for _, sql := range []string{`DROP OWNED BY ` + role, `DROP ROLE ` + role} {
			if _, err := admin.Exec(ctx, sql); err != nil {
				t.Errorf("%s: %v", sql, err)
			}
		}
	})
	return role
}

func mustLoad(t *testing.T, q CatalogQuerier, names ...TableName) []*Table {
	t.Helper()
	tables, err := LoadTables(t.Context(), q, names)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]*Table, len(names))
	for i, n := range names {
		out[i] = tables[n]
	}
	return out
}

func public(name string) TableName { return TableName{"public", name} }

func TestLoadTablesColumns(t *testing.T) {
	conn := testConn(t, `
		CREATE SCHEMA "My S";
		CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
		CREATE DOMAIN money_eur AS numeric(12,2);
		CREATE TABLE "My S"."Ap""p" (gone int, id uuid PRIMARY KEY, "Co" int NOT NULL, name text COLLATE blind,
			names text[] COLLATE blind, price money_eur, code varchar(8), twice int GENERATED ALWAYS AS ("Co" * 2) STORED);
		ALTER TABLE "My S"."Ap""p" DROP COLUMN gone;
		INSERT INTO "My S"."Ap""p" SELECT gen_random_uuid(), i % 4, 'n' || i FROM generate_series(1, 1000) i;
		ANALYZE "My S"."Ap""p"`)
	name := TableName{"My S", `Ap"p`}
	table := mustLoad(t, conn, name)[0]

	if got, want := table.String(), `"My S"."Ap""p"`; got != want {
		t.Errorf("String() = %s, want %s", got, want)
	}
	var got []string
	for _, c := range table.Columns {
		got = append(got, fmt.Sprintf("%s %d %d notnull=%t generated=%t blind=%t",
			c.Name, c.TypeOID, c.TypeModifier, c.NotNull, c.Generated, c.Type.NondeterministicCollation))
	}
	price := table.Columns[4].TypeOID // a domain's OID is not known beforehand
	want := []string{
		"id 2950 -1 notnull=true generated=false blind=false",
		"Co 23 -1 notnull=true generated=false blind=false",
		"name 25 -1 notnull=false generated=false blind=true",
		"names 1009 -1 notnull=false generated=false blind=true",
		fmt.Sprintf("price %d -1 notnull=false generated=false blind=false", price),
		"code 1043 12 notnull=false generated=false blind=false",
		"twice 23 -1 notnull=false generated=true blind=false",
	}
	if !slices.Equal(got, want) {
		t.Errorf("columns:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !table.Columns[3].Type.Elem.NondeterministicCollation {
		t.Error("the elements of a text[] with a nondeterministic collation are deterministic")
	}
	if d := table.Columns[1].Distinct; d != 4 {
		t.Errorf("distinct values of Co = %v, want 4", d)
	}
	if d := table.Columns[0].Distinct; d != 1000 {
		t.Errorf("distinct values of id = %v, want 1000", d)
	}
	if d := table.Columns[4].Distinct; d != 0 {
		t.Errorf("distinct values of an empty column = %v, want 0", d)
	}
	if len(table.Leaves) != 1 || table.Leaves[0].OID != table.OID || !slices.Equal(table.Leaves[0].IdentityColumns, []string{"id"}) {
		t.Errorf("leaves = %+v, want the table itself, identified by id", table.Leaves)
	}
}

// Since 18 a NOT NULL can be NOT VALID, which pg_attribute does not show: rows
// with NULL are there then, so an index over the column names no row.
func TestLoadTablesNotNullNotValid(t *testing.T) {
	if pgtest.Version(t) < 180000 {
		t.Skip("NOT NULL can be NOT VALID since PostgreSQL 18")
	}
	conn := testConn(t, `CREATE TABLE t (id int UNIQUE, v int); INSERT INTO t VALUES (NULL, 1), (NULL, 2);
		ALTER TABLE t ADD CONSTRAINT filled NOT NULL id NOT VALID`)
	if table := mustLoad(t, conn, public("t"))[0]; table.Columns[0].NotNull || len(table.Key) > 0 {
		t.Errorf("not null %t, key %v, want neither", table.Columns[0].NotNull, table.Key)
	}
	pgtest.MustExec(t, conn, `UPDATE t SET id = v; ALTER TABLE t VALIDATE CONSTRAINT filled`)
	if table := mustLoad(t, conn, public("t"))[0]; !table.Columns[0].NotNull || !slices.Equal(table.Key, []int{0}) {
		t.Errorf("not null %t, key %v, want id for both", table.Columns[0].NotNull, table.Key)
	}
}

func TestLoadTablesKey(t *testing.T) {
	for _, tt := range []struct {
		name, sql string
		want      []string
	}{
		{"PrimaryKey", `CREATE TABLE t (a int NOT NULL UNIQUE, b int, c int, PRIMARY KEY (c, b))`, []string{"c", "b"}},
		{"PrimaryKeyBeforeIdentity", `CREATE TABLE t (a int NOT NULL UNIQUE, b int PRIMARY KEY); ALTER TABLE t REPLICA IDENTITY USING INDEX t_a_key`, []string{"b"}},
		{"DeferrablePrimaryKey", `CREATE TABLE t (a int PRIMARY KEY DEFERRABLE)`, nil},
		{"DeferrableButUnique", `CREATE TABLE t (a int PRIMARY KEY DEFERRABLE, b int NOT NULL UNIQUE)`, []string{"b"}},
		{"Identity", `CREATE TABLE t (a int NOT NULL UNIQUE, b int NOT NULL, c int NOT NULL, CONSTRAINT u UNIQUE (b, c)); ALTER TABLE t REPLICA IDENTITY USING INDEX u`, []string{"b", "c"}},
		{"Smallest", `CREATE TABLE t (a int NOT NULL, b int NOT NULL UNIQUE, UNIQUE (a, b))`, []string{"b"}},
		{"Nullable", `CREATE TABLE t (a int UNIQUE)`, nil},
		{"Partial", `CREATE TABLE t (a int NOT NULL); CREATE UNIQUE INDEX ON t (a) WHERE a > 0`, nil},
		{"Expression", `CREATE TABLE t (a int NOT NULL); CREATE UNIQUE INDEX ON t ((a + 1))`, nil},
		{"Generated", `CREATE TABLE t (a int NOT NULL, g int GENERATED ALWAYS AS (a) STORED NOT NULL UNIQUE)`, nil},
		{"Include", `CREATE TABLE t (a int NOT NULL, b int); CREATE UNIQUE INDEX ON t (a) INCLUDE (b)`, []string{"a"}},
		{"None", `CREATE TABLE t (a int)`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			table := mustLoad(t, testConn(t, tt.sql), public("t"))[0]
			if got := table.KeyNames(); !slices.Equal(got, tt.want) {
				t.Errorf("key = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestLoadTablesPartitions(t *testing.T) {
	conn := testConn(t, `
		CREATE TABLE p (id bigint, co int NOT NULL, day date, PRIMARY KEY (id, day, co)) PARTITION BY RANGE (day);
		CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
		CREATE TABLE p2 PARTITION OF p FOR VALUES FROM ('2021-01-01') TO ('2022-01-01') PARTITION BY LIST (co);
		CREATE TABLE p2a (co int NOT NULL, day date NOT NULL, id bigint NOT NULL);
		ALTER TABLE p2 ATTACH PARTITION p2a DEFAULT;
		ALTER TABLE p1 REPLICA IDENTITY FULL`)
	table := mustLoad(t, conn, public("p"))[0]
	if !table.Partitioned || table.Kind != 'p' || !slices.Equal(table.KeyNames(), []string{"id", "day", "co"}) {
		t.Errorf("table = %+v, want a partitioned one with key id, day, co", table)
	}
	var got []string
	for _, l := range table.Leaves {
		got = append(got, fmt.Sprintf("%s %c %v", l.Name, l.Identity, l.IdentityColumns))
	}
	if want := []string{"p1 f [id co day]", "p2a d [id day co]"}; !slices.Equal(got, want) {
		t.Errorf("leaves = %q, want %q", got, want)
	}
}

func TestLoadTablesErrors(t *testing.T) {
	conn := testConn(t, `
		CREATE SCHEMA crm;
		CREATE TABLE crm.clients (id int PRIMARY KEY);
		CREATE TABLE "Clients" (id int PRIMARY KEY);
		CREATE VIEW v AS SELECT 1;
		CREATE MATERIALIZED VIEW mv AS SELECT 1;
		CREATE SEQUENCE s;
		CREATE UNLOGGED TABLE u (id int PRIMARY KEY);
		CREATE TABLE parent (id int PRIMARY KEY);
		CREATE TABLE child () INHERITS (parent);
		CREATE FOREIGN DATA WRAPPER w; CREATE SERVER f FOREIGN DATA WRAPPER w;
		CREATE FOREIGN TABLE ft (id int) SERVER f;
		CREATE TABLE pf (id int) PARTITION BY LIST (id);
		CREATE FOREIGN TABLE pf1 PARTITION OF pf DEFAULT SERVER f`)
	for _, tt := range []struct {
		name   TableName
		reason TableReason
		says   string
	}{
		{public("clients"), TableMissing, `did you mean "public"."Clients" or "crm"."clients"?`},
		{TableName{"crm", "client"}, TableMissing, `did you mean "crm"."clients"?`},
		{TableName{"nowhere", "xyz"}, TableMissing, `table "nowhere"."xyz" does not exist`},
		{public("v"), TableWrongKind, "is a view"},
		{public("mv"), TableWrongKind, "materialized view"},
		{public("s"), TableWrongKind, "is no table"},
		{public("ft"), TableWrongKind, "foreign table"},
		{public("pf"), TableWrongKind, `the partition "public"."pf1", a foreign table`},
		{public("u"), TableNotLogged, "unlogged"},
		{public("parent"), TableInherits, "children by inheritance"},
	} {
		t.Run(tt.name.Name, func(t *testing.T) {
			tables, err := LoadTables(t.Context(), conn, []TableName{tt.name, {"crm", "clients"}})
			var te *TableError
			if !errors.As(err, &te) || te.Table != tt.name || te.Reason != tt.reason || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error = %v, want a TableError %q that says %q", err, tt.reason, tt.says)
			}
			if tables[TableName{"crm", "clients"}] == nil {
				t.Error("the table that is there was not loaded")
			}
		})
	}
}

// A role that may log in and nothing else reads the catalogue all the same.
func TestLoadTablesFewRights(t *testing.T) {
	url := pgtest.Database(t)
	admin := pgtest.MustConnect(t, url)
	pgtest.MustExec(t, admin, `CREATE TABLE t (id int PRIMARY KEY)`)
	role := testRole(t, admin, "")
	conn := pgtest.MustConnect(t, pgtest.WithUser(t, url, role, "x"))
	pgtest.MustExec(t, conn, `SET search_path = ''`)
	if table := mustLoad(t, conn, public("t"))[0]; len(table.Key) != 1 {
		t.Errorf("key = %v, want one column", table.Key)
	}
}
