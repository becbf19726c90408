package cdc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/internal/pgtest"
)

func published(t *testing.T, conn *pgx.Conn, publication string) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), `SELECT tablename::text FROM pg_publication_tables WHERE pubname = $1 ORDER BY 1`, publication)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func identity(t *testing.T, conn *pgx.Conn, table string) string {
	t.Helper()
	var c string
	if err := conn.QueryRow(t.Context(), `SELECT relreplident::text FROM pg_class WHERE relname = $1`, table).Scan(&c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEnsurePublication(t *testing.T) {
	conn := testConn(t, `
		CREATE TABLE a (id int PRIMARY KEY, v int); INSERT INTO a VALUES (1, 1);
		CREATE TABLE "B b" (id int NOT NULL UNIQUE, v int);
		ALTER TABLE "B b" REPLICA IDENTITY USING INDEX "B b_id_key";
		CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id);
		CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
		CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20)`)
	const name = `my "pub"`
	tables := mustLoad(t, conn, public("a"), public("B b"))
	added, err := EnsurePublication(t.Context(), conn, name, tables)
	if err != nil || len(added) != 2 {
		t.Fatalf("create: added %v, error %v", added, err)
	}
	if got := identity(t, conn, "a") + identity(t, conn, "B b"); got != "fi" {
		t.Errorf("identities of a and B b = %s, want f and, as somebody chose it, i", got)
	}

	tables = mustLoad(t, conn, public("a"), public("B b"), public("p"))
	added, err = EnsurePublication(t.Context(), conn, name, tables)
	if err != nil || !slices.Equal(added, []TableName{public("p")}) {
		t.Fatalf("add: added %v, error %v", added, err)
	}
	if got, want := published(t, conn, name), []string{"B b", "a", "p1", "p2"}; !slices.Equal(got, want) {
		t.Errorf("published %q, want %q", got, want)
	}
	if got := identity(t, conn, "p1") + identity(t, conn, "p2"); got != "ff" {
		t.Errorf("identities of the partitions = %s, want ff", got)
	}

	tables = mustLoad(t, conn, public("a"), public("B b"), public("p"))
	if added, err = EnsurePublication(t.Context(), conn, name, tables); err != nil || len(added) != 0 {
		t.Errorf("again: added %v, error %v, want nothing", added, err)
	}
	pgtest.MustExec(t, conn, `UPDATE a SET v = 2; DELETE FROM a; UPDATE "B b" SET v = 1; DELETE FROM p; TRUNCATE p1`)
}

// What would break the application's writes, or the stream, is refused before
// anything was changed, and after the printed SQL it is accepted.
func TestEnsurePublicationRefuses(t *testing.T) {
	const table = `CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1); `
	const generated = `CREATE TABLE t (id int PRIMARY KEY, v int, twice int GENERATED ALWAYS AS (2 * id) %s); INSERT INTO t VALUES (1, 1); `
	for _, tt := range []struct {
		name, sql, code string
		breaks          bool // the hazard is real: FULL makes an UPDATE fail
	}{
		{"OtherColumnList", table + `CREATE PUBLICATION other FOR TABLE t (id)`, CodeOtherColumnList, true},
		{"OtherColumnListOfAll", table + `CREATE PUBLICATION other FOR TABLE t (id, v) WHERE (id > 0)`, CodeOtherColumnList, true},
		{"ColumnList", table + `CREATE PUBLICATION walwire FOR TABLE t (id)`, CodePublicationColumns, true},
		{"RowFilter", table + `CREATE PUBLICATION walwire FOR TABLE t WHERE (id > 0)`, CodePublicationFilter, false},
		{"Operations", table + `CREATE PUBLICATION walwire FOR TABLE t WITH (publish = 'insert')`, CodePublicationOperations, false},
		{"AllTables", table + `CREATE TABLE bare (a int); CREATE PUBLICATION walwire FOR ALL TABLES`, CodePublicationAllTables, false},
		{"ViaRoot", `CREATE TABLE t (id int PRIMARY KEY, v int) PARTITION BY RANGE (id);
			CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10); INSERT INTO t VALUES (1, 1);
			CREATE PUBLICATION walwire FOR TABLE t WITH (publish_via_partition_root = true)`, CodePublicationViaRoot, false},
		{"OtherColumnListOnRoot", `CREATE TABLE t (id int PRIMARY KEY, v int) PARTITION BY RANGE (id);
			CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10); INSERT INTO t VALUES (1, 1);
			CREATE PUBLICATION other FOR TABLE t (id) WITH (publish_via_partition_root = true)`, CodeOtherColumnList, true},
		{"GeneratedUnpublished", fmt.Sprintf(generated, "STORED") + `CREATE PUBLICATION walwire FOR TABLE t`, CodeGenerated, true},
		{"GeneratedJoins", fmt.Sprintf(generated, "STORED") + `CREATE PUBLICATION walwire FOR TABLE fine`, CodeGenerated, false},
		{"GeneratedUnpublishedElsewhere", fmt.Sprintf(generated, "STORED") + `CREATE PUBLICATION other FOR TABLE t`, CodeGenerated, true},
		{"GeneratedVirtual", fmt.Sprintf(generated, "VIRTUAL") + `CREATE PUBLICATION other FOR TABLE t`, CodeGenerated, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			needs(t, tt.code)
			t.Parallel()
			conn := testConn(t, `CREATE TABLE fine (id int PRIMARY KEY)`, tt.sql)
			tables := mustLoad(t, conn, public("fine"), public("t"))
			leaf := tables[1].Leaves[0]
			_, err := EnsurePublication(t.Context(), conn, "walwire", tables)
			var refused *RefusedError
			if !errors.As(err, &refused) || len(refused.Findings) != 1 || refused.Findings[0].Code != tt.code {
				t.Fatalf("error = %v, want one finding %s", err, tt.code)
			}
			if got := identity(t, conn, "fine") + identity(t, conn, leaf.Name); got != "dd" {
				t.Errorf("refused, yet the identities of fine and %s became %s", leaf, got)
			}
			if tt.breaks {
				mustBreak(t, conn, leaf)
			}
			runFinding(t, conn, refused.Findings[0])
			tables = mustLoad(t, conn, public("fine"), public("t"))
			if _, err := EnsurePublication(t.Context(), conn, "walwire", tables); err != nil {
				t.Fatalf("after %s: %v", refused.Findings[0].SQL, err)
			}
			pgtest.MustExec(t, conn, `UPDATE t SET v = v + 1; DELETE FROM t`)
		})
	}
}

// needs skips a test of a finding that a version without its cause can't have.
func needs(t *testing.T, code string) {
	t.Helper()
	since := map[string]int{CodePublicationFilter: 15, CodePublicationColumns: 15, CodeOtherColumnList: 15,
		CodeGenerated: 18, CodeIdleSlotTimeout: 18}[code]
	if pgtest.Version(t) < since*10000 {
		t.Skipf("what %s is about is there since PostgreSQL %d", code, since)
	}
}

// mustBreak checks that the test's hazard is one.
func mustBreak(t *testing.T, conn *pgx.Conn, leaf Leaf) {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	pgtest.MustExec(t, tx, fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY FULL", leaf))
	if _, err := tx.Exec(t.Context(), "UPDATE t SET v = v + 1"); err == nil {
		t.Error("an UPDATE works in spite of the hazard: there is nothing to refuse")
	}
}

// runFinding runs a finding's SQL as printed, one statement a line.
func runFinding(t *testing.T, conn *pgx.Conn, f Finding) {
	t.Helper()
	if f.SQL == "" {
		t.Fatalf("%s: no SQL in %+v", f.Code, f)
	}
	for sql := range strings.Lines(f.SQL) {
		pgtest.MustExec(t, conn, sql)
	}
}

// An identity whose index was dropped is none: a published UPDATE would fail.
func TestEnsurePublicationIndexDropped(t *testing.T) {
	conn := testConn(t, `CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL); INSERT INTO t VALUES (1, 1);
		CREATE UNIQUE INDEX gone ON t (v, id); ALTER TABLE t REPLICA IDENTITY USING INDEX gone; DROP INDEX gone`)
	if _, err := EnsurePublication(t.Context(), conn, "walwire", mustLoad(t, conn, public("t"))); err != nil {
		t.Fatal(err)
	}
	pgtest.MustExec(t, conn, `UPDATE t SET v = 2`)
}

// A FOR ALL TABLES publication that harms nobody is left as it is.
func TestEnsurePublicationAllTables(t *testing.T) {
	conn := testConn(t, `CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION walwire FOR ALL TABLES`)
	added, err := EnsurePublication(t.Context(), conn, "walwire", mustLoad(t, conn, public("t")))
	if err != nil || len(added) != 0 || identity(t, conn, "t") != "f" {
		t.Errorf("added %v, error %v, identity %s; want none, nil, f", added, err, identity(t, conn, "t"))
	}
}

// While a reader holds the table, EnsurePublication gives way and comes again.
func TestEnsurePublicationLock(t *testing.T) {
	url := pgtest.Database(t)
	conn, reader := pgtest.MustConnect(t, url), pgtest.MustConnect(t, url)
	pgtest.MustExec(t, conn, `CREATE TABLE t (id int PRIMARY KEY)`)
	tables := mustLoad(t, conn, public("t"))
	pgtest.MustExec(t, reader, `BEGIN; SELECT FROM t`)
	done := make(chan error, 1)
	go func() {
		_, err := EnsurePublication(t.Context(), conn, "walwire", tables)
		done <- err
	}()
	// It queued and gave up once when, after having waited, it waits no more.
	watch := pgtest.MustConnect(t, url)
	waits := func() (n int) {
		err := watch.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = $1`, tables[0].OID).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	await(t, "the ALTER to queue", func() bool { return waits() == 1 })
	await(t, "the ALTER to give way", func() bool { return waits() == 0 })
	pgtest.MustExec(t, reader, `COMMIT`)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := identity(t, conn, "t"); got != "f" {
		t.Errorf("identity = %s, want f", got)
	}
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute) // also for a standby's start
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// The rows that a writer wrote before the ADD are not in the stream: WaitAdded
// returns only when a snapshot sees them, and says who holds it back.
func TestWaitAdded(t *testing.T) {
	url := pgtest.Database(t)
	conn, writer := pgtest.MustConnect(t, url), pgtest.MustConnect(t, url)
	slot := pgtest.Unique("slot")
	pgtest.MustExec(t, conn, `CREATE TABLE first (id int PRIMARY KEY); CREATE TABLE t (id int PRIMARY KEY)`)
	if _, err := EnsurePublication(t.Context(), conn, "walwire", mustLoad(t, conn, public("first"))); err != nil {
		t.Fatal(err)
	}
	pgtest.MustExec(t, conn, `SELECT pg_create_logical_replication_slot('`+slot+`', 'pgoutput')`)
	// Identity is set beforehand: its lock would wait for the writer.
	pgtest.MustExec(t, conn, `ALTER TABLE t REPLICA IDENTITY FULL`)
	tables := mustLoad(t, conn, public("first"), public("t"))
	pgtest.MustExec(t, writer, `BEGIN; INSERT INTO t VALUES (1)`)
	added, err := EnsurePublication(t.Context(), conn, "walwire", tables)
	if err != nil || !slices.Equal(added, []TableName{public("t")}) {
		t.Fatalf("added %v, error %v", added, err)
	}

	logged := make(chan string, 100)
	log := slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		logged <- string(p)
		return len(p), nil
	}), nil))
	done := make(chan error, 1)
	go func() { done <- WaitAdded(t.Context(), conn, log, added) }()
	select {
	case line := <-logged:
		if pid := fmt.Sprintf("pid %d ", writer.PgConn().PID()); !strings.Contains(line, pid) || !strings.Contains(line, `\"t\"`) {
			t.Errorf("logged %q, want the writer's %q and the table", line, pid)
		}
	case err := <-done:
		t.Fatalf("returned (%v) while the writer was open", err)
	case <-time.After(20 * time.Second):
		t.Fatal("neither logged nor returned")
	}
	pgtest.MustExec(t, writer, `INSERT INTO t VALUES (2); COMMIT`)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	var rows, inserts int
	err = conn.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM t),
		(SELECT count(*) FROM pg_logical_slot_peek_binary_changes($1, NULL, NULL, 'proto_version', '1', 'publication_names', 'walwire')
		 WHERE get_byte(data, 0) = ascii('I'))`, slot).Scan(&rows, &inserts)
	if err != nil {
		t.Fatal(err)
	}
	if rows != 2 || inserts != 1 {
		t.Errorf("the snapshot shows %d rows and the stream carried %d; want 2, and 1 as the reason for waiting", rows, inserts)
	}
}

// A writer younger than the transaction of the ADD can have written before that
// committed; a snapshot taken then has an xmax that does not cover it.
func TestWaitAddedYoungWriter(t *testing.T) {
	url := pgtest.Database(t)
	admin, writer, waiter := pgtest.MustConnect(t, url), pgtest.MustConnect(t, url), pgtest.MustConnect(t, url)
	pgtest.MustExec(t, admin, `CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION walwire`)
	pgtest.MustExec(t, admin, `BEGIN; ALTER PUBLICATION walwire ADD TABLE t`)
	pgtest.MustExec(t, writer, `BEGIN; INSERT INTO t VALUES (1)`)
	pgtest.MustExec(t, admin, `COMMIT`)
	ctx, cancel := context.WithCancel(t.Context())
	log := slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		cancel()
		return len(p), nil
	}), nil))
	if err := WaitAdded(ctx, waiter, log, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want it to wait until cancelled", err)
	}
}

func TestWaitAddedPrepared(t *testing.T) {
	conn := testConn(t, `CREATE TABLE t (id int PRIMARY KEY)`)
	gid := pgtest.Unique("gid")
	pgtest.MustExec(t, conn, `BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION '`+gid+`'`)
	ctx, cancel := context.WithCancel(t.Context())
	logged := make(chan string, 100)
	log := slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		logged <- string(p)
		cancel()
		return len(p), nil
	}), nil))
	waiter := pgtest.MustConnect(t, pgtest.WithDatabase(t, pgtest.ClusterURL(t), conn.Config().Database))
	if err := WaitAdded(ctx, waiter, log, []TableName{public("t")}); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want it to wait until cancelled", err)
	}
	close(logged)
	if line := <-logged; !strings.Contains(line, gid) {
		t.Errorf("logged %q, want the prepared transaction %s", line, gid)
	}
	pgtest.MustExec(t, conn, `ROLLBACK PREPARED '`+gid+`'`)
	if err := WaitAdded(t.Context(), conn, log, nil); err != nil {
		t.Error(err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// A table has joined the publication also by its schema, by all tables being published,
// and by the table that it is a partition of.
func TestJoining(t *testing.T) {
	ways := map[string]string{"table": "FOR TABLE t", "all tables": "FOR ALL TABLES", "root": "FOR TABLE root"}
	if pgtest.Version(t) >= 150000 {
		ways["schema"] = "FOR TABLES IN SCHEMA public"
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			url := pgtest.Database(t)
			conn, writer := pgtest.MustConnect(t, url), pgtest.MustConnect(t, url)
			pgtest.MustExec(t, conn, `CREATE TABLE t (id int PRIMARY KEY);
				CREATE TABLE root (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE part PARTITION OF root DEFAULT`)
			table := public("t")
			if name == "root" {
				table = public("part")
			}
			before, err := Fingerprints(t.Context(), conn, "joins", []TableName{table})
			if err != nil {
				t.Fatal(err)
			}
			pgtest.MustExec(t, writer, "BEGIN; SELECT pg_current_xact_id()")
			pgtest.MustExec(t, conn, "CREATE PUBLICATION joins "+way)
			joining, err := Joining(t.Context(), conn, "joins", []TableName{table})
			if err != nil || !slices.Equal(joining, []TableName{table}) {
				t.Errorf("joining: %v, %v", joining, err)
			}
			pgtest.MustExec(t, writer, "COMMIT")
			pgtest.MustExec(t, conn, "SELECT pg_current_xact_id()")
			await(t, "the table to have joined", func() bool { // others of the cluster may be open
				joining, err := Joining(t.Context(), conn, "joins", []TableName{table})
				if err != nil {
					t.Fatal(err)
				}
				return len(joining) == 0
			})
			there, err := Fingerprints(t.Context(), conn, "joins", []TableName{table})
			if err != nil || there[table].Publication == before[table].Publication {
				t.Errorf("the fingerprint does not tell that it is published: %v", err)
			}
			if name != "root" {
				return
			}
			pgtest.MustExec(t, conn, "ALTER PUBLICATION joins DROP TABLE root")
			left, err := Fingerprints(t.Context(), conn, "joins", []TableName{table})
			if err != nil || left[table].Publication == there[table].Publication {
				t.Errorf("nor that it is not any more: %v", err)
			}
		})
	}
}
