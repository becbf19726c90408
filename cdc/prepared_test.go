package cdc

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgtype"
)

// A query that comes again is prepared; a table that changes under it costs one reading, and
// what clients think of does not pile up in the connection.
func TestSnapshotterPrepared(t *testing.T) {
	b := newBench(t)
	b.exec(t, "INSERT INTO t VALUES (1, 'a'), (2, 'b')")
	s := newTestSnapshotter(t, b, SnapshotterOptions{Connections: 1})
	count := func() (n int) {
		t.Helper()
		if err := s.pool.QueryRow(t.Context(), "SELECT count(*) FROM pg_prepared_statements WHERE name ~ '^walwire_'").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	read := func(q Select) error {
		_, err := s.Read(t.Context(), q)
		return err
	}
	var rows []string
	for range 3 {
		rows = nil
		if err := read(selectT(&rows)); err != nil || len(rows) != 2 {
			t.Fatalf("rows %q, %v", rows, err)
		}
	}
	if n := count(); n != 2 { // the query, and that for the position
		t.Errorf("%d statements are prepared, want 2", n)
	}
	b.exec(t, "ALTER TABLE t ALTER v TYPE varchar(10)")
	if err := read(selectT(&rows)); err == nil {
		t.Error("a column of another type is read as if it were the same")
	}
	rows = nil
	q := selectT(&rows)
	q.Types = []uint32{pgtype.Int4OID, pgtype.VarcharOID}
	for range 3 {
		if err := read(q); err != nil {
			t.Fatal(err)
		}
	}
	if len(rows) != 6 {
		t.Errorf("rows %q, want 2 three times", rows)
	}
	for i := range maxStatements + 50 {
		q.SQL = fmt.Sprintf("SELECT id, v FROM public.t WHERE id > %d", i)
		for range 2 {
			if err := read(q); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := count(); n > maxStatements {
		t.Errorf("%d statements are prepared, want at most %d", n, maxStatements)
	}
}
