package migrations_test

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/internal/pgtest"
	"github.com/walwire/walwire/migrations"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func mustUp(tb testing.TB, url string) {
	tb.Helper()
	if err := migrations.Up(tb.Context(), url, slog.New(slog.DiscardHandler)); err != nil {
		tb.Fatal(err)
	}
}

// objects describes everything in schema public and all publications.
func objects(tb testing.TB, conn *pgx.Conn) []string {
	tb.Helper()
	rows, err := conn.Query(tb.Context(), `
		SELECT format('%s %s %s %s', relkind, relname, relreplident, oid) FROM pg_class
		WHERE relnamespace = 'public'::regnamespace
		UNION ALL SELECT 'publication ' || pubname FROM pg_publication
		UNION ALL SELECT format('published %s.%s', schemaname, tablename) FROM pg_publication_tables
		ORDER BY 1`)
	if err != nil {
		tb.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		tb.Fatal(err)
	}
	return all
}

func TestUp(t *testing.T) {
	discard := slog.New(slog.DiscardHandler)

	t.Run("Fresh", func(t *testing.T) {
		url := pgtest.Database(t)
		mustUp(t, url)
		conn := pgtest.MustConnect(t, url)
		var published, full int
		err := conn.QueryRow(t.Context(), `
			SELECT count(*), count(*) FILTER (WHERE c.relreplident = 'f')
			FROM pg_publication_tables p JOIN pg_class c ON c.oid = format('%I.%I', p.schemaname, p.tablename)::regclass
			WHERE p.pubname = 'walwire' AND tablename IN ('appointments', 'clients', 'staff', 'notifications')`).
			Scan(&published, &full)
		if err != nil {
			t.Fatal(err)
		}
		if published != 4 || full != 4 {
			t.Errorf("%d tables published, %d with full identity, want 4 and 4", published, full)
		}
		// A table with a generated column may join.
		if pgtest.Version(t) >= 180000 {
			pgtest.MustExec(t, conn, `CREATE TABLE invoices (id int PRIMARY KEY, net int, gross int GENERATED ALWAYS AS (net * 2) STORED);
				ALTER TABLE invoices REPLICA IDENTITY FULL; ALTER PUBLICATION walwire ADD TABLE invoices; INSERT INTO invoices VALUES (1, 1); UPDATE invoices SET net = 2; DELETE FROM invoices`)
		}
	})

	t.Run("Twice", func(t *testing.T) {
		url := pgtest.Database(t)
		mustUp(t, url)
		conn := pgtest.MustConnect(t, url)
		before := objects(t, conn)
		mustUp(t, url)
		equal(t, before, objects(t, conn))
	})

	t.Run("FromTheFirst", func(t *testing.T) { // a database with rows that knows the first migration alone
		url := pgtest.Database(t)
		mustUp(t, url)
		conn := pgtest.MustConnect(t, url)
		second, err := os.ReadFile("00002_dedupe_key.sql")
		if err != nil {
			t.Fatal(err)
		}
		_, down, _ := strings.Cut(string(second), "-- +goose Down")
		pgtest.MustExec(t, conn, down)
		pgtest.MustExec(t, conn, `DELETE FROM walwire_migrations WHERE version_id = 2;
			INSERT INTO companies (name) VALUES ('a'); INSERT INTO notifications (company_id, title) SELECT id, 'kept' FROM companies, generate_series(1, 2)`)
		mustUp(t, url)
		if n := pgtest.MustExec(t, conn, `UPDATE notifications SET dedupe_key = id::text`).RowsAffected(); n != 2 {
			t.Errorf("%d rows are left of 2", n)
		}
		if _, err := conn.Exec(t.Context(), `UPDATE notifications SET dedupe_key = 'the same'`); err == nil {
			t.Error("two notifications of a company have one dedupe_key")
		}
	})

	t.Run("AtOnce", func(t *testing.T) {
		url := pgtest.Database(t)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if err := migrations.Up(t.Context(), url, discard); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})

	for name, existing := range map[string]string{
		"ErrForeignTable":       `CREATE TABLE clients (id int)`,
		"ErrForeignView":        `CREATE VIEW staff AS SELECT 1`,
		"ErrForeignPublication": `CREATE PUBLICATION walwire`,
	} {
		t.Run(name, func(t *testing.T) {
			url := pgtest.Database(t)
			conn := pgtest.MustConnect(t, url)
			pgtest.MustExec(t, conn, existing)
			before := objects(t, conn)
			if err := migrations.Up(t.Context(), url, discard); !errors.Is(err, migrations.ErrForeignTables) {
				t.Errorf("Up = %v, want ErrForeignTables", err)
			}
			equal(t, before, objects(t, conn))
		})
	}

	t.Run("OtherSchema", func(t *testing.T) { // tables of these names elsewhere are nobody's concern
		url := pgtest.Database(t)
		pgtest.MustExec(t, pgtest.MustConnect(t, url), `CREATE SCHEMA other; CREATE TABLE other.clients (id int)`)
		mustUp(t, url)
	})
}

// TestCompanyChange moves a row by an UPDATE of company_id alone.
func TestCompanyChange(t *testing.T) {
	url := pgtest.Database(t)
	mustUp(t, url)
	conn := pgtest.MustConnect(t, url)
	pgtest.MustExec(t, conn, `
		INSERT INTO companies (id, name) VALUES ('00000000-0000-0000-0000-000000000001', 'a'), ('00000000-0000-0000-0000-000000000002', 'b');
		INSERT INTO branches (company_id, name) SELECT id, name FROM companies;
		INSERT INTO staff (company_id, branch_id, name) SELECT company_id, id, name FROM branches;
		INSERT INTO appointments (company_id, branch_id, staff_id, starts_at, ends_at)
			SELECT company_id, branch_id, id, now(), now() + interval '1 hour' FROM staff;
		UPDATE appointments SET company_id = '00000000-0000-0000-0000-000000000002';`)
}

func equal(t *testing.T, want, got []string) {
	t.Helper()
	if len(want) != len(got) {
		t.Fatalf("objects were %q, are %q", want, got)
	}
	for i := range want {
		if want[i] != got[i] {
			t.Errorf("object was %q, is %q", want[i], got[i])
		}
	}
}
