package stream_test

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/walwire/walwire/internal/app"
	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/mapping"
)

// names gives the events' names, with what is said of the row.
func told(f *apptest.Feed) []string {
	var names []string
	for _, e := range f.Events {
		names = append(names, e.Event)
	}
	f.Events = nil
	return names
}

func mustTell(t *testing.T, f *apptest.Feed, want ...string) {
	t.Helper()
	if got := told(f); !slices.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
}

// Events come with their commit, in its order, to who may see the row.
func TestEvents(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	s.Exec(seed)
	owner := s.Connect(s.Owner(companyA))
	staff := s.Connect(staffToken(s, "ann", "staff"))
	other := s.Connect(s.Owner(companyB))
	all, mine, theirs := owner.Listen(1, `{"names":["*"]}`), staff.Listen(1, `{"names":["*"]}`), other.Listen(1, `{"names":["appointment.*"]}`)
	q := owner.Open(2, `{"table":"appointments"}`)
	insert(s, 1, companyA, ann, cat, "pending")
	s.Wait(owner)
	s.Wait(staff)
	if e := all.Events[0]; e.Row["price"] != "12.50" || e.Table != "appointments" || e.Key["id"] != appointment(1) || e.Position == "" || e.ID == "" || e.Time == "" || e.Changed != nil {
		t.Errorf("got %+v", e)
	}
	if e := mine.Events[0]; e.Row["status"] != "pending" || len(e.Row) == 0 {
		t.Errorf("got %+v", e)
	} else if _, is := e.Row["internal_notes"]; is {
		t.Errorf("a masked column: %v", e.Row)
	}
	mustTell(t, all, "appointment.created", "availability.changed")
	mustTell(t, mine, "appointment.created", "availability.changed")
	t.Run("a commit", func(t *testing.T) {
		s.Exec(`BEGIN; UPDATE appointments SET status = 'confirmed', starts_at = starts_at + interval '5 min', internal_notes = 'x';
			UPDATE staff SET status = 'busy' WHERE user_id = 'ann'; COMMIT`)
		f := owner.Read()
		if len(f.Subscriptions) != 2 || len(q.Rows) != 1 {
			t.Errorf("got %s", f)
		}
		s.Wait(staff)
		e := all.Events[0]
		if e.Old["starts_at"] != "2026-03-01T09:00:00.000000Z" || e.Row["starts_at"] != "2026-03-01T09:05:00.000000Z" ||
			!slices.Equal(e.Changed, []string{"status", "starts_at", "internal_notes"}) || e.Position != f.Position {
			t.Errorf("got %+v", e)
		}
		if e := mine.Events[0]; !slices.Equal(e.Changed, []string{"status", "starts_at"}) {
			t.Errorf("got %+v", e)
		}
		want := []string{"appointment.rescheduled", "appointment.status_changed", "appointment.confirmed", "availability.changed", "availability.changed", "staff.busy"}
		mustTell(t, all, want...)
		mustTell(t, mine, want...)
	})
	t.Run("what nobody may read is not told", func(t *testing.T) {
		s.Exec(`UPDATE appointments SET internal_notes = 'y'`)
		s.Wait(staff)
		mustTell(t, mine)
	})
	t.Run("out of sight, and into it", func(t *testing.T) {
		s.Exec(`UPDATE appointments SET staff_id = $1`, abe)
		s.Wait(staff)
		if e := mine.Events[0]; e.Row["staff_id"] != ann || e.Changed != nil {
			t.Errorf("got %+v", e)
		}
		mustTell(t, mine, "appointment.unassigned", "availability.changed")
		s.Exec(`UPDATE appointments SET staff_id = $1`, ann)
		s.Wait(staff)
		for _, e := range mine.Events {
			if e.Old != nil || e.Changed != nil {
				t.Errorf("tells of a row not seen: %+v", e)
			}
		}
		mustTell(t, mine, "appointment.reassigned", "availability.changed")
	})
	t.Run("another company", func(t *testing.T) {
		s.Wait(other)
		mustTell(t, theirs)
		s.Wait(owner)
		told(all)
		s.Exec(`UPDATE appointments SET company_id = $1, staff_id = NULL, client_id = NULL`, companyB)
		s.Wait(owner)
		s.Wait(other)
		if e := all.Events[0]; e.Row != nil {
			t.Errorf("got %+v", e)
		}
		if e := theirs.Events[0]; e.Old != nil || e.Changed != nil {
			t.Errorf("got %+v", e)
		}
		mustTell(t, all, "appointment.deleted", "availability.changed")
		mustTell(t, theirs, "appointment.created")
	})
	t.Run("nothing changed", func(t *testing.T) {
		s.Exec(`UPDATE appointments SET status = status; BEGIN; INSERT INTO clients (company_id, name) VALUES ('` + companyB + `', 'x'); DELETE FROM clients WHERE name = 'x'; COMMIT`)
		s.Exec(`DELETE FROM appointments`)
		s.Wait(other)
		mustTell(t, theirs, "appointment.deleted")
	})
}

// A client that comes back is told what it missed, once; so is one that names a time.
func TestEventsResume(t *testing.T) {
	s := apptest.Start(t, apptest.Options{Tuning: app.Tuning{ChainBytes: 4 << 10}})
	s.Exec(seed)
	const events = `{"names":["appointment.created","appointment.deleted"]}`
	c := s.Connect(s.Owner(companyA))
	feed := c.Listen(1, events)
	insert(s, 1, companyA, ann, cat, "pending")
	s.Wait(c)
	if len(feed.Events) != 1 {
		t.Fatalf("told %v", feed.Events)
	}
	first, cursor := feed.Events[0], c.Cursor
	c.Close()
	for i := 2; i <= 100; i++ {
		insert(s, i, companyA, ann, cat, "pending")
	}
	insert(s, 101, companyB, "", "", "pending")
	check := func(s *apptest.Server, restarted bool) {
		t.Helper()
		c := s.Connect(s.Owner(companyA))
		feed := c.ListenFrom(1, events, cursor)
		s.Wait(c)
		var ids []string
		for _, e := range feed.Events {
			if e.Event != "appointment.created" {
				t.Fatalf("told %+v", e)
			}
			ids = append(ids, fmt.Sprint(e.Key["id"]))
		}
		if len(ids) != 99 || ids[0] != appointment(2) || ids[98] != appointment(100) {
			t.Fatalf("told of %d", len(ids))
		}
		again := s.Connect(s.Owner(companyA)).Listen(1, `{"names":["appointment.created"],"since":"`+first.Time+`"}`)
		switch got := again.Events; { // a time does not tell which tables there were before the start
		case len(got) == 0 || got[0].ID != first.ID && got[0].Event != "gap",
			restarted && (got[0].Event != "gap" || got[0].Until == "" || len(got) == 1 || got[1].ID != first.ID):
			t.Errorf("since: told %+v", got)
		}
	}
	check(s, false)
	t.Run("restart", func(t *testing.T) {
		s.Stop()
		s.Run()
		check(s, true)
	})
	t.Run("not of this history", func(t *testing.T) {
		feed := s.Connect(s.Owner(companyB)).ListenFrom(1, events, cursor)
		if len(feed.Events) != 1 || feed.Events[0].Event != "gap" || feed.Events[0].To == "" || feed.Events[0].Because == "" {
			t.Errorf("told %+v", feed.Events)
		}
	})
	t.Run("before the log", func(t *testing.T) {
		feed := s.Connect(s.Owner(companyA)).Listen(1, `{"names":["appointment.created"],"since":"2020-01-01T00:00:00Z"}`)
		if len(feed.Events) != 101 || feed.Events[0].Event != "gap" || !strings.HasPrefix(feed.Events[0].Since, "2020-01-01") {
			t.Errorf("told %d, %+v", len(feed.Events), feed.Events[0])
		}
	})
}

// A client that does not read misses no event, however little its channel holds.
func TestEventsSlowClient(t *testing.T) {
	s := apptest.Start(t, apptest.Options{Tuning: app.Tuning{ChainBytes: 4 << 10, WriteTimeout: 15 * time.Minute}})
	s.Exec(seed)
	c := s.Connect(s.Owner(companyA))
	feed := c.Listen(1, `{"names":["appointment.status_changed"]}`)
	q := c.Open(2, `{"table":"appointments"}`)
	insert(s, 1, companyA, ann, cat, "pending")
	const rounds = 3000
	for i := range rounds {
		s.Exec(`UPDATE appointments SET status = $1, notes = repeat('x', 1000)`, []string{"confirmed", "pending"}[i%2])
	}
	s.Wait(c)
	if len(feed.Events) != rounds {
		t.Fatalf("told %d of %d", len(feed.Events), rounds)
	}
	for i, e := range feed.Events {
		if want := []string{"confirmed", "pending"}[i%2]; e.Row["status"] != want {
			t.Fatalf("event %d: %+v", i, e)
		}
	}
	if len(q.Rows) != 1 {
		t.Error("the live query beside it is wrong")
	}
}

// What events a client may hear, and where.
func TestRooms(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	s.Exec(seed)
	s.Exec(`INSERT INTO branches (id, company_id, name) VALUES ('00000000-0000-0000-0000-0000000000a9', '` + companyA + `', 'North');
		UPDATE staff SET branch_id = '00000000-0000-0000-0000-0000000000a9', role = 'receptionist' WHERE user_id = 'ann'`)
	c := s.Connect(staffToken(s, "ann", "receptionist"))
	branch := c.Listen(1, `{"names":["*"],"rooms":["branch:00000000-0000-0000-0000-0000000000a9"]}`)
	one := c.Listen(2, `{"names":["appointment.*"],"rooms":["row:appointments:`+appointment(2)+`"]}`)
	me := c.Listen(3, `{"names":["notification.*"],"rooms":["user:ann","role:receptionist"]}`)
	cuts := c.Listen(4, `{"names":["appointment.created"],"rooms":["service_type:cut"]}`)
	insert(s, 1, companyA, ann, cat, "pending")
	insert(s, 2, companyA, ann, cat, "pending")
	s.Exec(`UPDATE appointments SET branch_id = '00000000-0000-0000-0000-0000000000a9', status = 'confirmed' WHERE id = $1`, appointment(1))
	s.Exec(`INSERT INTO notifications (company_id, user_id, role, kind, title) VALUES ($1, 'ann', NULL, 'push', 'a'), ($1, 'abe', NULL, 'push', 'b'), ($1, NULL, 'receptionist', 'system', 'c'), ($1, NULL, NULL, 'broadcast', 'd')`, companyA)
	s.Wait(c)
	mustTell(t, branch, "appointment.status_changed", "appointment.confirmed")
	mustTell(t, one, "appointment.created")
	mustTell(t, me, "notification.push", "notification.to_role", "notification.system_alert")
	mustTell(t, cuts, "appointment.created", "appointment.created")
	for events, want := range map[string]string{
		`{"names":["*"],"rooms":["user:bob"]}`:                       "permission-denied",
		`{"names":["*"],"rooms":["role:owner"]}`:                     "permission-denied",
		`{"names":["*"],"rooms":["branch:0"]}`:                       "permission-denied",
		`{"names":["*"],"rooms":["planet:mars"]}`:                    "invalid-argument",
		`{"names":["*"],"rooms":["ann"]}`:                            "invalid-argument",
		`{"names":["*"],"rooms":[]}`:                                 "invalid-argument",
		`{"names":["appointment.created"],"rooms":["user:ann"]}`:     "invalid-argument",
		`{"names":["appointment.*"],"rooms":["row:appointments:x"]}`: "invalid-argument",
		`{"names":["*"],"rooms":["row:nothing:1"]}`:                  "permission-denied",
		`{"names":["no.such"]}`:                                      "permission-denied",
		`{"names":[]}`:                                               "invalid-argument",
		`{"names":["Appointment.created"]}`:                          "invalid-argument",
		`{"names":["*"],"since":"yesterday"}`:                        "invalid-argument",
		`{"names":["*"],"room":"company"}`:                           "invalid-argument",
		`{"names":["*","*"],"names":["*"]}`:                          "invalid-argument",
	} {
		c.Send(`{"type":"subscribe","id":9,"events":%s}`, events)
		if f := c.Read(); f.Type != "error" || f.ID != 9 && f.ID != 0 || f.Code != want {
			t.Errorf("%s: got %s", events, f)
		}
	}
	c.Send(`{"type":"subscribe","id":1,"events":{"names":["*"]}}`)
	if f := c.Read(); f.Code != "invalid-argument" {
		t.Errorf("an id twice: got %s", f)
	}
	c.Send(`{"type":"unsubscribe","id":1}`)
	if f := c.Read(); f.Type != "unsubscribed" || f.ID != 1 {
		t.Errorf("got %s", f)
	}
	s.Exec(`UPDATE appointments SET status = 'cancelled'`)
	s.Wait(c)
	mustTell(t, branch)
	mustTell(t, one, "appointment.status_changed", "appointment.cancelled")
}

// Rights that change take effect on events at their commit.
func TestEventsRights(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	s.Exec(seed)
	s.Exec(`UPDATE staff SET role = 'receptionist' WHERE user_id = 'ann'`)
	c := s.Connect(staffToken(s, "ann", "staff"))
	feed, role := c.Listen(1, `{"names":["appointment.created"]}`), c.Listen(2, `{"names":["*"],"rooms":["role:receptionist"]}`)
	insert(s, 1, companyA, abe, cat, "pending")
	s.Wait(c)
	s.Exec(`UPDATE staff SET role = 'staff' WHERE user_id = 'ann'`)
	insert(s, 2, companyA, abe, cat, "pending")
	insert(s, 3, companyA, ann, cat, "pending")
	s.Wait(c)
	mustTell(t, feed, "appointment.created", "appointment.created")
	if role.Err == nil || role.Err.Code != "permission-denied" {
		t.Errorf("a room that is not open any more goes on: %+v", role)
	}
	s.Exec(`UPDATE staff SET role = 'receptionist' WHERE user_id = 'ann'`)
	insert(s, 4, companyA, abe, cat, "pending")
	s.Wait(c)
	mustTell(t, feed, "appointment.created")
}

// One event for many rows, beside the single ones or instead of them; as many as the
// receiver may see.
func TestBulkEvents(t *testing.T) {
	for _, instead := range []bool{false, true} {
		t.Run(fmt.Sprintf("instead %v", instead), func(t *testing.T) {
			s := apptest.Start(t, apptest.Options{Edit: func(c *mapping.Config) {
				for i := range c.Tables[0].Events {
					if e := &c.Tables[0].Events[i]; e.Several > 0 && instead {
						e.InsteadOf = []string{"appointment.*"}
					}
				}
			}})
			s.Exec(seed)
			s.Exec(`INSERT INTO appointments (company_id, staff_id, starts_at, ends_at) SELECT $1, CASE WHEN i <= 19 THEN $2::uuid END, now(), now() + interval '1 h' FROM generate_series(1, 2000) i`, companyA, ann)
			owner, staff := s.Connect(s.Owner(companyA)), s.Connect(staffToken(s, "ann", "staff"))
			all, mine := owner.Listen(1, `{"names":["appointment.*"]}`), staff.Listen(1, `{"names":["appointment.*"]}`)
			s.Exec(`UPDATE appointments SET status = 'confirmed'`)
			if f := owner.Read(); len(f.Subscriptions) != 1 {
				t.Fatalf("got %s", f)
			}
			s.Wait(staff)
			counts := make(map[string]int)
			for _, e := range all.Events {
				if counts[e.Event]++; e.Event == "appointment.bulk_updated" && (e.Count != 2000 || len(e.Keys) != 2000) {
					t.Errorf("count %d, %d keys", e.Count, len(e.Keys))
				}
			}
			singles := 2000
			if instead {
				singles = 0
			}
			if counts["appointment.bulk_updated"] != 1 || counts["appointment.confirmed"] != singles || counts["appointment.status_changed"] != singles {
				t.Errorf("told %v", counts)
			}
			for _, e := range mine.Events {
				if e.Event == "appointment.bulk_updated" {
					t.Error("told of many where few may be seen")
				}
			}
			if len(mine.Events) != 2*19 {
				t.Errorf("told %d of few", len(mine.Events))
			}
		})
	}
}

// A company whose inbox overflows, and so does not see every commit by itself, tells all
// events, also those who come back later.
func TestEventsOverflow(t *testing.T) {
	s := apptest.Start(t, apptest.Options{Tuning: app.Tuning{InboxBytes: 8 << 10}})
	s.Exec(seed)
	s.Exec(`INSERT INTO appointments (company_id, starts_at, ends_at) SELECT $1, now(), now() + interval '1 h' FROM generate_series(1, 20) i`, companyA)
	const events = `{"names":["appointment.status_changed"]}`
	c := s.Connect(s.Owner(companyA))
	feed := c.Listen(1, events)
	s.Wait(c)
	cursor := c.Cursor
	const rounds = 30
	for i := range rounds {
		s.Exec(`UPDATE appointments SET status = $1`, []string{"confirmed", "pending"}[i%2])
	}
	s.Wait(c)
	again := s.Connect(s.Owner(companyA))
	later := again.ListenFrom(1, events, cursor)
	s.Wait(again)
	if n := testutil.ToFloat64(s.Hub().Metrics.Overflows); n == 0 {
		t.Error("the inbox did not overflow")
	}
	for i, f := range []*apptest.Feed{feed, later} {
		seen := make(map[string]bool)
		for _, e := range f.Events {
			if seen[e.ID] || e.Event != "appointment.status_changed" {
				t.Fatalf("feed %d: twice, or a gap: %+v", i, e)
			}
			seen[e.ID] = true
		}
		if len(seen) != rounds*20 {
			t.Errorf("feed %d was told %d of %d", i, len(seen), rounds*20)
		}
	}
}

// What NULL is in a condition, and what becomes of a rule that can't be answered.
func TestEventsNull(t *testing.T) {
	conditions := map[string]string{
		"null.less":    "row.price < 20.0",
		"null.guarded": "row.price != null && row.price < 20.0",
		"null.equal":   "row.notes == 'abc'",
		"null.other":   "row.notes != 'abc'",
		"null.listed":  "row.notes in ['abc']",
		"null.or":      "row.price < 20.0 || row.status == 'pending'",
		"null.and":     "row.price < 20.0 && row.status == 'completed'",
		"null.prefix":  "row.notes.startsWith('a')",
	}
	s := apptest.Start(t, apptest.Options{Edit: func(c *mapping.Config) {
		for _, name := range slices.Sorted(maps.Keys(conditions)) {
			e := mapping.EventConfig{Event: name, On: mapping.OnInsert, When: mapping.Expression{Text: conditions[name]}}
			c.Tables[0].Events = append(c.Tables[0].Events, e)
		}
	}})
	s.Exec(seed)
	c := s.Connect(s.Owner(companyA))
	feed := c.Listen(1, `{"names":["null.*"]}`)
	const row = `INSERT INTO appointments (company_id, starts_at, ends_at, price, notes) VALUES ($1, now(), now() + interval '1 h', $2, $3)`
	s.Exec(row, companyA, "12.50", "abc")
	s.Wait(c)
	mustTell(t, feed, "null.equal", "null.guarded", "null.less", "null.listed", "null.or", "null.prefix")
	s.Exec("BEGIN")
	s.Exec(row, companyA, nil, nil)
	s.Exec(row, companyA, nil, nil)
	s.Exec("COMMIT")
	s.Wait(c)
	mustTell(t, feed, "null.or", "null.other", "null.or", "null.other")
	_, metrics := callText(t, "GET", s.App.AdminURL()+"/metrics", "", "")
	if want := "\nwalwire_event_errors_total 4\n"; !strings.Contains(string(metrics), want) { // two rules, two rows
		t.Errorf("the metrics lack %s", want)
	}
}

// Where the log does not say what rows were, a gap is told in the place of events.
func TestEventsGap(t *testing.T) {
	s := apptest.Prepare(t, apptest.Options{Edit: func(c *mapping.Config) {
		c.Tables[0].Events[0].Rooms = []string{"branch"} // a gap is told once, also where the rules of a table go to several rooms
	}})
	s.Exec(seed)
	s.Exec(`CREATE UNIQUE INDEX identity ON clients (company_id, id); ALTER TABLE clients REPLICA IDENTITY USING INDEX identity`)
	s.Run()
	c := s.Connect(s.Owner(companyA))
	feed := c.Listen(1, `{"names":["*"]}`)
	mustGap := func(table, because string) {
		t.Helper()
		s.Wait(c)
		i := slices.IndexFunc(feed.Events, func(e apptest.Event) bool { return e.Event == "gap" })
		if i < 0 {
			t.Fatalf("told %+v", feed.Events)
		}
		if e := feed.Events[i]; e.Table != table || e.ID != "" || e.To == "" || e.Until == "" || !strings.Contains(e.Because, because) {
			t.Errorf("told %+v", e)
		}
		feed.Events = slices.Delete(feed.Events, i, i+1)
	}
	insert(s, 1, companyA, ann, cat, "pending")
	s.Wait(c)
	told(feed)
	s.Exec(`BEGIN; TRUNCATE appointments; UPDATE staff SET status = 'busy' WHERE user_id = 'ann'; COMMIT`)
	mustGap("appointments", "truncated")
	mustTell(t, feed, "staff.busy")
	s.Exec(`UPDATE clients SET name = 'x' WHERE company_id = $1`, companyA)
	mustGap("clients", "REPLICA IDENTITY FULL")
	mustTell(t, feed)
	s.Exec(`INSERT INTO clients (company_id, name) VALUES ($1, 'y')`, companyA)
	s.Wait(c)
	mustTell(t, feed, "client.registered")
	s.Exec(`ALTER TABLE clients REPLICA IDENTITY FULL`)
	s.Exec(`UPDATE clients SET name = 'z' WHERE name = 'y'`)
	s.Wait(c)
	mustTell(t, feed, "client.profile_updated")
}

// A rule that fails is told of in the log once a commit, however often clients have the
// commit looked through again.
func TestEventsFailedRuleIsLoggedOnce(t *testing.T) {
	log := &logLines{}
	s := apptest.Start(t, apptest.Options{Log: slog.New(slog.NewTextHandler(log, nil)), Edit: func(c *mapping.Config) {
		c.Tables[0].Events = append(c.Tables[0].Events, mapping.EventConfig{Event: "null.less", On: mapping.OnInsert, When: mapping.Expression{Text: "row.price < 20.0"}})
	}})
	s.Exec(seed)
	c := s.Connect(s.Owner(companyA))
	c.Listen(1, `{"names":["null.less"]}`)
	s.Exec(`INSERT INTO appointments (company_id, starts_at, ends_at) SELECT $1, now(), now() + interval '1 h' FROM generate_series(1, 3) i`, companyA)
	s.Wait(c)
	for id, other := range []string{"null.less", "appointment.created", "appointment.deleted", "staff.busy"} {
		c.Listen(2+id, fmt.Sprintf(`{"names":["null.less",%q],"since":"2020-01-01T00:00:00Z"}`, other))
	}
	s.Wait(c)
	if n := log.count("a rule for events failed"); n != 2 { // the first row's, and how many there were
		t.Errorf("logged %d times", n)
	}
}

// logLines is a log that can be read while it is written.
type logLines struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (l *logLines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *logLines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}
