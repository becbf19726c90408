package cdc

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/walwire/walwire/internal/pgtest"
)

func newTestSnapshotter(t *testing.T, b *bench, opts SnapshotterOptions) *Snapshotter {
	t.Helper()
	opts.DatabaseURL = b.opts.DatabaseURL
	s, err := NewSnapshotter(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// selectT selects the table t into rows.
func selectT(rows *[]string) Select {
	return Select{
		Table: public("t"),
		SQL:   "SELECT id, v FROM public.t ORDER BY id",
		Types: []uint32{pgtype.Int4OID, pgtype.TextOID},
		Row: func(values [][]byte) error {
			v := "NULL"
			if values[1] != nil {
				v = string(values[1])
			}
			*rows = append(*rows, string(values[0])+","+v)
			return nil
		},
	}
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != code {
		t.Errorf("got %v, want SQLSTATE %s", err, code)
	}
}

func TestSnapshotterRead(t *testing.T) {
	b := newBench(t)
	b.exec(t, "INSERT INTO t VALUES (1, 'a'), (2, NULL), (3, '')")
	s := newTestSnapshotter(t, b, SnapshotterOptions{})
	open := pgtest.MustConnect(t, b.url)
	pgtest.MustExec(t, open, "BEGIN; INSERT INTO t VALUES (4, 'not yet')")
	var running uint32
	if err := open.QueryRow(t.Context(), "SELECT pg_current_xact_id()::xid").Scan(&running); err != nil {
		t.Fatal(err)
	}
	before := b.lsn(t, "SELECT pg_current_wal_insert_lsn()::text")
	var rows []string
	snap, err := s.Read(t.Context(), selectT(&rows))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"1,a", "2,NULL", "3,"}; !slices.Equal(rows, want) {
		t.Errorf("rows %q, want %q", rows, want)
	}
	if snap.Position < before || snap.Position > b.lsn(t, "SELECT pg_current_wal_insert_lsn()::text") {
		t.Errorf("position %s is not one of the moment of reading", snap.Position)
	}
	if snap.Sees(running) {
		t.Error("the snapshot sees an open transaction")
	}
	pgtest.MustExec(t, open, "COMMIT")
	rows = nil
	if snap, err = s.Read(t.Context(), selectT(&rows)); err != nil || !snap.Sees(running) || len(rows) != 4 {
		t.Errorf("after the commit: rows %q, sees it %t, %v", rows, snap.Sees(running), err)
	}
	if snap, err = s.Visible(t.Context()); err != nil || !snap.Sees(running) {
		t.Errorf("Visible sees it %t, %v", snap.Sees(running), err)
	}
	var found []string
	q := selectT(&found)
	q.SQL, q.Args = "SELECT id, v FROM public.t WHERE id = $1::int AND v = $2", []string{"1", "a"}
	if _, err = s.Read(t.Context(), q); err != nil || !slices.Equal(found, []string{"1,a"}) {
		t.Errorf("with parameters: rows %q, %v", found, err)
	}
}

// Every error names its table, and leaves nothing behind in the connection.
func TestSnapshotterErrors(t *testing.T) {
	b := newBench(t)
	b.exec(t, "INSERT INTO t VALUES (1, 'a'), (2, 'b')")
	b.exec(t, "CREATE TABLE hidden (id int); CREATE TABLE gone (id int); GRANT SELECT ON gone TO "+b.role+"; DROP TABLE gone")
	// Only pg_sleep may take as long as StatementTimeout, on a slow machine too.
	s := newTestSnapshotter(t, b, SnapshotterOptions{Connections: 1, StatementTimeout: 5 * time.Second, LockTimeout: 100 * time.Millisecond})
	boom := errors.New("boom")
	for _, tt := range []struct {
		name   string
		change func(q *Select)
		code   string
		is     error
	}{
		{"FewerColumns", func(q *Select) { q.Types = q.Types[:1] }, "", ErrShapeChanged},
		{"MoreColumns", func(q *Select) { q.Types = append(q.Types, pgtype.TextOID) }, "", ErrShapeChanged},
		{"OtherType", func(q *Select) { q.Types = []uint32{pgtype.Int8OID, pgtype.TextOID} }, "", ErrShapeChanged},
		{"Row", func(q *Select) { q.Row = func([][]byte) error { return boom } }, "", boom},
		{"TableGone", func(q *Select) { q.Table = public("gone") }, "42P01", nil},
		{"ColumnGone", func(q *Select) { q.SQL = "SELECT id, w FROM public.t" }, "42703", nil},
		{"NoRight", func(q *Select) { q.Table = public("hidden") }, "42501", nil},
		{"StatementTimeout", func(q *Select) { q.SQL = "SELECT id, pg_sleep(20)::text FROM public.t" }, "57014", nil},
		{"WhileRowsCome", func(q *Select) { q.SQL = "SELECT 1 / (2 - id), v FROM public.t" }, "22012", nil},
		{"Write", func(q *Select) {
			q.SQL = "WITH x AS (SELECT nextval('public.unmapped_id_seq')) SELECT 1, 'a'::text FROM x"
		}, "42501", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var rows []string
			q := selectT(&rows)
			tt.change(&q)
			_, err := s.Read(t.Context(), q)
			if err == nil || !strings.Contains(err.Error(), "snapshot of "+q.Table.String()) {
				t.Fatalf("got %v", err)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("got %v, want %v", err, tt.is)
			}
			if tt.code != "" {
				wantCode(t, err, tt.code)
			}
			if tt.is == ErrShapeChanged && len(rows) > 0 {
				t.Errorf("rows of another shape were handed over: %q", rows)
			}
			rows = nil
			if _, err := s.Read(t.Context(), selectT(&rows)); err != nil || len(rows) != 2 {
				t.Errorf("the next one: rows %q, %v", rows, err)
			}
		})
	}
	t.Run("LockTimeout", func(t *testing.T) {
		altering := pgtest.MustConnect(t, b.url)
		pgtest.MustExec(t, altering, "BEGIN; LOCK TABLE t")
		var rows []string
		_, err := s.Read(t.Context(), selectT(&rows))
		wantCode(t, err, "55P03")
		pgtest.MustExec(t, altering, "ROLLBACK")
		if _, err := s.Read(t.Context(), selectT(&rows)); err != nil {
			t.Errorf("the next one: %v", err)
		}
	})
	t.Run("Cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var rows []string
		q := selectT(&rows)
		q.Row = func([][]byte) error {
			cancel()
			return nil
		}
		q.SQL = "SELECT id, v FROM public.t UNION ALL SELECT 0, repeat('x', i) FROM generate_series(1, 10000) i"
		if _, err := s.Read(ctx, q); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if _, err := s.Read(t.Context(), selectT(&rows)); err != nil {
			t.Errorf("the next one: %v", err)
		}
	})
}

// The lock comes before the snapshot: a rewrite of the table that is under way is
// waited for, and its rows are then all there.
func TestSnapshotterRewrite(t *testing.T) {
	b := newBench(t)
	b.exec(t, "INSERT INTO t SELECT i, 'a' FROM generate_series(1, 5) i")
	s := newTestSnapshotter(t, b, SnapshotterOptions{LockTimeout: time.Minute}) // Read does not try again
	altering := pgtest.MustConnect(t, b.url)
	pgtest.MustExec(t, altering, "BEGIN; ALTER TABLE t ALTER v TYPE text USING v || '!'")
	type result struct {
		rows []string
		err  error
	}
	read := make(chan result, 1)
	go func() {
		var r result
		_, r.err = s.Read(t.Context(), selectT(&r.rows))
		read <- r
	}()
	pgtest.AwaitLock(t, b.url, "t")
	pgtest.MustExec(t, altering, "COMMIT")
	if r := <-read; r.err != nil || !slices.Equal(r.rows, []string{"1,a!", "2,a!", "3,a!", "4,a!", "5,a!"}) {
		t.Errorf("rows %q, %v", r.rows, r.err)
	}
}

// Where row-level security applies to the role, its snapshots would lack rows that
// the stream carries: an error, not fewer rows.
func TestSnapshotterRowSecurity(t *testing.T) {
	b := newBench(t)
	b.exec(t, "INSERT INTO t VALUES (1, 'a'), (2, 'b')")
	b.exec(t, "ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY one ON t FOR SELECT USING (id = 1)")
	b.exec(t, "ALTER ROLE "+b.role+" SET row_security = on")
	s := newTestSnapshotter(t, b, SnapshotterOptions{})
	var rows []string
	_, err := s.Read(t.Context(), selectT(&rows))
	wantCode(t, err, "42501")
	if len(rows) > 0 {
		t.Errorf("rows %q were handed over", rows)
	}
	b.exec(t, "ALTER ROLE "+b.role+" BYPASSRLS")
	if _, err = s.Read(t.Context(), selectT(&rows)); err != nil || len(rows) != 2 {
		t.Errorf("with BYPASSRLS: rows %q, %v", rows, err)
	}
}

// A snapshot's position lies in the WAL that is on disk once Read has returned,
// or else the stream could not reach it.
func TestSnapshotterFlushes(t *testing.T) {
	b := newBench(t)
	s := newTestSnapshotter(t, b, SnapshotterOptions{})
	b.exec(t, "SET synchronous_commit = off")
	unflushed := 0
	for range 20 {
		b.exec(t, "INSERT INTO unmapped (v) VALUES ('x')")
		if b.lsn(t, "SELECT pg_current_wal_flush_lsn()::text") < b.lsn(t, "SELECT pg_current_wal_insert_lsn()::text") {
			unflushed++
		}
		var rows []string
		snap, err := s.Read(t.Context(), selectT(&rows))
		if err != nil {
			t.Fatal(err)
		}
		if flushed := b.lsn(t, "SELECT pg_current_wal_flush_lsn()::text"); flushed < snap.Position {
			t.Fatalf("the WAL is flushed to %s, the snapshot lies at %s", flushed, snap.Position)
		}
	}
	if unflushed == 0 {
		t.Error("no commit was asynchronous: the test shows nothing")
	}
}

// A synchronous standby that is away does not hang the heartbeat.
func testHeartbeatWithoutStandby(t *testing.T, b *bench, s *Snapshotter) {
	t.Helper()
	b.exec(t, "ALTER SYSTEM SET synchronous_standby_names = 'absent'")
	b.exec(t, "SELECT pg_reload_conf()")
	await(t, "the setting to be in force", func() (in bool) {
		err := s.Pool().QueryRow(t.Context(), "SELECT current_setting('synchronous_standby_names') = 'absent'").Scan(&in)
		return err == nil && in
	})
	if err := s.Heartbeat(t.Context()); err != nil {
		t.Error(err)
	}
	// For the test's own clean-up, whose commits would wait.
	b.exec(t, "SET synchronous_commit = local")
	b.exec(t, "ALTER SYSTEM RESET synchronous_standby_names")
	b.exec(t, "SELECT pg_reload_conf()")
}

// PostgreSQL would compile what is asked of the catalogue, every two seconds, for longer
// than it runs.
func TestNothingIsCompiled(t *testing.T) {
	url := pgtest.Database(t)
	show := func(q CatalogQuerier) (jit string) {
		t.Helper()
		rows, err := q.Query(t.Context(), "SHOW jit")
		if err == nil {
			jit, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
		}
		if err != nil {
			t.Fatal(err)
		}
		return jit
	}
	if jit := show(pgtest.MustConnect(t, url)); jit != "on" {
		t.Fatalf("the server's jit is %s: nothing would be seen here", jit)
	}
	conn, err := Connect(t.Context(), url, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	s, err := NewSnapshotter(t.Context(), SnapshotterOptions{DatabaseURL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	for name, q := range map[string]CatalogQuerier{"a connection": conn, "the pool": s.Pool()} {
		if jit := show(q); jit != "off" {
			t.Errorf("%s: jit is %s", name, jit)
		}
	}
}

// Of queries read together each is done once, and one that fails fails alone.
func TestSnapshotterReadAll(t *testing.T) {
	b := newBench(t)
	b.exec(t, "INSERT INTO t VALUES (1, 'a'), (2, 'b')")
	s := newTestSnapshotter(t, b, SnapshotterOptions{Connections: 1})
	rows := make([][]string, 6)
	queries := make([]Select, len(rows))
	for i := range queries {
		queries[i] = selectT(&rows[i])
	}
	queries[1].SQL = "SELECT 1 / (2 - id), v FROM public.t" // fails at its second row
	queries[2].Unwanted = func() bool { return true }
	queries[4].SQL = "SELECT id, w FROM public.t" // fails before its first
	var snaps []Snapshot
	var order []int
	s.ReadAll(t.Context(), queries, func(i int, snap Snapshot, err error) {
		order = append(order, i)
		snaps = append(snaps, snap)
		switch i {
		case 1:
			wantCode(t, err, "22012")
		case 2:
			if !errors.Is(err, ErrUnwanted) {
				t.Errorf("query 2: %v", err)
			}
		case 4:
			wantCode(t, err, "42703")
		default:
			if err != nil || !slices.Equal(rows[i], []string{"1,a", "2,b"}) {
				t.Errorf("query %d: rows %q, %v", i, rows[i], err)
			}
		}
	})
	if want := []int{2, 0, 1, 3, 4, 5}; !slices.Equal(order, want) { // what nobody wants is done at once
		t.Fatalf("done were %v, want %v", order, want)
	}
	if len(rows[2]) > 0 {
		t.Errorf("a query that nobody wants gave %q", rows[2])
	}
	if snaps[3].Position < snaps[1].Position || snaps[5].Position < snaps[3].Position {
		t.Errorf("positions go back: %v", snaps)
	}
}
