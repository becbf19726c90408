package hostile_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/walwire/walwire/internal/apptest"
)

// listen opens a subscription to events, and counts that as served.
func (c *client) listen(id int, events string) *apptest.Feed {
	c.a.Helper()
	c.sees(c.a.wide.lsn(c.a)) // what a case before has left
	return c.listenFrom(id, events, "")
}

// listenFrom is listen from where a cursor says.
func (c *client) listenFrom(id int, events, cursor string) *apptest.Feed {
	c.a.Helper()
	f := c.Replica.Listen(id)
	resume := ""
	if cursor != "" {
		resume = `,"resume":{"cursor":` + quote(cursor) + `}`
	}
	c.Send(`{"type":"subscribe","id":%d,"events":%s%s}`, id, events, resume)
	for f.Names == nil {
		if answer := c.answer(); answer.Type == "error" {
			c.a.Fatalf("listen to %.500s: %s", events, answer.Raw)
		}
	}
	c.a.served.Add(1)
	return f
}

// deaf is a subscription that is refused, with a code and words for a client.
func (c *client) deaf(events, code string, words ...string) {
	c.a.Helper()
	c.refuse(`{"type":"subscribe","id":99,"events":`+events+`}`, 99, code, words...)
}

// told checks the names of what a feed was told since the last look, and gives it.
func (c *client) told(f *apptest.Feed, want ...string) []apptest.Event {
	c.a.Helper()
	var names []string
	for _, e := range f.Events {
		names = append(names, e.Event)
	}
	if !slices.Equal(names, want) {
		c.a.Errorf("told %v, want %v", names, want)
	}
	events := f.Events
	f.Events = nil
	if len(want) == 0 {
		c.a.refusals.Add(1)
	} else {
		c.a.served.Add(1)
	}
	return events
}

// book inserts an appointment of a company, with what only some may read of it.
func (a *attempt) book(p *place, id, company string, staff any) {
	a.Helper()
	p.exec(a, `INSERT INTO appointments (id, company_id, staff_id, starts_at, ends_at, notes, internal_notes, price)
		VALUES ($1, $2, $3, '2026-04-01', '2026-04-02', $4, 'MARK-OF-MASKED', 9)`, id, company, staff, map[bool]string{true: "visible", false: markB}[company == companyA])
	a.Cleanup(func() { // the case's context has ended by then
		p.mu.Lock()
		defer p.mu.Unlock()
		if _, err := p.DB.Exec(context.Background(), `DELETE FROM appointments WHERE id = $1`, id); err != nil {
			a.Error(err)
		}
	})
}

const appointmentEvents = `{"names":["appointment.*"]}`

// eventCases try to hear what is not theirs, or to make the server hear nothing else.
func eventCases() []attack {
	ownerOfB := func(a *attempt) string {
		return a.wide.token("owner", "owner", apptest.Claims{"company_id": companyB})
	}
	clientOfA := func(a *attempt) string { return a.wide.token("cat", "client") }
	// rooms has somebody listen in rooms, in vain, and somebody else in theirs.
	rooms := func(name string, token func(a *attempt) string, code string, list ...string) attack {
		return attack{name: name, run: func(a *attempt) {
			c := a.connect(a.wide, token(a))
			for _, r := range list {
				c.deaf(`{"names":["*"],"rooms":[`+quote(r)+`]}`, code)
				c.deaf(`{"names":["*"],"rooms":["service_type:cut",`+quote(r)+`]}`, code)
			}
			c.listen(1, `{"names":["*"],"rooms":["service_type:cut"]}`)
		}}
	}
	// unheard has another company's row change in every way, beside one's own.
	unheard := func(name string, events func() string) attack {
		return attack{name: name, run: func(a *attempt) {
			const theirs, own = "00000000-0000-0000-0001-000000000060", "00000000-0000-0000-0001-000000000061"
			c := a.connect(a.wide, a.wide.owner())
			f := c.listen(1, events())
			a.book(a.wide, theirs, companyB, bob)
			a.wide.exec(a, `UPDATE appointments SET status = 'cancelled', notes = notes || '!' WHERE id = $1`, theirs)
			a.wide.exec(a, `UPDATE appointments SET staff_id = NULL WHERE id = $1`, theirs)
			a.wide.exec(a, `UPDATE appointments SET status = 'confirmed' WHERE company_id = $1`, companyB)
			c.sees(a.wide.lsn(a))
			c.told(f)
			all := c.listen(2, appointmentEvents)
			a.book(a.wide, own, companyA, nil)
			c.sees(a.wide.lsn(a))
			c.told(all, "appointment.created")
		}}
	}
	stranger := func(room string) func() string {
		return func() string { return `{"names":["*"],"rooms":["` + room + `"]}` }
	}
	cases := []attack{
		unheard("all of another company", func() string { return `{"names":["*"]}` }),
		unheard("the room of another company's staff", stranger("staff:"+bob)),
		unheard("the room of another company's row", stranger("row:appointments:00000000-0000-0000-0001-000000000060")),
		unheard("the room of another company's service", stranger("service_type:haircut")),
		rooms("rooms of other users", (*attempt).staffOfA, "permission-denied", "user:owner", "user:bob", "role:owner", "role:Staff", "role:staff ", "branch:"+branchA, "branch:", "user:", "user:ann\x00", "user:ANN", "user:аnn"),
		rooms("the room of another client", clientOfA, "permission-denied", "client:"+dan, "client:", "client:"+strings.ToUpper(cat)+" "),
		rooms("rooms that there are not", (*attempt).staffOfA, "invalid-argument", "company:"+companyB, "planet:mars", "row", "x", ":", "", "branch", "\x00:1", "branch\x00:1", "BRANCH:1", "__proto__:1"),
		rooms("rooms of rows that are not open", clientOfA, "permission-denied", "row:nothing:1", "row:pg_authid:1", "row:public.appointments:1", "row::1", "row:"),
		rooms("injected room values", (*attempt).staffOfA, "invalid-argument", "staff:' OR true --", "staff:"+ann+"' OR ''='", `staff:"+row.id+"`, "staff:{}", "row:appointments:' OR true", "row:appointments:["+quote(ann)+"]", "row:appointments:"+strings.Repeat("9", 5000)),
		{name: "columns inferred by changes of what is masked", run: func(a *attempt) {
			const id = "00000000-0000-0000-0001-000000000062"
			c := a.connect(a.wide, a.wide.ann(), markMasked)
			f := c.listen(1, `{"names":["*"]}`)
			a.book(a.wide, id, companyA, ann)
			c.sees(a.wide.lsn(a))
			for _, e := range c.told(f, "appointment.created", "availability.changed") {
				if _, is := e.Row["internal_notes"]; is || e.Row["price"] != nil || e.Changed != nil {
					a.Errorf("told %s", e.Raw)
				}
			}
			a.wide.exec(a, `UPDATE appointments SET internal_notes = 'MARK-OF-MASKED 2', price = 10 WHERE id = $1`, id)
			c.sees(a.wide.lsn(a))
			c.told(f)
			a.wide.exec(a, `UPDATE appointments SET internal_notes = 'MARK-OF-MASKED 3', price = 11, status = 'completed' WHERE id = $1`, id)
			c.sees(a.wide.lsn(a))
			for _, e := range c.told(f, "appointment.status_changed", "appointment.completed") {
				if !slices.Equal(e.Changed, []string{"status"}) || len(e.Old) != 1 {
					a.Errorf("told %s", e.Raw)
				}
			}
		}},
		{name: "names of rules that rest on what is masked", run: func(a *attempt) {
			c := a.connect(a.wide, clientOfA(a))
			c.deaf(`{"names":["client.checked_in"]}`, "permission-denied", "client.checked_in")
			c.deaf(`{"names":["client.checked_out","client.checked_in"]}`, "permission-denied")
			c.deaf(`{"names":["staff.deactivated"]}`, "permission-denied")
			c.deaf(`{"names":["no.such_event"]}`, "permission-denied", "no.such_event")
			if f := c.listen(1, `{"names":["*"]}`); slices.Contains(f.Names, "client.checked_in") || slices.Contains(f.Names, "staff.deactivated") {
				a.Errorf("offered %v", f.Names)
			}
		}},
		{name: "many rows that are masked, counted", run: func(a *attempt) {
			c := a.connect(a.wide, a.wide.ann(), markMasked)
			f := c.listen(1, `{"names":["appointment.bulk_updated"]}`)
			insert := func(staff any) {
				a.wide.exec(a, `INSERT INTO appointments (company_id, staff_id, starts_at, ends_at, notes, internal_notes) SELECT $1, $2, '2026-05-01', '2026-05-02', 'bulk', 'MARK-OF-MASKED' FROM generate_series(1, 19) i`, companyA, staff)
			}
			defer a.wide.exec(a, `DELETE FROM appointments WHERE notes LIKE 'bulk%'`)
			insert(ann)
			insert(abe)
			a.wide.exec(a, `UPDATE appointments SET notes = 'bulk 2' WHERE notes = 'bulk'`) // 38, of which 19 are hers
			c.sees(a.wide.lsn(a))
			c.told(f)
			insert(ann)
			a.wide.exec(a, `UPDATE appointments SET internal_notes = 'MARK-OF-MASKED 2' WHERE notes LIKE 'bulk%'`) // nothing of it is hers to read
			c.sees(a.wide.lsn(a))
			c.told(f)
			a.wide.exec(a, `UPDATE appointments SET notes = 'bulk 3' WHERE notes LIKE 'bulk%'`)
			c.sees(a.wide.lsn(a))
			if e := c.told(f, "appointment.bulk_updated")[0]; e.Count != 38 || len(e.Keys) != 38 || e.Row != nil || e.Changed != nil {
				a.Errorf("told %s", e.Raw)
			}
		}},
		{name: "a row that leaves sight, and what it was", run: func(a *attempt) {
			const id = "00000000-0000-0000-0001-000000000063"
			c := a.connect(a.wide, a.wide.ann(), markMasked, "MARK-AWAY")
			f := c.listen(1, `{"names":["*"]}`)
			one := c.listen(2, `{"names":["*"],"rooms":["row:appointments:`+id+`"]}`)
			a.book(a.wide, id, companyA, abe)
			c.sees(a.wide.lsn(a))
			c.told(f)
			c.told(one)
			a.wide.exec(a, `UPDATE appointments SET staff_id = $2, notes = 'hers' WHERE id = $1`, id, ann)
			c.sees(a.wide.lsn(a))
			for _, e := range c.told(f, "appointment.reassigned", "availability.changed") {
				if e.Old != nil || e.Changed != nil {
					a.Errorf("tells what the row was: %s", e.Raw)
				}
			}
			c.told(one, "appointment.reassigned", "availability.changed")
			a.wide.exec(a, `UPDATE appointments SET staff_id = $2, notes = 'MARK-AWAY', starts_at = '2026-04-01 12:00Z' WHERE id = $1`, id, abe)
			c.sees(a.wide.lsn(a))
			for _, e := range c.told(f, "appointment.unassigned", "availability.changed") {
				if e.Row["staff_id"] != ann || strings.HasSuffix(fmt.Sprint(e.Row["starts_at"]), "T12:00:00.000000Z") || e.Changed != nil {
					a.Errorf("tells what the row has become: %s", e.Raw)
				}
			}
			c.told(one, "appointment.unassigned", "availability.changed")
			a.wide.exec(a, `UPDATE appointments SET notes = 'MARK-AWAY 2', status = 'cancelled' WHERE id = $1`, id)
			c.sees(a.wide.lsn(a))
			c.told(f)
		}},
		{name: "a row that moves to another company", run: func(a *attempt) {
			const id = "00000000-0000-0000-0001-000000000064"
			c, other := a.connect(a.wide, a.wide.owner()), a.connect(a.wide, ownerOfB(a), "visible")
			other.marks = []string{"visible"}
			f, theirs := c.listen(1, appointmentEvents), other.listen(1, appointmentEvents)
			a.book(a.wide, id, companyA, nil)
			c.sees(a.wide.lsn(a))
			c.told(f, "appointment.created")
			a.wide.exec(a, `UPDATE appointments SET company_id = $2, notes = $3 WHERE id = $1`, id, companyB, markB)
			c.sees(a.wide.lsn(a))
			other.sees(a.wide.lsn(a))
			mine, new := c.told(f, "appointment.deleted")[0], other.told(theirs, "appointment.created")[0]
			if mine.Row != nil || new.Old != nil || new.Changed != nil || mine.ID == new.ID {
				a.Errorf("told %s and %s", mine.Raw, new.Raw)
			}
			a.wide.exec(a, `UPDATE appointments SET status = 'cancelled' WHERE id = $1`, id)
			c.sees(a.wide.lsn(a))
			c.told(f)
		}},
		{name: "rows that come and go within a commit", run: func(a *attempt) {
			const id = "00000000-0000-0000-0001-000000000065"
			c := a.connect(a.wide, a.wide.owner(), "MARK-BETWEEN")
			f := c.listen(1, appointmentEvents)
			a.wide.exec(a, `DO $$ BEGIN
				INSERT INTO appointments (id, company_id, starts_at, ends_at, notes) VALUES ('`+id+`', '`+companyA+`', now(), now() + interval '1 h', 'MARK-BETWEEN');
				UPDATE appointments SET status = 'confirmed' WHERE id = '`+id+`'; DELETE FROM appointments WHERE id = '`+id+`';
				UPDATE appointments SET status = 'cancelled' WHERE id = '`+appointment(4)+`'; UPDATE appointments SET status = 'confirmed' WHERE id = '`+appointment(4)+`'; END $$`)
			c.sees(a.wide.lsn(a))
			c.told(f)
			a.book(a.wide, id, companyA, nil)
			c.sees(a.wide.lsn(a))
			c.told(f, "appointment.created")
		}},
		{name: "events after a downgrade by renewal", run: func(a *attempt) {
			const id = "00000000-0000-0000-0001-000000000066"
			c := a.connect(a.wide, a.wide.token("moe", "owner"))
			f, branch := c.listen(1, `{"names":["appointment.*"]}`), c.listen(2, `{"names":["*"],"rooms":["branch:`+branchA+`"]}`)
			c.marks = append(c.marks, markMasked)
			c.Send(`{"type":"auth","token":%q}`, a.wide.token("moe", "client", apptest.Claims{"client_id": cat}))
			for branch.Err == nil {
				c.answer()
			}
			if branch.Err.Code != "permission-denied" {
				a.Errorf("a room that is not open any more: %+v", branch)
			}
			a.book(a.wide, id, companyA, nil) // not cat's
			c.sees(a.wide.lsn(a))
			c.told(f)
			a.wide.exec(a, `UPDATE appointments SET client_id = $2, internal_notes = 'MARK-OF-MASKED 9' WHERE id = $1`, id, cat)
			a.wide.exec(a, `UPDATE appointments SET status = 'confirmed' WHERE id = $1`, id)
			c.sees(a.wide.lsn(a))
			for _, e := range c.told(f, "appointment.status_changed", "appointment.confirmed") {
				if e.Row["internal_notes"] != nil {
					a.Errorf("told %s", e.Raw)
				}
			}
		}},
		{name: "events after the end of an access, also over a reconnect", run: func(a *attempt) {
			const id = "00000000-0000-0000-0001-000000000067"
			a.wide.exec(a, `INSERT INTO staff (company_id, user_id, name, role) VALUES ($1, 'eva', 'Eva', 'receptionist')`, companyA)
			token := a.wide.token("eva", "receptionist")
			c := a.connect(a.wide, token)
			f := c.listen(1, appointmentEvents)
			a.book(a.wide, id, companyA, nil)
			c.sees(a.wide.lsn(a))
			c.told(f, "appointment.created")
			cursor := c.Cursor
			a.wide.exec(a, `UPDATE staff SET active = false WHERE user_id = 'eva'`)
			a.wide.exec(a, `UPDATE appointments SET status = 'confirmed' WHERE id = $1`, id)
			c.closed(4502)
			if len(f.Events) != 0 {
				a.Errorf("told %s after the end", f.Events[0].Raw)
			}
			again := a.dial(a.wide)
			again.Send(`{"type":"auth","token":%q}`, token)
			again.refused(0, "permission-denied")
			a.wide.exec(a, `UPDATE staff SET active = true, role = 'staff' WHERE user_id = 'eva'`)
			back := a.connect(a.wide, token, markMasked)
			f = back.listenFrom(1, `{"names":["appointment.*"]}`, cursor)
			back.sees(a.wide.lsn(a))
			back.told(f) // as staff none of it is hers
		}},
		{name: "cursors that are none of one's own", run: func(a *attempt) {
			const id = "00000000-0000-0000-0001-000000000068"
			b := a.connect(a.wide, ownerOfB(a))
			b.marks = nil
			b.listen(1, appointmentEvents)
			a.book(a.wide, "00000000-0000-0000-0001-000000000069", companyB, bob)
			b.sees(a.wide.lsn(a))
			mine := a.connect(a.wide, a.wide.owner())
			mine.listen(1, appointmentEvents)
			mine.sees(a.wide.lsn(a))
			own, theirs := mine.Cursor, b.Cursor
			a.book(a.wide, id, companyA, nil)
			mine.sees(a.wide.lsn(a))
			for name, cursor := range map[string]string{
				"of another company": theirs, "flipped": own[:len(own)-4] + "AAAA", "cut": own[:20], "no base64": "\u202e☃", "very long": strings.Repeat(own, 300),
			} {
				c := a.connect(a.wide, a.wide.owner())
				f := c.listenFrom(1, appointmentEvents, cursor)
				c.sees(a.wide.lsn(a))
				if len(f.Events) != 1 || f.Events[0].Event != "gap" || f.Events[0].To == "" {
					a.Errorf("cursor %s: told %+v", name, f.Events)
				}
				a.refusals.Add(1)
				c.Close()
			}
			c := a.connect(a.wide, a.wide.owner())
			f := c.listenFrom(1, appointmentEvents, own)
			c.sees(a.wide.lsn(a))
			c.told(f, "appointment.created")
		}},
		{name: "a gap, and then one event by the same frame", run: func(a *attempt) {
			// since before the log, where the chain can be made to reach back.
			const id = "00000000-0000-0000-0001-000000000070"
			a.book(a.wide, id, companyA, nil)
			room := `"rooms":["row:appointments:` + id + `"]`
			first := a.connect(a.wide, a.wide.owner())
			one := first.listen(1, `{"names":["appointment.created"],`+room+`,"since":"2001-01-01T00:00:00Z"}`)
			first.sees(a.wide.lsn(a))
			first.told(one, "gap", "appointment.created")
			a.wide.exec(a, `UPDATE appointments SET status = 'completed' WHERE id = $1`, id)
			c := a.connect(a.wide, a.wide.owner())
			f := c.listen(1, `{"names":["*"],`+room+`,"since":"2001-01-01T00:00:00Z"}`)
			c.sees(a.wide.lsn(a))
			c.told(f, "gap", "appointment.created", "appointment.status_changed", "appointment.completed")
			c.deaf(`{"names":["*"],"since":"yesterday"}`, "invalid-argument", "since")
			c.deaf(`{"names":["*"],"since":"2026-03-01"}`, "invalid-argument", "since")
			c.deaf(`{"names":["*"],"since":"9999-99-99T00:00:00Z"}`, "invalid-argument", "since")
		}},
		{name: "since as far as it goes", run: func(a *attempt) {
			c := a.connect(a.wide, a.wide.owner())
			for i, since := range []string{"0000-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999999Z", "2300-01-01T00:00:00-23:59"} {
				f := c.listen(i+1, `{"names":["notification.push"],"since":"`+since+`"}`)
				if since < "2000" && (len(f.Events) == 0 || f.Events[0].Event != "gap") {
					a.Errorf("since %s: told %+v", since, f.Events)
				}
			}
			c.deaf(`{"names":["*"],"since":"99999-01-01T00:00:00Z"}`, "invalid-argument", "since")
			c.refuse(`{"type":"subscribe","id":99,"events":{"names":["*"],"since":0}}`, 0, "invalid-argument")
		}},
		{name: "since far back in a loop", slow: true, run: func(a *attempt) {
			for n := range 30 {
				c := a.connect(a.wide, a.wide.owner())
				for id := 1; id <= 10; id++ {
					c.Send(`{"type":"subscribe","id":%d,"events":{"names":["*"],"since":"2001-01-01T00:00:00Z"}}`, id)
					c.Send(`{"type":"unsubscribe","id":%d}`, id)
				}
				if n%2 == 0 {
					c.Close()
				}
			}
			a.refusals.Add(1)
			c := a.connect(a.wide, a.wide.owner())
			c.listen(1, `{"names":["*"],"since":"2001-01-01T00:00:00Z"}`)
			c.pong(3)
		}},
		{name: "subscribe storms", slow: true, run: func(a *attempt) {
			var all sync.WaitGroup
			for n := range 6 {
				all.Go(func() {
					c, err := apptest.TryDial(a.T, a.wide.WS(), nil)
					if err != nil {
						a.Error(err)
						return
					}
					defer c.Close()
					c.Send(`{"type":"auth","token":%q}`, a.wide.token(fmt.Sprint("stormer ", n), "owner"))
					for i := range 150 { // no two are the same to the server
						_ = c.TrySend(fmt.Appendf(nil, `{"type":"subscribe","id":%d,"events":{"names":["*"],"rooms":["row:appointments:%s","staff:%s"]}}`, i%60+1, appointment(1000*n+i), ann))
						if i%60 == 59 || i%7 == 0 {
							_ = c.TrySend(fmt.Appendf(nil, `{"type":"unsubscribe","id":%d}`, i%60+1))
						}
					}
				})
			}
			all.Wait()
			a.refusals.Add(1)
			c := a.connect(a.wide, a.wide.owner())
			c.listen(1, `{"names":["*"]}`)
			c.sees(a.wide.lsn(a))
			a.served.Add(1)
		}},
		{name: "names and rooms without end", run: func(a *attempt) {
			c := a.connect(a.wide, a.wide.owner())
			list := func(n int, text string) string { return `[` + strings.Repeat(text+`,`, n-1) + text + `]` }
			c.deaf(`{"names":`+list(101, `"*"`)+`}`, "resource-exhausted", "100")
			c.deaf(`{"names":["*"],"rooms":`+list(101, `"staff:`+ann+`"`)+`}`, "resource-exhausted", "100")
			c.deaf(`{"names":["`+strings.Repeat("a", 60_000)+`.b"]}`, "permission-denied")
			c.deaf(`{"names":["`+strings.Repeat(".*", 20_000)+`"]}`, "invalid-argument")
			c.deaf(`{"names":["*"],"rooms":["`+strings.Repeat("b", 50_000)+`:1"]}`, "invalid-argument")
			var last *apptest.Feed
			for i := range 100 {
				last = c.Replica.Listen(i + 1)
				c.Send(`{"type":"subscribe","id":%d,"events":{"names":%s,"rooms":%s}}`, i+1, list(100, `"*"`), list(100, `"staff:`+ann+`"`))
			}
			for last.Names == nil {
				c.answer()
			}
			c.refuse(`{"type":"subscribe","id":199,"events":{"names":["*"]}}`, 199, "resource-exhausted", "limits.subscriptions")
			c.close(1)
			c.listen(1, `{"names":`+list(100, `"appointment.*"`)+`}`)
		}},
		{name: "names that are none", run: func(a *attempt) {
			c := a.connect(a.wide, a.wide.owner())
			for _, name := range []string{"", ".", "*.*", "**", "appointment", "appointment.", "*.created", "Appointment.created", "appointment.créated", "аppointment.created", "appointment.created\x00", "appointment.*.*", "appointment.created ", "gap", "\u202eappointment.created"} {
				c.deaf(`{"names":[`+quote(name)+`]}`, "invalid-argument")
			}
			c.deaf(`{"names":["entity.*"]}`, "permission-denied")
			for frame, code := range map[string]string{
				`{"names":"*"}`: "invalid-argument", `{"names":[1]}`: "invalid-argument", `{"names":null}`: "invalid-argument", `{}`: "invalid-argument", `[]`: "invalid-argument", `"*"`: "invalid-argument",
				`{"names":["*"],"rooms":{"a":1}}`: "invalid-argument", `{"names":["*"],"Rooms":["company"]}`: "invalid-argument", `{"names":["*"],"roomſ":["company"]}`: "invalid-argument",
				`{"names":["*"],"names":["*"]}`: "invalid-argument", `{"names":["*"],"rooms":[]}`: "invalid-argument",
			} {
				c.Send(`{"type":"subscribe","id":98,"events":%s}`, frame)
				if f := c.answer(); f.Type != "error" || f.Code != code {
					a.Errorf("%s: got %s", frame, f.Raw)
				}
			}
			c.listen(1, appointmentEvents)
		}},
		{name: "ids used for a query and for events", run: func(a *attempt) {
			c := a.connect(a.wide, a.wide.owner())
			f := c.listen(1, appointmentEvents)
			c.open(2, allAppointments, 4)
			for _, frame := range []string{
				`{"type":"subscribe","id":1,"query":{"table":"appointments"}}`, `{"type":"subscribe","id":1,"events":{"names":["*"]}}`,
				`{"type":"subscribe","id":2,"events":{"names":["*"]}}`, `{"type":"subscribe","id":0,"events":{"names":["*"]}}`,
			} {
				c.refuse(frame, 0, "invalid-argument")
			}
			c.refuse(`{"type":"subscribe","id":3,"query":{"table":"appointments"},"events":{"names":["*"]}}`, 3, "invalid-argument", "both")
			a.book(a.wide, "00000000-0000-0000-0001-000000000071", companyA, nil)
			c.sees(a.wide.lsn(a))
			c.told(f, "appointment.created")
		}},
		{name: "tickets and polls hear no more than tokens", run: func(a *attempt) {
			ticket := a.ticket(a.wide, a.wide.ann())
			c := a.dial(a.wide, markMasked)
			c.Close()
			socket, err := apptest.TryDial(a.T, a.wide.WS()+"?ticket="+ticket, nil)
			if err != nil {
				a.Fatal(err)
			}
			c = &client{Client: socket, a: a, marks: []string{markB, markMasked}}
			if f := c.answer(); f.Type != "welcome" {
				a.Fatalf("got %s", f.Raw)
			}
			c.deaf(`{"names":["*"],"rooms":["role:owner"]}`, "permission-denied")
			f := c.listen(1, appointmentEvents)
			a.book(a.wide, "00000000-0000-0000-0001-000000000072", companyA, abe)
			c.sees(a.wide.lsn(a))
			c.told(f)
			a.book(a.wide, "00000000-0000-0000-0001-000000000073", companyA, ann)
			c.sees(a.wide.lsn(a))
			c.told(f, "appointment.created")
		}},
		{name: "ids of events tell nothing, and are the same for all", run: func(a *attempt) {
			c, d := a.connect(a.wide, a.wide.owner()), a.connect(a.wide, a.wide.ann(), markMasked)
			f, g := c.listen(1, appointmentEvents), d.listen(1, appointmentEvents)
			a.book(a.wide, "00000000-0000-0000-0001-000000000074", companyA, ann)
			a.book(a.wide, "00000000-0000-0000-0001-000000000075", companyA, ann)
			c.sees(a.wide.lsn(a))
			d.sees(a.wide.lsn(a))
			mine, hers := c.told(f, "appointment.created", "appointment.created"), d.told(g, "appointment.created", "appointment.created")
			if mine[0].ID != hers[0].ID || mine[1].ID != hers[1].ID || mine[0].ID[:6] == mine[1].ID[:6] || len(mine[0].ID) != 22 {
				a.Errorf("ids %s %s, %s %s", mine[0].ID, hers[0].ID, mine[1].ID, hers[1].ID)
			}
			d.deaf(`{"names":["*"],"rooms":["row:appointments:`+mine[0].ID+`"]}`, "invalid-argument")
		}},
		{name: "a listener that does not read", slow: true, run: func(a *attempt) {
			c, err := apptest.TryDial(a.T, a.wide.WS(), nil)
			if err != nil {
				a.Fatal(err)
			}
			defer c.Close()
			c.Authenticate(a.wide.token("idler", "owner"))
			for id := 1; id <= 50; id++ {
				c.Send(`{"type":"subscribe","id":%d,"events":{"names":["*"],"since":"2001-01-01T00:00:00Z"}}`, id)
			}
			other := a.connect(a.wide, a.wide.owner())
			f := other.listen(1, `{"names":["appointment.created"]}`)
			begun := time.Now()
			for n := range 20 {
				a.book(a.wide, fmt.Sprintf("00000000-0000-0000-0001-0000000002%02d", n), companyA, nil)
			}
			other.sees(a.wide.lsn(a))
			if took := time.Since(begun); len(f.Events) < 20 || took > time.Minute {
				a.Errorf("told of %d, after %s", len(f.Events), took)
			}
			a.refusals.Add(1)
			a.served.Add(1)
		}},
	}
	return cases
}

func (a *attempt) staffOfA() string { return a.wide.ann() }
