package demo_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/internal/demo"
	"github.com/walwire/walwire/internal/pgserver"
	"github.com/walwire/walwire/internal/pgtest"
	"github.com/walwire/walwire/migrations"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// mustSeed makes the schema and the data in a database.
func mustSeed(tb testing.TB, url string) {
	tb.Helper()
	if err := migrations.Up(tb.Context(), url, slog.New(slog.DiscardHandler)); err != nil {
		tb.Fatal(err)
	}
	if err := demo.Seed(tb.Context(), url); err != nil {
		tb.Fatal(err)
	}
}

func mustCount(tb testing.TB, conn *pgx.Conn, sql string, args ...any) int {
	tb.Helper()
	var n int
	if err := conn.QueryRow(tb.Context(), sql, args...).Scan(&n); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
	return n
}

func TestSeed(t *testing.T) {
	url := pgtest.Database(t)
	mustSeed(t, url)
	conn := pgtest.MustConnect(t, url)

	t.Run("TwoCompaniesWithPeople", func(t *testing.T) {
		for table, want := range map[string]int{
			"companies": 2, "branches": 4, "staff": 16, "clients": 80, "appointments": 252,
		} {
			if got := mustCount(t, conn, "SELECT count(*) FROM "+table); got != want {
				t.Errorf("%d %s, want %d", got, table, want)
			}
		}
		names := mustCount(t, conn, "SELECT count(DISTINCT (company_id, name)) FROM clients")
		if names != 80 {
			t.Errorf("%d different names of clients, want 80", names)
		}
		for _, status := range []string{"pending", "confirmed", "completed"} {
			if mustCount(t, conn, "SELECT count(DISTINCT company_id) FROM appointments WHERE status = $1", status) != 2 {
				t.Errorf("not both companies have appointments that are %s", status)
			}
		}
	})

	t.Run("SameCompanyEverywhere", func(t *testing.T) {
		for table, foreign := range map[string]string{"branches": "branch_id", "staff": "staff_id", "clients": "client_id"} {
			if n := mustCount(t, conn, "SELECT count(*) FROM appointments a JOIN "+table+" f ON f.id = a."+foreign+
				" WHERE f.company_id <> a.company_id"); n != 0 {
				t.Errorf("%d appointments have %s of another company", n, table)
			}
		}
	})

	t.Run("NobodyTwiceAtOnce", func(t *testing.T) {
		if n := mustCount(t, conn, `SELECT count(*) FROM appointments a JOIN appointments b
			ON a.staff_id = b.staff_id AND a.id < b.id AND (a.starts_at, a.ends_at) OVERLAPS (b.starts_at, b.ends_at)`); n != 0 {
			t.Errorf("%d appointments overlap another of the same staff", n)
		}
	})

	t.Run("AgainChangesNothing", func(t *testing.T) {
		pgtest.MustExec(t, conn, "UPDATE clients SET name = 'changed'; DELETE FROM appointments WHERE status = 'cancelled'")
		const state = `SELECT hashtext(string_agg(x, '' ORDER BY x)) FROM (
			SELECT c::text x FROM clients c UNION ALL SELECT a::text FROM appointments a
			UNION ALL SELECT n::text FROM notifications n UNION ALL SELECT s::text FROM staff s) all_rows`
		before := mustCount(t, conn, state)
		if err := demo.Seed(t.Context(), url); err != nil {
			t.Fatal(err)
		}
		if after := mustCount(t, conn, state); before != after {
			t.Error("the second Seed changed rows")
		}
	})
}

func TestPrincipals(t *testing.T) {
	url := pgtest.Database(t)
	mustSeed(t, url)
	conn := pgtest.MustConnect(t, url)
	people := demo.Principals()
	for _, name := range []string{"owner", "receptionist", "staff", "client", "other_company_owner"} {
		t.Run(name, func(t *testing.T) {
			p, ok := people[name]
			if !ok {
				t.Fatal("there is no such principal")
			}
			if mustCount(t, conn, `SELECT count(*) FROM (SELECT user_id, company_id FROM staff UNION ALL
				SELECT user_id, company_id FROM clients) u WHERE user_id = $1 AND company_id = $2::text::uuid`, p.Sub, p.CompanyID) != 1 {
				t.Error("it is not in the data, exactly once")
			}
			if mustCount(t, conn, `SELECT count(*) FROM branches WHERE id::text = ANY($1) AND company_id = $2::text::uuid`,
				p.BranchIDs, p.CompanyID) != len(p.BranchIDs) {
				t.Error("its branches are not those of its company")
			}
		})
	}
	for column, id := range map[string]string{"staff_id": people["staff"].StaffID, "client_id": people["client"].ClientID} {
		if n := mustCount(t, conn, "SELECT count(*) FROM appointments WHERE "+column+" = $1::text::uuid", id); n < 10 {
			t.Errorf("%d appointments with the principal's %s, want 10 at least", n, column)
		}
	}
	if people["owner"].CompanyID == people["other_company_owner"].CompanyID {
		t.Error("both owners are of the same company")
	}
	if _, has := people["owner"].Claims()["client_id"]; has {
		t.Error("the owner's token has a client_id")
	}
}

// TestSimulate lets the simulation run over a crash of the server.
func TestSimulate(t *testing.T) {
	server := pgtest.New(t, nil)
	mustSeed(t, server.URL())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- demo.Simulate(ctx, server.URL(), 500) }()

	awaitActivity(t, server.URL())
	if err := server.Restart(t.Context(), pgserver.Immediate); err != nil {
		t.Fatal(err)
	}
	awaitActivity(t, server.URL())
	conn := pgtest.MustConnect(t, server.URL())
	if n := mustCount(t, conn, "SELECT count(DISTINCT company_id) FROM appointments WHERE updated_at <> created_at"); n != 2 {
		t.Errorf("activity in %d companies, want 2", n)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Simulate = %v, want nil at the end of its context", err)
	}
}

// awaitActivity waits until 200 rows more have been written.
func awaitActivity(t *testing.T, url string) {
	t.Helper()
	conn := pgtest.MustConnect(t, url)
	defer func() { _ = conn.Close(t.Context()) }()
	const written = `SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) FROM pg_stat_user_tables`
	start := mustCount(t, conn, written)
	deadline := time.Now().Add(30 * time.Second)
	for mustCount(t, conn, written) < start+200 {
		if time.Now().After(deadline) {
			t.Fatal("no activity within 30 s")
		}
		time.Sleep(20 * time.Millisecond) // the statistics have no event
	}
}

func TestSimulateErrors(t *testing.T) {
	t.Run("ErrNoTables", func(t *testing.T) {
		if err := demo.Simulate(t.Context(), pgtest.Database(t), 100); err == nil {
			t.Error("no error")
		}
	})
	t.Run("ErrRate", func(t *testing.T) {
		if err := demo.Simulate(t.Context(), pgtest.ClusterURL(t), 0); err == nil {
			t.Error("no error")
		}
	})
}
