package pgtest_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/walwire/walwire/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestDatabase(t *testing.T) {
	var name string
	slot := pgtest.Unique("slot")
	t.Run("Use", func(t *testing.T) {
		url := pgtest.Database(t)
		conn := pgtest.MustConnect(t, url)
		pgtest.MustExec(t, conn, "CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
		if err := conn.QueryRow(t.Context(), "SELECT current_database()").Scan(&name); err != nil {
			t.Fatal(err)
		}
		pgtest.MustExec(t, conn, "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", slot)
		readSlot(t, url, slot)
	})
	admin := pgtest.MustConnect(t, pgtest.ClusterURL(t))
	for what, query := range map[string]string{
		"the database": "SELECT count(*) FROM pg_database WHERE datname = $1",
		"a slot":       "SELECT count(*) FROM pg_replication_slots WHERE database = $1",
	} {
		var left int
		if err := admin.QueryRow(t.Context(), query, name).Scan(&left); err != nil {
			t.Fatal(err)
		}
		if left != 0 {
			t.Errorf("%s outlived its test", what)
		}
	}
}

// readSlot leaves a reader on the slot, as a consumer that was not stopped would.
func readSlot(t *testing.T, url, slot string) {
	t.Helper()
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	cfg.RuntimeParams["replication"] = "database"
	cfg.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.PgConn().Conn().Close() }) // after the database is gone
	pgtest.MustExec(t, pgtest.MustConnect(t, url), "CREATE PUBLICATION p FOR ALL TABLES")
	frontend := conn.PgConn().Frontend()
	frontend.SendQuery(&pgproto3.Query{String: "START_REPLICATION SLOT " + slot +
		" LOGICAL 0/0 (proto_version '1', publication_names 'p')"})
	if err := frontend.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := frontend.Receive(); err != nil { // CopyBothResponse: the slot is active
		t.Fatal(err)
	}
}
