package app_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/internal/pgtest"
	"github.com/walwire/walwire/mapping"
)

// A file that is refused leaves the publication and the replica identities as they are.
func TestReloadRefusedLeavesDatabase(t *testing.T) {
	admin := pgtest.Database(t)
	s := apptest.Start(t, apptest.Options{AdminURL: admin, Edit: func(c *mapping.Config) {
		c.Manage, c.AdminDatabaseURL = true, mapping.NewSecret(admin)
	}})
	s.Exec(reloadSeed)
	s.Exec(`GRANT SELECT ON invoices TO PUBLIC`)
	published := func() (tables string) {
		s.Scan(&tables, `SELECT string_agg(tablename || c.relreplident::text, ' ' ORDER BY 1) FROM pg_publication_tables p JOIN pg_class c ON c.oid = (p.schemaname || '.' || p.tablename)::regclass WHERE pubname = 'walwire'`)
		return tables
	}
	before := published()
	if err := s.Reload(func(c *mapping.Config) { invoices(c); rule(c, "staff", "receptionist", "row.nothing") }); err == nil {
		t.Fatal("taken")
	}
	if after := published(); after != before {
		t.Errorf("published %s, before %s", after, before)
	}
	if err := s.Reload(invoices); err != nil {
		t.Fatal(err)
	}
	if after := published(); !strings.Contains(after, "invoicesf") {
		t.Errorf("the harmless one: published %s", after)
	}
}

// Rules of users that end an access reach connections that are on their way in when they
// come in force, and two reloads at once leave one of both.
func TestReloadWhileClientsConnect(t *testing.T) {
	s := apptest.Start(t, apptest.Options{Edit: func(c *mapping.Config) {
		l := &c.Limits
		l.AuthDeadline = time.Minute // a lookup is held up while the rules are reloaded
		l.ConnectionAttemptsPerSecond, l.ConnectionAttemptsBurst, l.ConnectionsPerUser, l.ConnectionsPerAddress = 100_000, 100_000, 100_000, 100_000
	}})
	s.Exec(reloadSeed)
	token := s.Token(apptest.Claims{"sub": "ann", "company_id": reloadCompany, "roles": []string{"receptionist"}})
	end := func(c *mapping.Config) { c.User.Rows[0].Active = mapping.Expression{Text: "row.name != 'Ann'"} }
	t.Run("while its user is looked up", func(t *testing.T) {
		lock := pgtest.MustConnect(t, s.AdminURL)
		pgtest.MustExec(t, lock, `BEGIN; LOCK TABLE staff IN ACCESS EXCLUSIVE MODE`)
		c := apptest.Dial(t, s.WS())
		c.Send(`{"type":"auth","token":%q}`, token)
		pgtest.AwaitLock(t, s.AdminURL, "staff")
		if err := s.Reload(end); err != nil {
			t.Fatal(err)
		}
		pgtest.MustExec(t, lock, `COMMIT`)
		if code, _ := c.ReadClose(); code != 4502 && code != 4001 { // -1 where it goes on
			t.Errorf("of an access that had ended before the connection was let in: closed with %d", code)
		}
		if err := s.Reload(func(*mapping.Config) {}); err != nil {
			t.Fatal(err)
		}
	})
	for round := range 2 {
		var stop atomic.Bool
		var group sync.WaitGroup
		in, out := make(chan bool, 1<<20), make(chan bool, 1<<20)
		for range 8 {
			group.Go(func() {
				for !stop.Load() {
					c, err := apptest.TryDial(t, s.WS(), nil)
					if err != nil {
						t.Error(err)
						return
					}
					c.Send(`{"type":"auth","token":%q}`, token)
					if f, err := c.TryRead(); err != nil || f.Type != "welcome" {
						out <- true
						continue
					}
					in <- true
					c.Send(`{"type":"subscribe","id":1,"events":{"names":["*"]}}`)
					group.Go(func() {
						if c.TryReadClose() == -1 {
							t.Errorf("round %d: a connection outlives the end of its access", round)
						}
					})
				}
			})
		}
		for range 40 {
			<-in
		}
		if err := s.Reload(end); err != nil {
			t.Fatal(err)
		}
		<-out
		stop.Store(true)
		group.Wait()
		errs := make(chan error, 8)
		for range cap(errs) / 2 {
			go func() { errs <- s.Reload(end) }()
			go func() { errs <- s.Reload(func(*mapping.Config) {}) }()
		}
		for range cap(errs) {
			if err := <-errs; err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Reload(func(*mapping.Config) {}); err != nil {
			t.Fatal(err)
		}
		s.Connect(token).Close()
	}
}

// While rows are written, a table is altered and another one dropped, configurations are
// put in force one after the other: nobody is disconnected, every event is told once, or
// a gap is where it may be missing.
func TestReloadUnderChange(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	s.Exec(reloadSeed)
	token := s.Token(apptest.Claims{"sub": "ann", "company_id": reloadCompany, "roles": []string{"receptionist"}})
	c := s.Connect(token)
	f, g := c.Listen(1, `{"names":["appointment.created"]}`), c.Listen(2, `{"names":["client.registered"]}`)
	q := c.Open(3, `{"table":"clients"}`)
	const rounds = 300
	var group sync.WaitGroup
	group.Go(func() {
		conn := pgtest.MustConnect(t, s.AdminURL)
		for n := range rounds {
			pgtest.MustExec(t, conn, fmt.Sprintf(`BEGIN; INSERT INTO clients (company_id, name) VALUES ('%s', 'c%d');
				INSERT INTO appointments (company_id, starts_at, ends_at, notes) VALUES ('%s', now(), now() + interval '1 h', 'n%d'); COMMIT`, reloadCompany, n, reloadCompany, n))
			if n == rounds/2 {
				pgtest.MustExec(t, conn, `DROP TABLE notifications`)
			}
			if n%60 == 30 {
				pgtest.MustExec(t, conn, fmt.Sprintf(`ALTER TABLE appointments ADD COLUMN extra_%d int DEFAULT 7`, n))
			}
		}
	})
	for n := range 12 {
		err := s.Reload(func(c *mapping.Config) {
			if n%3 == 1 {
				rule(c, "appointments", "receptionist", "row.starts_at != null", "price")
			}
			if n%3 == 2 {
				rule(c, "clients", "receptionist", "row.nothing")
			}
		})
		if n%3 == 2 && err == nil {
			t.Error("a wrong one was taken")
		}
	}
	group.Wait()
	s.Wait(c)
	gap := false
	told := make(map[string]int)
	for _, e := range f.Events {
		if e.Event == "gap" {
			gap = true
			continue
		}
		told[e.ID]++
	}
	for id, n := range told {
		if n != 1 {
			t.Errorf("event %s was told %d times", id, n)
		}
	}
	if len(told) != rounds && !gap {
		t.Errorf("told of %d appointments of %d, without a gap", len(told), rounds)
	}
	names := make(map[string]bool)
	for _, e := range g.Events {
		if e.Event == "gap" || names[fmt.Sprint(e.Row["name"])] {
			t.Fatalf("of a table that stays as it is: told %s", e.Raw)
		}
		names[fmt.Sprint(e.Row["name"])] = true
	}
	if len(names) != rounds || len(q.Rows) != rounds || q.Err != nil {
		t.Errorf("told of %d clients, %d rows, of %d: %v", len(names), len(q.Rows), rounds, q.Err)
	}
	t.Logf("%d appointments told of, gaps %v", len(told), gap)
}
