package faults_test

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/internal/pgtest"
	"github.com/walwire/walwire/mapping"
)

// A backup is put back, with the same system id and timeline: what clients were shown
// after it was made has never happened. Each is begun anew, also where the WAL has
// passed the position of its cursor since, with other commits or with none of its
// company's, and where the log begins only after them.
func TestRestoredBackup(t *testing.T) {
	const patience = 2 * time.Second
	server := newKept(t, nil)
	o := itemsOptions(server.URL(), func(cfg *mapping.Config) { cfg.Retention.WAL = 8 << 20 }) // idle clients are told where they are every 2 MiB
	o.Tuning.ResumePatience = patience
	s := apptest.Prepare(t, o)
	_, stop := s.Launch()
	defer func() { stop() }()
	<-s.Ready()
	f := newFleet(t, s.WS)
	joinItems(s, f, 8)
	s.Exec(`UPDATE items SET v = v + 1 WHERE id % 7 = 0`)
	f.mustEqual(s)
	for _, c := range []struct {
		name  string
		after func(s *apptest.Server) // written to the restored server
		drop  bool                    // the slot is not in the backup
	}{
		{"behind", func(*apptest.Server) {}, false},
		{"other commits", func(s *apptest.Server) {
			s.Exec(`UPDATE items SET note = 'restored' WHERE id % 3 = 0`)
			fill(s)
			fill(s)
			s.Exec(`UPDATE items SET v = v + 7 WHERE id % 3 = 1`)
		}, false},
		{"no commits", func(s *apptest.Server) { fill(s); fill(s) }, false},
		{"commits of others", func(s *apptest.Server) {
			s.Exec(`UPDATE items SET note = 'restored' WHERE company > 2`)
			fill(s)
			fill(s)
		}, false},
		{"slot lost", func(s *apptest.Server) {
			s.Exec(`UPDATE items SET note = 'restored' WHERE id % 3 = 0`)
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.t = t
			defer func() { f.t = s.TB }()
			stop()
			server.stop()
			server.save()

			server.start()
			s.DB = pgtest.MustConnect(s.TB, s.AdminURL)
			_, stop = s.Launch()
			<-s.Ready()
			f.answered()
			s.Exec(`UPDATE items SET note = 'never happened', v = v + 1 WHERE id % 7 = 3; DELETE FROM items WHERE id % 9 = 0`)
			f.mustEqual(s)
			last := s.LSN() // of most companies; their cursors go on
			cursors := make(map[*member]string)
			for _, m := range f.members {
				cursors[m] = m.cursors[0]
			}
			fill(s)
			if c.drop {
				f.all("a client to be told where it is", func(m *member) bool { return m.cursors[0] != cursors[m] })
			}
			s.Exec(`UPDATE items SET note = 'nor did this' WHERE id % 400 = 3`) // of one company
			f.mustEqual(s)
			stop()
			server.stop()
			server.restore()

			server.start()
			s.DB = pgtest.MustConnect(s.TB, s.AdminURL)
			c.after(s)
			if c.drop { // the log begins behind the last commits, and before the cursors
				s.Exec(`SELECT pg_drop_replication_slot($1)`, s.Config.Slot)
				await(t, "the WAL to pass "+last, func() bool {
					s.Exec(`INSERT INTO elsewhere (note) VALUES (repeat('x', 5000))`)
					var passed bool
					s.Scan(&passed, `SELECT pg_current_wal_insert_lsn() > '`+last+`'`)
					return passed
				})
			}
			before := f.tally()
			_, stop = s.Launch()
			<-s.Ready()
			if c.drop {
				fill(s) // past the cursors
			}
			begun := time.Now()
			f.answered()
			took := time.Since(begun)
			f.mustEqual(s)
			sum := f.tally().minus(before)
			t.Logf("%+v after %s", sum, took.Round(10*time.Millisecond))
			if most := patience + 28*time.Second; took > most { // once, not for each of the queries
				t.Errorf("clients had their rows after %s", took)
			}
			if sum.resumes > 0 {
				t.Errorf("%d queries were resumed in a history that is not theirs", sum.resumes)
			}
		})
	}
}

// fill writes WAL that concerns no mapped table.
func fill(s *apptest.Server) {
	s.TB.Helper()
	s.Exec(`INSERT INTO elsewhere (note) SELECT repeat('x', 1000) FROM generate_series(1, 2000)`)
}

// The backup is put back under a walwire that runs: it notices, also where the WAL
// has passed what it had read before it looks again.
func TestRestoredUnderWalwire(t *testing.T) {
	for _, passed := range []bool{false, true} {
		for _, policy := range []string{mapping.SlotLossStop, mapping.SlotLossRecreate} {
			name := policy
			if passed {
				name += "/passed"
			}
			t.Run(name, func(t *testing.T) {
				server := newKept(t, nil)
				o := itemsOptions(server.URL(), func(c *mapping.Config) { c.OnSlotLoss = policy })
				o.Tuning.ResumePatience = 2 * time.Second
				s := apptest.Prepare(t, o)
				_, stop := s.Launch()
				defer func() { stop() }()
				<-s.Ready()
				stop()
				server.stop()
				server.save()
				server.start()
				s.DB = pgtest.MustConnect(s.TB, s.AdminURL)
				var done <-chan error
				done, stop = s.Launch()
				<-s.Ready()
				f := newFleet(t, s.WS)
				joinItems(s, f, 8)
				s.Exec(`UPDATE items SET note = 'never happened', v = v + 1 WHERE id % 5 = 0; DELETE FROM items WHERE id % 9 = 0`)
				f.mustEqual(s)
				role := mustUser(t, s.Config.DatabaseURL.Reveal())
				server.stop()
				server.restore()
				if passed { // nobody but the superuser comes in before it has
					hba := filepath.Join(server.dir, "data", "pg_hba.conf")
					text, err := os.ReadFile(hba)
					if err != nil {
						t.Fatal(err)
					}
					mustWrite(t, hba, "host all "+role+" all reject\nhost replication "+role+" all reject\n"+string(text))
					server.start()
					s.DB = pgtest.MustConnect(s.TB, s.AdminURL)
					s.Exec(`UPDATE items SET note = 'restored' WHERE id % 3 = 0`)
					fill(s)
					mustWrite(t, hba, string(text))
					s.Exec(`SELECT pg_reload_conf()`)
				} else {
					server.start()
					s.DB = pgtest.MustConnect(s.TB, s.AdminURL)
				}
				if policy == mapping.SlotLossStop {
					if err := mustEnd(t, done); !errors.Is(err, cdc.ErrHistoryChanged) {
						t.Fatalf("ended with %v", err)
					} else {
						t.Logf("ended with: %v", err)
					}
					return
				}
				s.Exec(`UPDATE items SET v = v + 1 WHERE id % 11 = 0`)
				f.all("a client to be told to come again", func(m *member) bool { return m.closes[4000] > 0 })
				f.mustEqual(s)
				if sum := f.tally(); sum.resumes > 0 {
					t.Errorf("%+v: resumed in a history that is not theirs", sum)
				}
			})
		}
	}
}

// mustWrite replaces a file's text; its owner stays.
func mustWrite(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0); err != nil {
		t.Fatal(err)
	}
}

// mustCreate makes a file.
func mustCreate(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A standby is refused, with what to do, and is not read from by way of a URL that
// names both.
func TestStandbyRefused(t *testing.T) {
	primary := newKept(t, nil)
	s := apptest.Prepare(t, itemsOptions(primary.URL(), nil))
	standby := &keptServer{t: t, dir: primary.dir + ".standby", settings: primary.settings}
	primary.stop()
	copyTree(t, primary.dir, standby.dir)
	primary.start()
	s.DB = pgtest.MustConnect(s.TB, s.AdminURL)
	data := filepath.Join(standby.dir, "data")
	mustCreate(t, filepath.Join(data, "standby.signal"), "")
	mustCreate(t, filepath.Join(data, "postgresql.auto.conf"), "primary_conninfo = '"+primary.URL()+"'\n")
	ownAs(t, standby.dir, filepath.Join(primary.dir, "data"))
	standby.start()
	defer standby.stop()

	there, err := url.Parse(s.Config.DatabaseURL.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	onPrimary := there.Host
	there.Host = host(t, standby.URL())
	s.Config.DatabaseURL = mapping.NewSecret(there.String())
	done, stop := s.Launch()
	err = mustEnd(t, done)
	stop()
	if err == nil || !strings.Contains(err.Error(), "standby") || !strings.Contains(err.Error(), "database_url") {
		t.Fatalf("ended with %v", err)
	}
	t.Logf("ended with: %v", err)

	there.Host = onPrimary + "," + host(t, standby.URL())
	s.Config.DatabaseURL = mapping.NewSecret(there.String())
	log := newLog(t)
	s.SetLog(log.logger)
	_, stop = s.Launch()
	defer stop()
	<-s.Ready()
	f := newFleet(t, s.WS)
	joinItems(s, f, 4)
	primary.stop()
	f.join(1, s.Owner("1"), filter(7), window(8, 2)) // only the standby could answer
	await(t, "the standby to be refused", func() bool {
		return log.contains("server is not in primary") || log.contains("hot standby") || log.contains("standby mode")
	})
	primary.start()
	s.DB = pgtest.MustConnect(s.TB, s.AdminURL)
	s.Exec(`UPDATE items SET v = v + 1 WHERE id % 11 = 0`)
	f.mustEqual(s)
}
