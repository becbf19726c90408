package faults_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/internal/pgtest"
	"github.com/walwire/walwire/mapping"
)

// A snapshot takes seconds, and the log moves past it meanwhile: its rows are exact
// when they come, and nobody else waits for it.
func TestSlowSnapshot(t *testing.T) {
	adminURL := pgtest.Database(t)
	way := newProxy(t, host(t, adminURL))
	o := itemsOptions(adminURL, func(c *mapping.Config) {
		c.DatabaseURL = mapping.NewSecret(way.through(c.DatabaseURL.Reveal()))
		c.Limits.SnapshotConnections = 2
		c.Retention.Changes = 1000
	})
	s := apptest.Start(t, o)
	s.Exec(`INSERT INTO items SELECT n, 4, 100, 0, repeat('x', 3000) FROM generate_series(10001, 12500) n`) // 7.5 MB
	s.Exec(`INSERT INTO items SELECT n, 4, 100, 0, '' FROM generate_series(20001, 21100) n`)                // more than the log keeps, and soon sent
	f := newFleet(t, s.WS)
	joinItems(s, f, 0)
	f.reach(s.LSN())
	way.add("bandwidth", `{"rate":1000}`, "downstream") // of each connection, in kB/s
	begun := time.Now()
	slow := f.join(4, s.Owner("4"), filter(100))
	w := startWriters(t, s.AdminURL, 2, 2*time.Millisecond)
	changes := testutil.ToFloat64(s.Hub().Metrics.Changes)
	loaded := func() bool {
		slow.mu.Lock()
		defer slow.mu.Unlock()
		return slow.answered
	}
	var worst time.Duration // for rows of another company, and for a change of it
	joined := 0             // meanwhile
	for n := 0; !loaded(); n++ {
		at := time.Now()
		m := f.join(1, s.Owner("1"), filter(n%groups), window(n%groups, 3))
		await(t, "rows of another company", func() bool {
			m.mu.Lock()
			defer m.mu.Unlock()
			return m.answered
		})
		if n < 3 && !loaded() {
			s.Exec(`UPDATE items SET grp = 101 WHERE id = $1`, 10001+n)
			s.Exec(`DELETE FROM items WHERE id = $1`, 11001+n)
			s.Exec(`UPDATE items SET v = v + 1 WHERE id BETWEEN 11500 AND 11520 OR id > 20000`)
		}
		worst = max(worst, time.Since(at))
		if !loaded() {
			joined++
		}
	}
	took := time.Since(begun)
	passed := testutil.ToFloat64(s.Hub().Metrics.Changes) - changes
	w.stop()
	f.mustEqual(s)
	t.Logf("the snapshot took %s while %v changes went by a log of 1000; another company's queries waited %s at most",
		took.Round(10*time.Millisecond), passed, worst.Round(time.Millisecond))
	if passed <= 1000 || took < 2*time.Second {
		t.Errorf("%v changes in %s: the log did not move past the snapshot", passed, took)
	}
	if joined < 2 {
		t.Errorf("%d of another company's clients were served meanwhile, the slowest after %s", joined, worst)
	}
}

// A table is locked for long: its queries wait for it, with a single connection for
// snapshots, and those of another table do not.
func TestLockedTable(t *testing.T) {
	o := itemsOptions("", func(c *mapping.Config) { c.Limits.SnapshotConnections = 1 })
	o.Schema += `CREATE TABLE locked (id int PRIMARY KEY, company int NOT NULL);
		ALTER TABLE locked REPLICA IDENTITY FULL; ALTER PUBLICATION walwire ADD TABLE locked; INSERT INTO locked SELECT n, 1 FROM generate_series(1, 10) n;`
	o.Tables = append(o.Tables, pgx.Identifier{"public", "locked"})
	o.Config += `  locked: {table: public.locked, company: company, roles: {owner: {rows: true, columns: "*"}}}` + "\n"
	s := apptest.Start(t, o)
	holder := pgtest.MustConnect(t, s.AdminURL)
	pgtest.MustExec(t, holder, `BEGIN; LOCK TABLE locked IN ACCESS EXCLUSIVE MODE; INSERT INTO locked VALUES (11, 1)`)
	waiting := s.Connect(s.Owner("1"))
	q := waiting.Subscribe(1, `{"table":"locked"}`)
	f := newFleet(t, s.WS)
	begun := time.Now()
	joinItems(s, f, 12)
	s.Exec(`UPDATE items SET v = v + 1`)
	f.mustEqual(s)
	t.Logf("28 queries of other tables had their rows after %s", time.Since(begun).Round(time.Millisecond))
	if q.Loaded {
		t.Error("rows of a locked table")
	}
	pgtest.MustExec(t, holder, `COMMIT`)
	for !q.Loaded {
		if f := waiting.Read(); f.Type == "error" {
			t.Fatal(f)
		}
	}
	s.Wait(waiting)
	if len(q.Rows) != 11 {
		t.Errorf("%d rows, want 11", len(q.Rows))
	}
}
