package cdc

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/walwire/walwire/internal/pgtest"
)

func mustInspect(t *testing.T, q CatalogQuerier, opts InspectOptions) []Finding {
	t.Helper()
	findings, err := Inspect(t.Context(), q, opts)
	if err != nil {
		t.Fatal(err)
	}
	return findings
}

// problems are the codes of what is not well; wal_keep_size_unbounded, which is
// so by default in every test cluster, is left out.
func problems(findings []Finding) []string {
	var codes []string
	for _, f := range findings {
		if f.Severity != SeverityOK && f.Code != CodeKeepSizeUnbounded {
			codes = append(codes, f.Code)
		}
	}
	return codes
}

func describe(findings []Finding) string {
	var b strings.Builder
	for _, f := range findings {
		if f.Severity != SeverityOK {
			fmt.Fprintf(&b, "%s %s %s: %s | %s | %s\n", f.Severity, f.Code, f.Subject, f.Message, f.SQL, f.Hint)
		}
	}
	return b.String()
}

// A sound database for walwire, in which nothing but the setup's change is wrong.
const soundSQL = `
	CREATE SCHEMA "My S";
	CREATE TABLE "My S"."T""t" (id int PRIMARY KEY, "Co" int NOT NULL, v text);
	INSERT INTO "My S"."T""t" VALUES (1, 1, 'x');
	ALTER TABLE "My S"."T""t" REPLICA IDENTITY FULL;
	CREATE PUBLICATION "wal Wire" FOR TABLE "My S"."T""t";
	GRANT USAGE ON SCHEMA "My S" TO %[1]s;
	GRANT SELECT ON "My S"."T""t" TO %[1]s;`

var soundTable = TableName{"My S", `T"t`}

// inspectBench is a sound database, its superuser and walwire's role.
type inspectBench struct {
	admin, conn *pgx.Conn
	role, url   string
	opts        InspectOptions
}

func newInspectBench(t *testing.T) *inspectBench {
	t.Helper()
	b := new(inspectBench)
	url := pgtest.Database(t)
	b.admin = pgtest.MustConnect(t, url)
	b.role = testRole(t, b.admin, "REPLICATION")
	pgtest.MustExec(t, b.admin, fmt.Sprintf(soundSQL, b.role))
	b.url = pgtest.WithUser(t, url, b.role, "x")
	b.conn = pgtest.MustConnect(t, b.url)
	b.opts = InspectOptions{
		Tables: []TableName{soundTable}, Publication: "wal Wire", Slot: pgtest.Unique("slot"), DatabaseURL: b.url,
		CompanyColumns: map[TableName]string{soundTable: "Co"},
		Columns:        map[TableName][]string{soundTable: {"v"}},
	}
	return b
}

func TestInspectSound(t *testing.T) {
	b := newInspectBench(t)
	findings := mustInspect(t, b.conn, b.opts)
	if got := problems(findings); len(got) > 0 {
		t.Errorf("a sound database has problems:\n%s", describe(findings))
	}
	oks := slices.DeleteFunc(slices.Clone(findings), func(f Finding) bool { return f.Severity != SeverityOK || f.Message == "" })
	if len(oks) < 18 {
		t.Errorf("%d checks are reported as well, want one finding for each", len(oks))
	}
}

// What is well is said in words that hold of this database, and not at all of
// what could not be looked at.
func TestInspectOK(t *testing.T) {
	b := newInspectBench(t)
	oks := func(opts InspectOptions) map[string]string {
		said := make(map[string]string)
		for _, f := range mustInspect(t, b.conn, opts) {
			if f.Severity == SeverityOK {
				said[f.Code] = f.Message
			}
		}
		return said
	}
	said := oks(b.opts)
	for code, want := range map[string]string{CodeSlot: "is not there yet", CodeSlotsFull: "replication slots are taken",
		CodeReplicationConnect: "was made", CodeSelectRight: "may SELECT", CodeRoleMissing: b.role} {
		if !strings.Contains(said[code], want) {
			t.Errorf("%s: %q, want %q in it", code, said[code], want)
		}
	}
	pgtest.MustExec(t, b.admin, fmt.Sprintf(`SELECT pg_create_logical_replication_slot('%s', 'pgoutput')`, b.opts.Slot))
	defer pgtest.MustExec(t, b.admin, dropSlot(b.opts.Slot))
	pgtest.MustExec(t, b.admin, fmt.Sprintf(`REVOKE SELECT ON "My S"."T""t" FROM %s`, b.role))
	b.opts.DatabaseURL = ""
	said = oks(b.opts)
	for code, want := range map[string]string{CodeSlot: "not lost and not in use", CodeSlotsFull: "needs no free one"} {
		if !strings.Contains(said[code], want) {
			t.Errorf("%s: %q, want %q in it", code, said[code], want)
		}
	}
	for _, code := range []string{CodeReplicationConnect, CodeSelectRight} {
		if said[code] != "" {
			t.Errorf("%s: %q, of what was not found well", code, said[code])
		}
	}
	b.opts.Tables = []TableName{{"My S", "none"}}
	for _, code := range []string{CodeKeyMissing, CodeReplicaIdentity, CodeRowSecurity, CodePublication} {
		if said := oks(b.opts)[code]; said != "" {
			t.Errorf("%s without a table: %q", code, said)
		}
	}
}

// Each thing that can be wrong is found by walwire's own role, and gone once the
// printed SQL was run by a superuser. %[1]s is the role, %[2]s the slot, %[3]s the database.
func TestInspectFindings(t *testing.T) {
	const table = `"My S"."T""t"`
	for _, tt := range []struct {
		name, sql string
		want      []string // codes, in the order found
		opts      func(*InspectOptions)
		noSQL     bool
	}{
		{name: "Superuser", want: []string{CodeSuperuser}, sql: `ALTER ROLE %[1]s SUPERUSER`, noSQL: true},
		{name: "Replication", want: []string{CodeReplicationRight}, sql: `ALTER ROLE %[1]s NOREPLICATION`},
		{name: "Connect", want: []string{CodeConnectRight}, sql: `REVOKE CONNECT ON DATABASE %[3]s FROM PUBLIC`,
			opts: func(o *InspectOptions) { o.DatabaseURL = "" }},
		{name: "SchemaAndSelect", want: []string{CodeSchemaRight, CodeSelectRight}, sql: `REVOKE USAGE ON SCHEMA "My S" FROM %[1]s; REVOKE SELECT ON ` + table + ` FROM %[1]s`},
		{name: "ColumnSelect", want: []string{CodeSelectRight}, sql: `REVOKE SELECT ON ` + table + ` FROM %[1]s; GRANT SELECT (id, "Co", v) ON ` + table + ` TO %[1]s`},
		{name: "RowSecurity", want: []string{CodeRowSecurity}, sql: `ALTER TABLE ` + table + ` ENABLE ROW LEVEL SECURITY`},
		{name: "TableMissing", want: []string{CodeTable}, opts: func(o *InspectOptions) { o.Tables = append(o.Tables, TableName{"My S", "none"}) }, noSQL: true},
		{name: "TableUnlogged", want: []string{CodeTable}, sql: `CREATE UNLOGGED TABLE u (id int PRIMARY KEY)`,
			opts: func(o *InspectOptions) { o.Tables = append(o.Tables, public("u")) }, noSQL: true},
		{name: "Column", want: []string{CodeColumnMissing}, noSQL: true, opts: func(o *InspectOptions) { o.Columns[soundTable] = []string{"co"} }},
		{name: "CompanyColumn", want: []string{CodeCompanyColumn}, noSQL: true, opts: func(o *InspectOptions) { o.CompanyColumns[soundTable] = "company_id" }},
		{name: "NoKey", want: []string{CodeKeyMissing}, sql: `ALTER TABLE ` + table + ` DROP CONSTRAINT "T""t_pkey"`},
		{name: "NullableKey", want: []string{CodeKeyMissing}, sql: `ALTER TABLE ` + table + ` DROP CONSTRAINT "T""t_pkey", ALTER COLUMN id DROP NOT NULL, ADD UNIQUE (id)`},
		{name: "DeferrableKey", want: []string{CodeKeyDeferrable}, sql: `ALTER TABLE ` + table + ` DROP CONSTRAINT "T""t_pkey", ADD PRIMARY KEY (id) DEFERRABLE`},
		{name: "IdentityDefault", want: []string{CodeReplicaIdentity}, sql: `ALTER TABLE ` + table + ` REPLICA IDENTITY DEFAULT`},
		{name: "IdentityNothing", want: []string{CodeReplicaIdentity}, sql: `ALTER TABLE ` + table + ` REPLICA IDENTITY NOTHING`},
		{name: "IdentityIndexNarrow", want: []string{CodeReplicaIdentity}, sql: `ALTER TABLE ` + table + ` REPLICA IDENTITY USING INDEX "T""t_pkey"`},
		{name: "IdentityIndexTOAST", want: []string{CodeIdentityIndex}, noSQL: false,
			sql: `CREATE UNIQUE INDEX i ON ` + table + ` ("Co", id); ALTER TABLE ` + table + ` REPLICA IDENTITY USING INDEX i`},
		{name: "Publication", want: []string{CodePublication}, sql: `DROP PUBLICATION "wal Wire"`},
		{name: "PublicationYoungerThanSlot", want: []string{CodePublication}, sql: `SELECT pg_create_logical_replication_slot('%[2]s', 'pgoutput'); DROP PUBLICATION "wal Wire"`},
		{name: "PublicationLacks", want: []string{CodePublicationLacks}, sql: `ALTER PUBLICATION "wal Wire" DROP TABLE ` + table},
		{name: "PublicationFilter", want: []string{CodePublicationFilter}, sql: `ALTER PUBLICATION "wal Wire" SET TABLE ` + table + ` WHERE (id > 0)`},
		{name: "PublicationColumns", want: []string{CodePublicationColumns}, sql: `ALTER PUBLICATION "wal Wire" SET TABLE ` + table + ` (id, "Co", v)`},
		{name: "PublicationOperations", want: []string{CodePublicationOperations}, sql: `ALTER PUBLICATION "wal Wire" SET (publish = 'insert, update')`},
		{name: "PublicationViaRoot", want: []string{CodePublicationViaRoot}, sql: `ALTER PUBLICATION "wal Wire" SET (publish_via_partition_root)`},
		{name: "PublicationAllTables", want: []string{CodePublicationAllTables},
			sql: `DROP PUBLICATION "wal Wire"; CREATE PUBLICATION "wal Wire" FOR ALL TABLES; CREATE TABLE bare (a int)`, noSQL: false},
		{name: "OtherColumnList", want: []string{CodeOtherColumnList}, sql: `CREATE PUBLICATION "Other" FOR TABLE ` + table + ` (id) WHERE (id > 0)`},
		{name: "SlotPlugin", want: []string{CodeSlot}, sql: `SELECT pg_create_logical_replication_slot('%[2]s', 'test_decoding')`},
		{name: "SlotPhysical", want: []string{CodeSlot}, sql: `SELECT pg_create_physical_replication_slot('%[2]s')`},
		{name: "Partitions", want: []string{CodeReplicaIdentity, CodePublicationViaRoot, CodePublicationLacks},
			sql: `CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (9);
				GRANT SELECT ON p TO %[1]s; ALTER PUBLICATION "wal Wire" ADD TABLE p; ALTER PUBLICATION "wal Wire" SET (publish_via_partition_root)`,
			opts: func(o *InspectOptions) { o.Tables = append(o.Tables, public("p")) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			needs(t, tt.want[0])
			b := newInspectBench(t)
			if tt.opts != nil {
				tt.opts(&b.opts)
			}
			if sql := fmt.Sprintf(tt.sql+"%.0[1]s%.0[2]s%.0[3]s", b.role, b.opts.Slot, b.admin.Config().Database); tt.sql != "" {
				pgtest.MustExec(t, b.admin, sql)
			}
			findings := mustInspect(t, b.conn, b.opts)
			if got := problems(findings); !slices.Equal(got, tt.want) {
				t.Fatalf("found %q, want %q:\n%s", got, tt.want, describe(findings))
			}
			if tt.noSQL {
				return
			}
			for _, f := range findings {
				if f.Severity != SeverityOK && f.Code != CodeKeepSizeUnbounded {
					mendFinding(t, b, f)
				}
			}
			findings = mustInspect(t, b.conn, b.opts)
			left := slices.DeleteFunc(problems(findings), func(code string) bool { return code == CodePublicationAllTables && tt.name == "PublicationAllTables" })
			if len(left) > 0 {
				t.Errorf("after mending there is still:\n%s", describe(findings))
			}
			pgtest.MustExec(t, b.admin, `UPDATE `+table+` SET v = 'y'; DELETE FROM `+table)
		})
	}
}

func mendFinding(t *testing.T, b *inspectBench, f Finding) {
	t.Helper()
	if f.Code == CodeIdentityIndex { // a decision, not a fault
		f.SQL = `ALTER TABLE "My S"."T""t" REPLICA IDENTITY FULL`
	}
	runFinding(t, b.admin, f)
}

// The rights that come with the finding about a superuser are enough.
func TestInspectSuperuserMended(t *testing.T) {
	srv := pgtest.New(t, nil)
	admin := pgtest.MustConnect(t, pgtest.DatabaseIn(t, srv.URL()))
	pgtest.MustExec(t, admin, `CREATE TABLE t (id int PRIMARY KEY); ALTER TABLE t REPLICA IDENTITY FULL; CREATE PUBLICATION walwire FOR TABLE t`)
	opts := InspectOptions{Tables: []TableName{public("t")}, Publication: "walwire", Slot: "walwire"}
	findings := mustInspect(t, admin, opts)
	if got := problems(findings); !slices.Equal(got, []string{CodeSuperuser}) {
		t.Fatalf("found:\n%s", describe(findings))
	}
	for _, f := range findings {
		if f.Code == CodeSuperuser {
			runFinding(t, admin, f)
		}
	}
	opts.User = "walwire"
	if findings = mustInspect(t, admin, opts); len(problems(findings)) > 0 {
		t.Errorf("after mending there is still:\n%s", describe(findings))
	}
	opts.User = "nobody there"
	findings = mustInspect(t, admin, opts)
	if got := problems(findings); !slices.Equal(got, []string{CodeRoleMissing}) {
		t.Fatalf("found:\n%s", describe(findings))
	}
	for _, f := range findings {
		if f.Code == CodeRoleMissing {
			runFinding(t, admin, f)
		}
	}
	if findings = mustInspect(t, admin, opts); len(problems(findings)) > 0 {
		t.Errorf("after mending there is still:\n%s", describe(findings))
	}
}

// With manage: true, what walwire mends at start is information.
func TestInspectManaged(t *testing.T) {
	b := newInspectBench(t)
	pgtest.MustExec(t, b.admin, `DROP PUBLICATION "wal Wire"; ALTER TABLE "My S"."T""t" REPLICA IDENTITY DEFAULT`)
	b.opts.Manage = true
	for _, f := range mustInspect(t, b.conn, b.opts) {
		if f.Severity == SeverityFatal {
			t.Errorf("fatal although managed: %+v", f)
		}
	}
}

// Generated columns are named on every version, with what 18 makes of them: one
// that is not published breaks the application's writes, and one that is published
// is left out all the same.
func TestInspectGenerated(t *testing.T) {
	b := newInspectBench(t)
	pgtest.MustExec(t, b.admin, `ALTER TABLE "My S"."T""t" ADD COLUMN "Twice" int GENERATED ALWAYS AS (2 * id) STORED`)
	findings := mustInspect(t, b.conn, b.opts)
	want := []string{CodeGenerated}
	if pgtest.Version(t) >= 180000 {
		want = append(want, CodeGenerated) // fatal
	}
	if got := problems(findings); !slices.Equal(got, want) {
		t.Fatalf("found %q, want %q:\n%s", got, want, describe(findings))
	}
	for _, f := range findings {
		switch {
		case f.Code != CodeGenerated:
		case f.Severity == SeverityInfo && !strings.Contains(f.Message, `left out of rows, filters and rules: "Twice"`):
			t.Errorf("it says %q", f.Message)
		case f.Severity == SeverityFatal:
			if _, err := b.admin.Exec(t.Context(), `UPDATE "My S"."T""t" SET v = 'y'`); err == nil {
				t.Error("an UPDATE works in spite of the finding")
			}
			runFinding(t, b.admin, f)
		}
	}
	findings = mustInspect(t, b.conn, b.opts)
	said := describe(findings)
	if got := problems(findings); !slices.Equal(got, []string{CodeGenerated}) {
		t.Errorf("after mending: found\n%s", said)
	}
	if sends := strings.Contains(said, "sends those that are stored"); sends != (pgtest.Version(t) >= 180000) {
		t.Errorf("it says\n%s", said)
	}
	pgtest.MustExec(t, b.admin, `UPDATE "My S"."T""t" SET v = 'y'; DELETE FROM "My S"."T""t"`)
}

// A slot in use is named with its reader; one of another database with that.
func TestInspectSlotElsewhere(t *testing.T) {
	b := newInspectBench(t)
	pgtest.MustExec(t, b.admin, `SELECT pg_create_logical_replication_slot('`+b.opts.Slot+`', 'pgoutput')`)
	other := pgtest.MustConnect(t, pgtest.Database(t))
	opts := b.opts
	opts.Tables, opts.DatabaseURL = nil, ""
	pgtest.MustExec(t, other, `CREATE PUBLICATION "wal Wire"`)
	findings := mustInspect(t, other, opts)
	if got := problems(findings); !slices.Equal(got, []string{CodeSuperuser, CodeSlot}) {
		t.Fatalf("found:\n%s", describe(findings))
	}
	repl, err := connectReplication(t.Context(), login{url: b.url})
	if err != nil {
		t.Fatal(err)
	}
	defer closeConn(repl)
	repl.Frontend().SendQuery(startReplicationQuery(b.opts.Slot, b.opts.Publication))
	if err := repl.Frontend().Flush(); err != nil {
		t.Fatal(err)
	}
	await(t, "the slot to be active", func() bool {
		return slices.Equal(problems(mustInspect(t, b.conn, b.opts)), []string{CodeSlotActive})
	})
}

func TestParseSyncStandbys(t *testing.T) {
	for _, tt := range []struct {
		value    string
		includes bool
		without  string // others: s9
	}{
		{``, false, ``},
		{`*`, true, `"s9"`},
		{`s1, s2`, false, `"s1", "s2"`},
		{`s1, WalWire`, true, `"s1"`},
		{`"walwire"`, true, ``},
		{`FIRST 2 (s1, walwire)`, true, `FIRST 1 ("s1")`},
		{`any 1 (*)`, true, `ANY 1 ("s9")`},
		{`2 (s1, "a""b, c", *)`, true, `2 ("s1", "a""b, c", "s9")`},
		{`"*x", walwire2`, false, `"*x", "walwire2"`},
	} {
		s := parseSyncStandbys(tt.value)
		if got := s.includes("walwire"); got != tt.includes {
			t.Errorf("%s includes walwire: %t, want %t", tt.value, got, tt.includes)
		}
		if got := s.without("walwire", []string{"s9"}); got != tt.without {
			t.Errorf("%s without walwire: %s, want %s", tt.value, got, tt.without)
		}
	}
}

func startReplicationQuery(slot, publication string) *pgproto3.Query {
	return &pgproto3.Query{String: fmt.Sprintf(`START_REPLICATION SLOT %s LOGICAL 0/0 (proto_version '1', publication_names '%s')`,
		quoteIdent(slot), quoteIdent(publication))}
}

// A failed check is a finding, and the others go on.
func TestInspectCheckFails(t *testing.T) {
	b := newInspectBench(t)
	findings := mustInspect(t, failing{b.conn, "pg_publication_rel r\n\t\tJOIN"}, b.opts)
	if got := problems(findings); !slices.Equal(got, []string{CodeInspection}) {
		t.Errorf("found:\n%s", describe(findings))
	}
}

// failing breaks the statement that contains a text.
type failing struct {
	*pgx.Conn
	text string
}

func (f failing) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if strings.Contains(sql, f.text) {
		return f.Conn.Query(ctx, "SELECT broken")
	}
	return f.Conn.Query(ctx, sql, args...)
}
