package cdc

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/internal/pgtest"
)

const publishedTables = `
	CREATE SCHEMA other;
	CREATE TABLE a (id int PRIMARY KEY);
	CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY);
	CREATE TABLE other.b (id int PRIMARY KEY);
	CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE heir () INHERITS (parent);
	CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id);
	CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
	CREATE TABLE other.p2 PARTITION OF p FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (id);
	CREATE TABLE p21 PARTITION OF other.p2 FOR VALUES FROM (10) TO (15);
	CREATE TABLE other.p22 PARTITION OF other.p2 FOR VALUES FROM (15) TO (20)`

// What a publication publishes is what PostgreSQL says.
func TestPublishedAsPostgreSQL(t *testing.T) {
	schemas := pgtest.Version(t) >= 150000
	conn := testConn(t, publishedTables)
	for _, c := range []struct {
		members string
		schema  bool
	}{
		{members: ""},
		{members: "FOR TABLE a, other.b"},
		{members: "FOR TABLE parent"},
		{members: "FOR TABLE ONLY parent"},
		{members: "FOR TABLE p"},
		{members: "FOR TABLE p1, other.p2"},
		{members: "FOR TABLE other.p2, p21"},
		{members: "FOR TABLE p, other.p22"},
		{members: "FOR ALL TABLES"},
		{members: "FOR TABLES IN SCHEMA public", schema: true},
		{members: "FOR TABLES IN SCHEMA other", schema: true},
		{members: "FOR TABLES IN SCHEMA public, other", schema: true},
		{members: "FOR TABLES IN SCHEMA other, TABLE a, p", schema: true},
	} {
		if c.schema && !schemas {
			continue
		}
		for _, viaRoot := range []bool{false, true} {
			pgtest.MustExec(t, conn, fmt.Sprintf(`DROP PUBLICATION IF EXISTS walwire; CREATE PUBLICATION walwire %s WITH (publish_via_partition_root = %t)`, c.members, viaRoot))
			state, err := readPublication(t.Context(), conn, "walwire")
			if err != nil {
				t.Fatal(err)
			}
			rows, _ := conn.Query(t.Context(), `SELECT format('%I.%I', schemaname, tablename)::regclass::oid FROM pg_publication_tables WHERE pubname = 'walwire'`)
			want, err := pgx.CollectRows(rows, pgx.RowTo[uint32])
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(want)
			slices.Sort(state.Published)
			if want = slices.Compact(want); !slices.Equal(state.Published, want) { // 14 says some twice
				t.Errorf("%q via root %t: %v, PostgreSQL says %v", c.members, viaRoot, state.Published, want)
			}
		}
	}
}

// Who holds a table exclusively, as an ALTER or VACUUM FULL does, keeps nobody from
// reading the catalogue of the others, or of the table.
func TestCatalogueWhileTableIsHeld(t *testing.T) {
	conn := testConn(t, publishedTables+`; CREATE PUBLICATION walwire FOR TABLE a, parent, p, p1, p21, other.p22, other.b`)
	holder := pgtest.MustConnect(t, conn.Config().ConnString())
	pgtest.MustExec(t, holder, `BEGIN; LOCK TABLE a, p, p21 IN ACCESS EXCLUSIVE MODE`)
	pgtest.MustExec(t, conn, `SET lock_timeout = '250ms'`)
	names := []TableName{public("a"), public("p"), {"other", "b"}}
	var tables []*Table
	for what, read := range map[string]func(ctx context.Context) error{
		"publication": func(ctx context.Context) error { _, err := readPublication(ctx, conn, "walwire"); return err },
		"fingerprints": func(ctx context.Context) error {
			_, err := Fingerprints(ctx, conn, "walwire", names)
			return err
		},
		"tables": func(ctx context.Context) error {
			loaded, err := LoadTables(ctx, conn, names)
			for _, name := range names {
				tables = append(tables, loaded[name])
			}
			return err
		},
		"joining": func(ctx context.Context) error { _, err := Joining(ctx, conn, "walwire", names); return err },
	} {
		if err := read(t.Context()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if broken, err := Unpublished(t.Context(), conn, "walwire", tables); err != nil || len(broken) != 0 {
		t.Errorf("unpublished: %v, %v", broken, err)
	}
	if findings, err := identityHazards(t.Context(), conn, "walwire", tables, nil); err != nil || len(findings) != 0 {
		t.Errorf("hazards: %v, %v", findings, err)
	}
}

// A partition that is sent because its root is published must be named to 14, which may
// leave it out.
func TestRootPublished(t *testing.T) {
	conn := testConn(t, publishedTables+`; CREATE PUBLICATION walwire FOR TABLE p, p1, p21`)
	unpublished := func() string {
		t.Helper()
		broken, err := Unpublished(t.Context(), conn, "walwire", mustLoad(t, conn, public("p")))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(broken[public("p")])
	}
	want := fmt.Sprint(error(nil))
	if pgtest.Version(t) < 150000 {
		want = `the publication "walwire" does not name the partition "other"."p22" (walwire check says what to do)`
	}
	if got := unpublished(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, err := EnsurePublication(t.Context(), conn, "walwire", mustLoad(t, conn, public("p"))); err != nil {
		t.Fatal(err)
	}
	if got := unpublished(); got != fmt.Sprint(error(nil)) {
		t.Errorf("and it was mended: %s", got)
	}
}
