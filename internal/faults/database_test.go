package faults_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/internal/pgserver"
	"github.com/walwire/walwire/internal/pgtest"
	"github.com/walwire/walwire/mapping"
)

// The walsender dies, PostgreSQL is restarted, in order and as in a crash, under
// writers: nobody is begun anew and nothing is lost.
func TestPostgresUnderWriters(t *testing.T) {
	server := pgtest.New(t, nil)
	s := apptest.Start(t, itemsOptions(server.URL(), nil))
	f := newFleet(t, s.WS)
	joinItems(s, f, 24)
	w := startWriters(t, s.AdminURL, 3, 5*time.Millisecond)
	for _, fault := range []struct {
		name string
		do   func() error
	}{
		{"walsender", func() error {
			for range 5 {
				s.Exec(`SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active_pid IS NOT NULL`, s.Config.Slot)
				w.more(t, 30)
			}
			return nil
		}},
		{"all backends", func() error {
			s.Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'walwire' AND pid <> pg_backend_pid()`)
			return nil
		}},
		{"fast", func() error { pgtest.RestartInOrder(t, server); return nil }},
		{"immediate", func() error { return server.Restart(t.Context(), pgserver.Immediate) }},
	} {
		w.more(t, 100)
		begun := time.Now()
		if err := fault.do(); err != nil {
			t.Fatal(err)
		}
		did := time.Since(begun)
		s.DB = pgtest.MustConnect(s.TB, s.AdminURL)
		w.more(t, 50)
		begun = time.Now()
		f.reach(s.LSN())
		t.Logf("%s: took %s, everybody was up to date %s after 50 more commits", fault.name, did.Round(time.Millisecond), time.Since(begun).Round(time.Millisecond))
	}
	w.stop()
	f.mustEqual(s)
	if sum := f.tally(); sum.resets > 0 || sum.welcomes > len(f.members) {
		t.Errorf("%+v: the slot remembers, and the connections have nothing to do with it", sum)
	}
}

// Commits wait for a synchronous standby that is not there: they are in the WAL, and
// no query sees them yet. They reach every client once, whatever is restarted, and
// the slot is not moved past them.
func TestSynchronousStandbyAway(t *testing.T) {
	server := pgtest.New(t, nil)
	s := apptest.Start(t, itemsOptions(server.URL(), func(c *mapping.Config) {
		c.Retention.Age = time.Second
		quickStatus(c)
	}))
	f := newFleet(t, s.WS)
	for n := range 8 {
		company := 1 + n%2
		f.join(company, s.Owner(fmt.Sprint(company)), everything(), filter(n), window(n, 5))
	}
	f.answered()
	s.Exec(`ALTER SYSTEM SET synchronous_standby_names = 'nobody'`)
	s.Exec(`SELECT pg_reload_conf()`)
	s.Exec(`SET synchronous_commit = local`)
	awaitHanging(t, s)
	var before string
	s.Scan(&before, `SELECT pg_current_wal_insert_lsn()`)
	hanging := make(chan error, 6)
	for n := range cap(hanging) {
		go func() {
			conn, err := pgx.Connect(t.Context(), s.AdminURL)
			if err == nil {
				_, err = conn.Exec(t.Context(), fmt.Sprintf(`SET synchronous_commit = on; UPDATE items SET note = 'hangs', grp = (grp + 1) %% 25 WHERE id %% 50 = %d;
					DELETE FROM items WHERE id %% 500 = %d; INSERT INTO items VALUES (%d, 1, %d, 9, 'hangs')`, n, n+40, 5000+n, n))
				_ = conn.Close(context.Background())
			}
			hanging <- err
		}()
	}
	await(t, "the commits to hang", func() bool { return waitingCommits(s) == 1+cap(hanging) })
	visible := everything().expected(s, 1)
	if strings.Contains(visible, "hangs") {
		t.Fatal("the commits are visible")
	}
	s.Exec(`UPDATE items SET v = v + 1 WHERE id = 10`) // local: goes on
	f.reach(s.LSN())
	f.join(1, s.Owner("1"), everything(), filter(0), window(1, 7), filter(3)) // opened meanwhile
	f.join(2, s.Owner("2"), everything())
	f.join(3, s.Owner("3"), everything()) // a company that nobody has watched
	f.reach(s.LSN())
	held := func() bool {
		var past bool
		s.Scan(&past, `SELECT confirmed_flush_lsn > (SELECT min(lsn) FROM hung) FROM pg_replication_slots WHERE slot_name = '`+s.Config.Slot+`'`)
		return !past
	}
	s.Exec(`CREATE TABLE hung AS SELECT '` + before + `'::pg_lsn + 1000000 AS lsn`) // above every one of them
	s.Exec(`INSERT INTO elsewhere (note) SELECT repeat('x', 1000) FROM generate_series(1, 3000)`)
	s.Exec(`UPDATE items SET v = v + 1 WHERE id = 10`)
	f.reach(s.LSN())
	pause(t.Context(), 3*time.Second) // three times retention.age: the log would have let go of them
	f.reach(s.LSN())
	if !held() {
		t.Error("the slot was moved past commits that nobody sees")
	}
	agree := func(when string) {
		t.Helper()
		first := make(map[int]string)
		for _, m := range f.members {
			shown := m.shown(0)
			if first[m.company] == "" {
				first[m.company] = shown
			}
			if shown != first[m.company] {
				t.Fatalf("%s: two clients of company %d show different rows", when, m.company)
			}
			if !strings.Contains(shown, "hangs") {
				t.Fatalf("%s: company %d is not shown the commits", when, m.company)
			}
		}
	}
	agree("while the commits hang")

	s.Stop()
	s.Run()
	f.answered()
	f.join(1, s.Owner("1"), everything(), filter(1), window(2, 3))
	f.join(4, s.Owner("4"), everything())
	f.reach(s.LSN())
	agree("after a restart of walwire")
	if !held() {
		t.Error("the slot was moved past commits that nobody sees")
	}

	if err := server.Restart(t.Context(), pgserver.Fast); err != nil {
		t.Fatal(err)
	}
	s.DB = pgtest.MustConnect(s.TB, s.AdminURL)
	for range cap(hanging) {
		<-hanging
	}
	s.Exec(`ALTER SYSTEM RESET synchronous_standby_names`)
	s.Exec(`SELECT pg_reload_conf()`)
	s.Exec(`UPDATE items SET v = v + 1 WHERE id = 2`)
	f.mustEqual(s)
	agree("after a restart of PostgreSQL")
	await(t, "the slot to move on", func() bool { return !held() })
	if n := testutil.ToFloat64(s.Hub().Metrics.Mismatches); n != 0 {
		t.Errorf("two live queries disagreed about a row %v times", n)
	}
	t.Logf("%+v", f.tally())
}

// awaitHanging waits until commits wait for the standby: one does from then on.
func awaitHanging(t *testing.T, s *apptest.Server) {
	t.Helper()
	var hangs atomic.Bool
	go func() {
		conn, err := pgx.Connect(t.Context(), s.AdminURL)
		for err == nil && !hangs.Load() { // the last one hangs
			_, err = conn.Exec(t.Context(), `INSERT INTO elsewhere (note) VALUES ('probe')`)
		}
		if conn != nil {
			_ = conn.Close(context.Background())
		}
	}()
	await(t, "a commit to wait for the standby", func() bool { return waitingCommits(s) == 1 })
	hangs.Store(true)
}

func waitingCommits(s *apptest.Server) (n int) {
	s.TB.Helper()
	s.Scan(&n, `SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`)
	return n
}

// The role's connections are all taken while many queries are opened at once: each
// gets its rows in the end, and the stream goes on.
func TestConnectionLimit(t *testing.T) {
	s := apptest.Start(t, itemsOptions("", nil))
	s.Exec(`ALTER ROLE ` + pgx.Identifier{mustUser(t, s.Config.DatabaseURL.Reveal())}.Sanitize() + ` CONNECTION LIMIT 3`)
	s.Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'walwire' AND datname = current_database() AND backend_type = 'client backend'`)
	f := newFleet(t, s.WS)
	w := startWriters(t, s.AdminURL, 2, 5*time.Millisecond)
	f.join(1, s.Owner("1"), everything())
	f.answered()
	begun := time.Now()
	for n := range 200 {
		company := 1 + n%companies
		f.join(company, s.Owner(fmt.Sprint(company)), filter(n/companies%groups), window(n/companies%groups, 1+n%7))
	}
	f.answered()
	took := time.Since(begun)
	w.more(t, 50)
	w.stop()
	f.mustEqual(s)
	t.Logf("400 queries of 200 clients had their rows after %s, %v snapshots were asked for", took.Round(time.Millisecond), testutil.ToFloat64(s.Hub().Metrics.Snapshots))
	for _, m := range f.members {
		if len(m.errors) > 0 || m.welcomes != 1 {
			t.Errorf("errors %v, %d connections", m.errors, m.welcomes)
		}
	}
}

// An open transaction with an id holds xmin back for long: hand-offs, resumes and
// what is visible go on; a new slot waits for it, and says so.
func TestIdleTransaction(t *testing.T) {
	log := newLog(t)
	o := itemsOptions(pgtest.New(t, nil).URL(), recreate)
	o.Log = log.logger
	s := apptest.Start(t, o)
	idle := pgtest.MustConnect(t, s.AdminURL)
	pgtest.MustExec(t, idle, `SET application_name = 'forgotten'; BEGIN; SELECT pg_current_xact_id(); INSERT INTO items VALUES (9000, 1, 1, 1, 'open')`)
	f := newFleet(t, s.WS)
	w := startWriters(t, s.AdminURL, 2, 5*time.Millisecond)
	begun := time.Now()
	joinItems(s, f, 16)
	w.more(t, 100)
	f.reach(s.LSN())
	t.Logf("hand-offs with an open transaction: %s", time.Since(begun).Round(time.Millisecond))
	s.Stop()
	w.more(t, 100)
	s.Run()
	f.answered()
	if sum := f.tally(); sum.resets > 0 || sum.resumes == 0 {
		t.Errorf("%+v: the log reaches back", sum)
	}
	w.stop()
	s.Exec(`UPDATE items SET v = v + 1 WHERE id BETWEEN 10 AND 20`)
	f.reach(s.LSN())
	await(t, "the commits to be seen as visible", func() bool { return s.Hub().Unseen() == 0 })

	dropSlot(t, s)
	await(t, "the log to say for whom a new slot waits", func() bool {
		return log.contains("slot creation waits", "forgotten")
	})
	s.Exec(`UPDATE items SET v = v + 1 WHERE id BETWEEN 10 AND 20`)
	pgtest.MustExec(t, idle, `COMMIT`)
	f.mustEqual(s)
}
