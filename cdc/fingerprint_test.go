package cdc

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/internal/pgtest"
)

func mustFingerprint(t *testing.T, conn *pgx.Conn, name TableName) Fingerprint {
	t.Helper()
	found, err := Fingerprints(t.Context(), conn, "walwire", []TableName{name})
	if err != nil {
		t.Fatal(err)
	}
	return found[name]
}

// A table of a publication FOR TABLES IN SCHEMA (since 15) has no entry of its own
// in the publication.
func TestFingerprintsSchemaPublished(t *testing.T) {
	if pgtest.Version(t) < 150000 {
		t.Skip("schemas can be published since PostgreSQL 15")
	}
	conn := testConn(t, `CREATE SCHEMA other; CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION walwire FOR TABLES IN SCHEMA public`)
	before := mustFingerprint(t, conn, public("t"))
	pgtest.MustExec(t, conn, `ALTER PUBLICATION walwire ADD TABLES IN SCHEMA other`)
	if mustFingerprint(t, conn, public("t")) != before {
		t.Error("another schema changed the fingerprint")
	}
	pgtest.MustExec(t, conn, `ALTER PUBLICATION walwire DROP TABLES IN SCHEMA public`)
	dropped := mustFingerprint(t, conn, public("t"))
	if dropped.Publication == before.Publication || dropped.Shape != before.Shape {
		t.Errorf("from %v to %v: want another place in the publication and the same shape", before, dropped)
	}
	pgtest.MustExec(t, conn, `ALTER PUBLICATION walwire ADD TABLES IN SCHEMA public`)
	if back := mustFingerprint(t, conn, public("t")); back.Publication == before.Publication {
		t.Error("a table that left the publication and came back has the fingerprint of before")
	}
}

// Without NOT NULL an index names no row.
func TestFingerprintsNotNull(t *testing.T) {
	conn := testConn(t, `CREATE TABLE t (id int NOT NULL UNIQUE); CREATE PUBLICATION walwire FOR TABLE t`)
	before := mustFingerprint(t, conn, public("t"))
	pgtest.MustExec(t, conn, `ALTER TABLE t ALTER id DROP NOT NULL`)
	if mustFingerprint(t, conn, public("t")).Shape == before.Shape {
		t.Error("the fingerprint does not tell")
	}
}

// Two columns that have swapped their names, and have them back, are not as before: rows
// may have been read in between.
func TestFingerprintsSwappedAndBack(t *testing.T) {
	conn := testConn(t, `CREATE TABLE t (id int PRIMARY KEY, a text, b text); CREATE PUBLICATION walwire FOR TABLE t`)
	before := mustFingerprint(t, conn, public("t"))
	for range 2 {
		pgtest.MustExec(t, conn, `ALTER TABLE t RENAME a TO c; ALTER TABLE t RENAME b TO a; ALTER TABLE t RENAME c TO b`)
	}
	if mustFingerprint(t, conn, public("t")).Shape == before.Shape {
		t.Error("the fingerprint does not tell")
	}
}
