package faults_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/internal/pgtest"
	"github.com/walwire/walwire/mapping"
)

func recreate(c *mapping.Config) { c.OnSlotLoss = mapping.SlotLossRecreate }

// dropSlot takes the slot away under whoever reads it.
func dropSlot(t *testing.T, s *apptest.Server) {
	t.Helper()
	await(t, "the slot to be dropped", func() bool {
		s.Exec(`SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active_pid IS NOT NULL`, s.Config.Slot)
		_, err := s.DB.Exec(t.Context(), `SELECT pg_drop_replication_slot($1)`, s.Config.Slot)
		return err == nil
	})
}

// joinItems lets n clients of all companies join: a filter and a window each, and
// one a company that shows all of it.
func joinItems(s *apptest.Server, f *fleet, n int) {
	for company := 1; company <= companies; company++ {
		f.join(company, s.Owner(fmt.Sprint(company)), everything())
	}
	for i := range n {
		company, group := 1+i%companies, i/companies%groups
		f.join(company, s.Owner(fmt.Sprint(company)), filter(group), window(group, 5))
	}
	f.answered()
}

// changedRows counts the rows of a company that differ between two states of it.
func changedRows(before, after string) int {
	byID := func(text string) map[string]string {
		rows := make(map[string]string)
		for line := range strings.Lines(text) {
			id, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
			rows[id] = rest
		}
		return rows
	}
	was, is := byID(before), byID(after)
	n := 0
	for id, row := range is {
		if old, had := was[id]; !had || old != row {
			n++
		}
	}
	for id := range was {
		if _, has := is[id]; !has {
			n++
		}
	}
	return n
}

// The slot is dropped under load, again and again: every client is exact again, and
// is sent no row that has not changed.
func TestSlotLost(t *testing.T) {
	s := apptest.Start(t, itemsOptions("", recreate))
	f := newFleet(t, s.WS)
	joinItems(s, f, 40)
	w := startWriters(t, s.AdminURL, 3, 5*time.Millisecond)
	for range 4 {
		w.more(t, 150)
		gaps := testutil.ToFloat64(s.Hub().Metrics.Gaps)
		dropSlot(t, s)
		await(t, "the gap", func() bool { return testutil.ToFloat64(s.Hub().Metrics.Gaps) > gaps })
	}
	w.stop()
	f.mustEqual(s)
	before, rows := make([]string, companies+1), make([]int, companies)
	for company := range rows {
		before[company+1] = everything().expected(s, company+1)
		rows[company] = f.members[company].rows
	}
	started := f.tally()
	dropSlot(t, s)
	s.Exec(`UPDATE items SET note = 'in the gap' WHERE id % 50 = 3; DELETE FROM items WHERE id % 100 = 8; UPDATE items SET company = 1 WHERE id % 200 = 9`)
	f.mustEqual(s)
	sent, changed := 0, 0
	for company := range rows {
		n := f.members[company].rows - rows[company]
		want := changedRows(before[company+1], everything().expected(s, company+1))
		if n != want {
			t.Errorf("company %d: %d rows were sent, %d have changed", company+1, n, want)
		}
		sent, changed = sent+n, changed+want
	}
	sum := f.tally().minus(started)
	t.Logf("%d rows changed in the gap, %d sent to who shows everything, %d to all %d clients; %d resets, %d connections made anew",
		changed, sent, sum.rows, len(f.members), sum.resets, sum.welcomes)
	if sum.resets+sum.welcomes > 0 {
		t.Errorf("%d queries begun anew, %d connections made anew", sum.resets, sum.welcomes)
	}
	if n := testutil.ToFloat64(s.Hub().Metrics.Mismatches); n != 0 {
		t.Errorf("two live queries disagreed about a row %v times", n)
	}
}

const peopleConfig = `
version: 1
database_url: ${WALWIRE_DATABASE_URL}
listen: ${WALWIRE_LISTEN}
on_slot_loss: recreate
auth: {issuer: "${WALWIRE_ISSUER}", audience: "${WALWIRE_AUDIENCE}", keys: [{id: main, alg: HS256, secret: "${WALWIRE_TOKEN_SECRET}"}]}
user:
  claims: {id: sub, company: company_id, roles: roles}
users: [{table: people, match: {login: id}, attributes: {grp: grp}}]
tables:
  people: {table: public.people, company: company, roles: {owner: {rows: true, columns: "*"}}}
  items: {table: public.items, company: company, roles: {staff: {rows: row.grp == user.grp, columns: "*"}}}
`

// A lost slot ends no connection that rests on a row of its user: one whose row has changed
// meanwhile has the rights of now.
func TestSlotLostUsers(t *testing.T) {
	o := itemsOptions("", nil)
	o.Schema += `CREATE TABLE people (login text PRIMARY KEY, company int NOT NULL, grp int NOT NULL, seen int NOT NULL DEFAULT 0);
		ALTER TABLE people REPLICA IDENTITY FULL; ALTER PUBLICATION walwire ADD TABLE people;
		INSERT INTO people SELECT 'user ' || n, 1, n FROM generate_series(0, 9) n;`
	o.Config, o.Tables = peopleConfig, append(o.Tables, pgx.Identifier{"public", "people"})
	s := apptest.Start(t, o)
	f := newFleet(t, s.WS)
	for n := range 10 {
		f.join(1, s.Token(apptest.Claims{"sub": fmt.Sprint("user ", n), "company_id": "1", "roles": []string{"staff"}}), everything())
	}
	f.answered()
	for n := range 3 {
		dropSlot(t, s)
		s.Exec(`UPDATE people SET grp = grp + 10 WHERE login = 'user 7'; UPDATE people SET seen = seen + 1; UPDATE items SET v = v + 1`)
		f.reach(s.LSN())
		for i, m := range f.members {
			m.mu.Lock()
			if len(m.closes) > 0 {
				t.Errorf("round %d: client %d was closed as %v", n, i, m.closes)
			}
			m.mu.Unlock()
			group := i
			if i == 7 {
				group += 10 * (n + 1)
			}
			if got, want := m.shown(0), filter(group).expected(s, 1); got != want {
				t.Errorf("round %d: client %d shows\n%s\nwant\n%s", n, i, got, want)
			}
		}
	}
}

// Another program advances the slot, or makes it anew, while walwire is up or down.
// Where it is up, it ends or mends that; where it was down, clients begin anew.
func TestSlotTaken(t *testing.T) {
	for _, policy := range []string{mapping.SlotLossStop, mapping.SlotLossRecreate} {
		t.Run(policy, func(t *testing.T) {
			s := apptest.Prepare(t, itemsOptions("", func(c *mapping.Config) { c.OnSlotLoss = policy }))
			done, stop := s.Launch()
			defer func() { stop() }()
			<-s.Ready()
			f := newFleet(t, s.WS)
			joinItems(s, f, 8)
			for _, what := range []string{"advanced", "made anew"} {
				for _, up := range []bool{true, false} {
					s.Exec(`UPDATE items SET v = v + 1 WHERE id % 7 = 0`)
					f.mustEqual(s)
					before := f.tally()
					if !up {
						stop()
					}
					takeSlot(t, s, what)
					if up && policy == mapping.SlotLossStop {
						err := mustEnd(t, done)
						if !errors.Is(err, cdc.ErrSlotLost) || !strings.Contains(err.Error(), "was moved to") || !strings.Contains(err.Error(), "on_slot_loss") {
							t.Fatalf("ended with %v", err)
						}
					}
					if !up || policy == mapping.SlotLossStop {
						stop()
						done, stop = s.Launch()
						<-s.Ready()
					}
					s.Exec(`UPDATE items SET note = 'after' || v WHERE id % 11 = 0`)
					f.mustEqual(s)
					t.Logf("slot %s, up %t: %+v", what, up, f.tally().minus(before))
				}
			}
		})
	}
}

// The slot is moved past commits that nobody sees yet, since a standby is away: they
// are not in the stream any more, so the rows are read only once they are visible.
func TestSlotTakenInvisible(t *testing.T) {
	s := apptest.Start(t, itemsOptions(pgtest.New(t, nil).URL(), recreate))
	f := newFleet(t, s.WS)
	joinItems(s, f, 4)
	s.Exec(`ALTER SYSTEM SET synchronous_standby_names = 'nobody'`)
	s.Exec(`SELECT pg_reload_conf()`)
	s.Exec(`SET synchronous_commit = local`)
	awaitHanging(t, s)
	go func() {
		if conn, err := pgx.Connect(t.Context(), s.AdminURL); err == nil {
			_, _ = conn.Exec(t.Context(), `UPDATE items SET note = 'hangs', v = v + 1 WHERE id % 50 = 21`)
			_ = conn.Close(context.Background())
		}
	}()
	await(t, "the commit to hang", func() bool { return waitingCommits(s) == 2 })
	gaps := testutil.ToFloat64(s.Hub().Metrics.Gaps)
	takeSlot(t, s, "advanced")
	await(t, "the gap", func() bool { return testutil.ToFloat64(s.Hub().Metrics.Gaps) > gaps })
	snapshots := testutil.ToFloat64(s.Hub().Metrics.Snapshots)
	await(t, "more snapshots, none of which will do", func() bool { return testutil.ToFloat64(s.Hub().Metrics.Snapshots) > snapshots+20 })
	s.Exec(`ALTER SYSTEM RESET synchronous_standby_names`)
	s.Exec(`SELECT pg_reload_conf()`)
	await(t, "the commits to be visible", func() bool { return waitingCommits(s) == 0 })
	f.mustEqual(s)
}

// takeSlot does to the slot what another program would, while rows change.
func takeSlot(t *testing.T, s *apptest.Server, what string) {
	t.Helper()
	role := pgx.Identifier{mustUser(t, s.Config.DatabaseURL.Reveal())}.Sanitize()
	s.Exec(`ALTER ROLE ` + role + ` NOLOGIN`)
	await(t, "the slot to be free", func() bool {
		s.Exec(`SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active_pid IS NOT NULL`, s.Config.Slot)
		var free bool
		s.Scan(&free, `SELECT NOT active FROM pg_replication_slots WHERE slot_name = $1`, s.Config.Slot)
		return free
	})
	s.Exec(`UPDATE items SET note = 'lost ' || v, v = v + 100 WHERE id % 20 = 3; DELETE FROM items WHERE id IN (SELECT id FROM items WHERE id % 30 = 5 LIMIT 20)`)
	if what == "advanced" {
		s.Exec(`SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())`, s.Config.Slot)
	} else {
		s.Exec(`SELECT pg_drop_replication_slot($1)`, s.Config.Slot)
		s.Exec(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, s.Config.Slot)
	}
	s.Exec(`ALTER ROLE ` + role + ` LOGIN`)
}

func mustEnd(t *testing.T, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(30 * time.Second):
		t.Fatal("the server does not end")
		return nil
	}
}

func mustUser(t *testing.T, url string) string {
	t.Helper()
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	return cfg.User
}

// The WAL that the slot needs is removed: max_slot_wal_keep_size is less than what is
// written while the log is kept.
func TestSlotInvalidated(t *testing.T) {
	for _, policy := range []string{mapping.SlotLossStop, mapping.SlotLossRecreate} {
		t.Run(policy, func(t *testing.T) {
			server := smallWAL(t, map[string]string{"max_slot_wal_keep_size": "2MB"})
			s := apptest.Prepare(t, itemsOptions(server.URL(), func(c *mapping.Config) { c.OnSlotLoss = policy }))
			done, stop := s.Launch()
			defer func() { stop() }()
			<-s.Ready()
			f := newFleet(t, s.WS)
			joinItems(s, f, 8)
			s.Exec(`UPDATE items SET v = v + 1 WHERE id % 7 = 0`) // the log begins here, and keeps the WAL
			f.mustEqual(s)
			gaps := testutil.ToFloat64(s.Hub().Metrics.Gaps)
			var ended error
			await(t, "the slot to be lost", func() bool {
				s.Exec(`INSERT INTO elsewhere (note) SELECT repeat('x', 1000) FROM generate_series(1, 2000)`)
				s.Exec(`UPDATE items SET v = v + 1 WHERE id % 20 = 3`)
				s.Exec(`CHECKPOINT`)
				select {
				case ended = <-done:
					return true
				default:
					return testutil.ToFloat64(s.Hub().Metrics.Gaps) > gaps
				}
			})
			if policy == mapping.SlotLossStop {
				if !errors.Is(ended, cdc.ErrSlotLost) || !slices.ContainsFunc([]string{"max_slot_wal_keep_size", "can no longer"}, func(s string) bool {
					return strings.Contains(ended.Error(), s)
				}) {
					t.Fatalf("ended with %v", ended)
				}
				t.Logf("ended with: %v", ended)
				return
			}
			if ended != nil {
				t.Fatalf("ended with %v", ended)
			}
			s.Exec(`ALTER SYSTEM SET max_slot_wal_keep_size = -1`)
			s.Exec(`SELECT pg_reload_conf()`)
			s.Exec(`UPDATE items SET note = 'after' WHERE id % 11 = 0`)
			f.mustEqual(s)
			t.Logf("%v gaps, %+v", testutil.ToFloat64(s.Hub().Metrics.Gaps)-gaps, f.tally())
		})
	}
}
