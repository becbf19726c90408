package stream_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/internal/pgtest"
	"github.com/walwire/walwire/mapping"
)

func staffToken(s *apptest.Server, user string, roles ...string) string {
	return s.Token(apptest.Claims{"sub": user, "company_id": companyA, "roles": roles})
}

// Rows of a user that change take effect on the connection that is open, at their
// commit: what is no longer allowed is gone in the commit's frame.
func TestRightsChange(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	s.Exec(seed)
	insert(s, 1, companyA, ann, cat, "confirmed")
	insert(s, 2, companyA, abe, cat, "confirmed")
	s.Exec(`UPDATE staff SET role = 'receptionist' WHERE user_id = 'ann'`)
	c := s.Connect(staffToken(s, "ann", "staff")) // the row wins: she is a receptionist
	q := c.Open(1, `{"table":"appointments","columns":["status"]}`)
	clients := c.Open(2, `{"table":"clients"}`)
	if len(q.Rows) != 2 || len(clients.Rows) != 2 {
		t.Fatalf("a receptionist sees %d appointments and %d clients", len(q.Rows), len(clients.Rows))
	}
	other := s.Connect(staffToken(s, "ann", "staff"))
	other.Open(1, `{"table":"appointments","columns":["status"]}`)

	t.Run("what is not an attribute", func(t *testing.T) {
		s.Exec(`UPDATE staff SET status = 'busy' WHERE user_id = 'ann'; UPDATE appointments SET status = 'pending'`)
		mustFrame(t, c.Read(), 0, 2, 0)
		s.Wait(c)
	})
	t.Run("fewer rows", func(t *testing.T) {
		s.Exec(`BEGIN; UPDATE staff SET role = 'staff' WHERE user_id = 'ann'; UPDATE appointments SET status = 'confirmed'; COMMIT`)
		at := s.LSN()
		for range 2 { // in either order: the two queries
			f := c.Read()
			if f.Type == "data" && len(f.Subscriptions) == 2 {
				break
			}
		}
		for len(q.Rows) == 0 { // shown empty while the rows are read: the machine is slow
			c.Read()
		}
		if got := q.Rows; len(got) != 1 {
			t.Fatalf("staff sees %d appointments: %v", len(got), got)
		}
		s.Wait(c)
		if n := len(q.Rows); n != 1 {
			t.Errorf("at %s: %d rows", at, n)
		}
		// What the other's row becomes, she is not told; what hers does, she is.
		s.Exec(`UPDATE appointments SET status = 'pending'`)
		u := mustFrame(t, c.Read(), 0, 1, 0)
		if u.Modified[0]["id"] != appointment(1) {
			t.Errorf("got %v", u.Modified)
		}
	})
	t.Run("more rows", func(t *testing.T) {
		s.Exec(`UPDATE staff SET role = 'receptionist' WHERE user_id = 'ann'`)
		s.Wait(c)
		if len(q.Rows) != 2 {
			t.Errorf("a receptionist again sees %d appointments", len(q.Rows))
		}
		s.Exec(`UPDATE appointments SET status = 'confirmed'`)
		s.Wait(c)
		for id, row := range q.Rows {
			if row["status"] != "confirmed" {
				t.Errorf("row %s: %v", id, row)
			}
		}
	})
	t.Run("a column that the role may not see", func(t *testing.T) {
		mine := s.Connect(staffToken(s, "ann", "staff"))
		mine.Open(1, `{"table":"appointments","columns":["status"],"where":[["internal_notes","is-null",true]]}`)
		mine.Open(2, `{"table":"appointments","columns":["status"]}`)
		s.Exec(`UPDATE staff SET role = 'staff' WHERE user_id = 'ann'`)
		refused := false
		for !refused {
			f := mine.Read()
			refused = f.Type == "error" && f.ID == 1 && f.Code == "permission-denied"
		}
		s.Wait(mine)
	})
	t.Run("access ends, and stays ended", func(t *testing.T) {
		s.Exec(`BEGIN; UPDATE staff SET active = false WHERE user_id = 'ann'; UPDATE appointments SET status = 'cancelled'; COMMIT`)
		for _, c := range []*apptest.Client{c, other} {
			code, frames := c.ReadClose()
			if code != 4502 {
				t.Errorf("closed with %d", code)
			}
			for _, f := range frames {
				if f.Type == "data" && len(f.Subscriptions) > 0 && f.Time != "" && containsCancelled(f) {
					t.Errorf("data after access ended: %s", f)
				}
			}
		}
		again := apptest.Dial(t, s.WS())
		again.Send(`{"type":"auth","token":%q}`, staffToken(s, "ann", "staff"))
		if f := again.Read(); f.Code != "permission-denied" {
			t.Errorf("got %s", f)
		}
		if code, _ := again.ReadClose(); code != 4502 {
			t.Errorf("closed with %d", code)
		}
		for _, path := range []string{"/v1/tickets", "/v1/query"} {
			if status, answer := call(t, "POST", s.URL()+path, staffToken(s, "ann", "staff"), `{"query":{"table":"appointments"}}`); status != 403 {
				t.Errorf("%s: HTTP %d %v", path, status, answer)
			}
		}
	})
	t.Run("access is given again", func(t *testing.T) {
		for range 20 { // who is let in may come at once, while those put out still go
			s.Exec(`UPDATE staff SET active = true WHERE user_id = 'ann'`)
			c := s.Connect(staffToken(s, "ann", "staff"))
			for range 19 {
				s.Connect(staffToken(s, "ann", "staff"))
			}
			s.Exec(`UPDATE staff SET active = false WHERE user_id = 'ann'`)
			c.ReadClose()
		}
	})
}

func containsCancelled(f *apptest.Frame) bool {
	for _, u := range f.Subscriptions {
		for _, r := range u.Modified {
			if r["status"] == "cancelled" {
				return true
			}
		}
	}
	return false
}

// Where the rows of new rights can't be read soon, the query is shown empty meanwhile
// and says that it is loading; the connection's others go on.
func TestRightsWhileLocked(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	s.Exec(seed)
	insert(s, 1, companyA, ann, cat, "confirmed")
	insert(s, 2, companyA, abe, cat, "confirmed")
	s.Exec(`UPDATE staff SET role = 'receptionist' WHERE user_id = 'ann'`)
	c := s.Connect(staffToken(s, "ann", "staff"))
	q := c.Open(1, `{"table":"appointments","columns":["status"]}`)
	people := c.Open(2, `{"table":"staff","columns":["name"]}`)
	lock := pgtest.MustConnect(t, s.AdminURL)
	pgtest.MustExec(t, lock, `BEGIN; LOCK TABLE appointments IN ACCESS EXCLUSIVE MODE`)
	s.Exec(`UPDATE staff SET role = 'staff' WHERE user_id = 'ann'`)
	f := c.Read() // the two queries go on together
	if len(f.Subscriptions) != 2 || len(q.Rows) != 0 {
		t.Fatalf("got %s", f)
	}
	for _, u := range f.Subscriptions { // on a slow machine the other may be loading too, for a moment
		if !u.Reset || u.ID == 1 && !u.Loading || len(u.Snapshot.Rows) == 0 != u.Loading {
			t.Errorf("got %s", f)
		}
	}
	cursor, token := c.Cursor, q.Token
	s.Exec(`UPDATE staff SET name = 'Anna' WHERE user_id = 'ann'`)
	for people.Rows[fmt.Sprintf("[%q]", ann)] == nil || people.Rows[fmt.Sprintf("[%q]", ann)]["name"] != "Anna" {
		c.Read()
	}
	pgtest.MustExec(t, lock, `COMMIT`)
	s.Wait(c)
	if len(q.Rows) != 1 {
		t.Errorf("%d rows after the lock", len(q.Rows))
	}
	// Who left while it was loading is not told to go on from there.
	s.Exec(`UPDATE staff SET role = 'receptionist' WHERE user_id = 'ann'`)
	s.Wait(c)
	again := s.Connect(staffToken(s, "ann", "staff"))
	empty := &apptest.Query{Token: token, Loaded: true, Rows: map[string]apptest.Row{}, Order: map[string]string{}}
	again.Resume(1, `{"table":"appointments","columns":["status"]}`, empty, cursor)
	if len(empty.Rows) != 2 {
		t.Errorf("resumed with %d rows", len(empty.Rows))
	}
}

// A row that must be there, and is taken away; roles that a row no longer gives.
func TestRightsRequired(t *testing.T) {
	s := apptest.Start(t, apptest.Options{Edit: func(c *mapping.Config) { c.User.Rows[0].Required = true }})
	s.Exec(seed)
	c := s.Connect(staffToken(s, "ann", "staff"))
	c.Open(1, `{"table":"staff"}`)
	s.Exec(`DELETE FROM staff WHERE user_id = 'ann'`)
	if code, _ := c.ReadClose(); code != 4502 {
		t.Errorf("closed with %d", code)
	}
	again := apptest.Dial(t, s.WS())
	again.Send(`{"type":"auth","token":%q}`, staffToken(s, "nobody", "staff"))
	if code, _ := again.ReadClose(); code != 4502 {
		t.Errorf("who has no row: closed with %d", code)
	}
	s.Connect(s.Token(apptest.Claims{"sub": "cat", "company_id": companyA, "roles": []string{"client"}})) // not looked for among staff
}

// A query by POST that waits for its rows is answered by the rights of then; and whatever
// becomes of its table, it is answered.
func TestRightsOfQueryThatWaits(t *testing.T) {
	s := apptest.Prepare(t, apptest.Options{})
	s.Exec(`ALTER TABLE appointments ADD COLUMN extra int`)
	s.Run()
	s.Exec(seed)
	s.Exec(`UPDATE staff SET role = 'receptionist' WHERE user_id = 'ann'`)
	insert(s, 1, companyA, ann, cat, "confirmed")
	insert(s, 2, companyA, abe, cat, "confirmed")
	watcher := s.Connect(s.Owner(companyA))
	for name, step := range map[string]struct {
		meanwhile, locked, after string
		want, rows               int
	}{
		"narrowed":     {`UPDATE staff SET role = 'staff' WHERE user_id = 'ann'`, ``, `UPDATE staff SET role = 'receptionist' WHERE user_id = 'ann'`, 200, 1},
		"access ended": {`UPDATE staff SET active = false WHERE user_id = 'ann'`, ``, `UPDATE staff SET active = true WHERE user_id = 'ann'`, 403, 0},
		"altered":      {``, `ALTER TABLE appointments DROP COLUMN extra`, ``, 200, 2},
	} {
		t.Run(name, func(t *testing.T) {
			lock := pgtest.MustConnect(t, s.AdminURL)
			pgtest.MustExec(t, lock, `BEGIN; LOCK TABLE appointments IN ACCESS EXCLUSIVE MODE`)
			type answer struct {
				status int
				body   map[string]any
			}
			answers := make(chan answer, 1)
			go func() {
				status, body := call(t, "POST", s.URL()+"/v1/query", staffToken(s, "ann", "staff"), `{"query":{"table":"appointments","where":[["status","==","confirmed"]]}}`)
				answers <- answer{status, body}
			}()
			pgtest.AwaitLock(t, s.AdminURL, "appointments")
			if step.meanwhile != "" {
				s.Exec(step.meanwhile)
				s.Wait(watcher)
			}
			pgtest.MustExec(t, lock, step.locked+`; COMMIT`)
			select {
			case a := <-answers:
				rows, _ := a.body["rows"].([]any)
				if a.status != step.want || len(rows) != step.rows {
					t.Errorf("HTTP %d, %v", a.status, a.body)
				}
			case <-time.After(30 * time.Second):
				t.Error("not answered")
			}
			if step.after != "" {
				s.Exec(step.after)
				s.Wait(watcher)
			}
		})
	}
}

// A commit that changes a user's row and makes the table of users be read again: its
// reader is who the row says, and not somebody without a row.
func TestRightsWhileReadAgain(t *testing.T) {
	s := startPeople(t)
	c := s.Connect(s.Token(apptest.Claims{"sub": "ann", "company_id": "1", "roles": []string{"owner"}}))
	q := c.Open(1, `{"table":"items","columns":["v"]}`)
	for desk := 2; desk >= 1; desk-- {
		s.Exec(fmt.Sprintf(`BEGIN; UPDATE people SET desk = %d WHERE login = 'ann'; TRUNCATE people_2; COMMIT`, desk))
		s.Wait(c)
		if len(q.Rows) != 1 || q.Rows[fmt.Sprintf("[%d]", desk)] == nil {
			t.Errorf("at desk %d: %v", desk, q.Rows)
		}
	}
}

// startPeople serves items by the desk that people's rows give; these are partitioned, so
// that a TRUNCATE of others makes them be read again.
func startPeople(t *testing.T) *apptest.Server {
	t.Helper()
	config := strings.Replace(itemsConfig, "tables:\n", `users: [{table: people, match: {login: id}, required: true, attributes: {desk: desk, roles: role}}]
tables:
  people: {table: public.people, company: company, roles: {}}
`, 1)
	config = strings.Replace(config, "rows: true", "rows: row.v == user.desk", 1)
	s := apptest.Start(t, apptest.Options{
		Schema: itemsSchema + `
			CREATE TABLE people (company int NOT NULL, login text NOT NULL, desk int, role text, PRIMARY KEY (company, login)) PARTITION BY LIST (company);
			CREATE TABLE people_1 PARTITION OF people FOR VALUES IN (1); CREATE TABLE people_2 PARTITION OF people FOR VALUES IN (2);
			ALTER TABLE people_1 REPLICA IDENTITY FULL; ALTER TABLE people_2 REPLICA IDENTITY FULL; ALTER PUBLICATION walwire ADD TABLE people_1, people_2;`,
		Config: config, Tables: []pgx.Identifier{{"public", "items"}, {"public", "people"}},
	})
	s.Exec(`INSERT INTO people VALUES (1, 'ann', 1, 'owner'), (2, 'bob', 1, 'owner'); DELETE FROM items; INSERT INTO items (id, company, v) VALUES (1, 1, 1), (2, 1, 2)`)
	return s
}

// While the row that says who asks is being read again nothing is answered by what it was.
func TestQueryWhileUserIsReadAgain(t *testing.T) {
	s := startPeople(t)
	ann := s.Token(apptest.Claims{"sub": "ann", "company_id": "1", "roles": []string{"owner"}})
	items, truncate, people := pgtest.MustConnect(t, s.AdminURL), pgtest.MustConnect(t, s.AdminURL), pgtest.MustConnect(t, s.AdminURL)
	pgtest.MustExec(t, items, `BEGIN; LOCK TABLE items IN ACCESS EXCLUSIVE MODE`)
	answered := make(chan int, 1)
	go func() {
		status, _ := call(t, "POST", s.URL()+"/v1/query", ann, `{"query":{"table":"items"}}`)
		answered <- status
	}()
	pgtest.AwaitLock(t, s.AdminURL, "items")
	pgtest.MustExec(t, truncate, `BEGIN; UPDATE people SET desk = 2 WHERE login = 'ann'; TRUNCATE people_2`)
	locked := make(chan error, 1)
	go func() {
		_, err := people.Exec(t.Context(), `BEGIN; LOCK TABLE people_1 IN ACCESS EXCLUSIVE MODE`)
		locked <- err
	}()
	pgtest.AwaitLock(t, s.AdminURL, "people_1")
	pgtest.MustExec(t, truncate, `COMMIT`)
	if err := <-locked; err != nil {
		t.Fatal(err)
	}
	pgtest.AwaitLock(t, s.AdminURL, "people_1") // walwire reads it again
	pgtest.MustExec(t, items, `COMMIT`)
	if status := <-answered; status != 503 {
		t.Errorf("HTTP %d", status)
	}
	pgtest.MustExec(t, people, `COMMIT`)
}

// A connection is told before its token ends, renews it in band with the rights that
// the new one gives, and ends with it otherwise.
func TestRenewal(t *testing.T) {
	t.Parallel() // it mostly waits
	s := apptest.Start(t, apptest.Options{Edit: func(c *mapping.Config) { c.Auth.ClockSkew = 0 }})
	s.Exec(seed)
	insert(s, 1, companyA, ann, cat, "confirmed")
	insert(s, 2, companyA, abe, cat, "confirmed")
	token := func(sub string, life time.Duration, roles ...string) string {
		return s.Token(apptest.Claims{"sub": sub, "company_id": companyA, "roles": roles, "exp": time.Now().Add(life).Unix()})
	}
	c := s.Connect(token("zoe", 30*time.Second, "owner"))
	q := c.Subscribe(1, `{"table":"appointments"}`)
	for told := false; !told || !q.Loaded; { // in either order, on a slow machine
		f := c.Read()
		if f.Type != "data" && f.Type != "expiring" {
			t.Fatalf("got %s", f)
		}
		told = told || f.Type == "expiring"
	}
	for name, refused := range map[string]string{
		"another user":    token("yan", time.Hour, "owner"),
		"another company": s.Token(apptest.Claims{"sub": "zoe", "company_id": companyB, "roles": []string{"owner"}}),
		"no token":        "x.y.z",
	} {
		c.Send(`{"type":"auth","token":%q}`, refused)
		if f := c.Read(); f.Type != "error" || f.Code != "permission-denied" && f.Code != "unauthenticated" {
			t.Errorf("%s: got %s", name, f)
		}
	}
	const life = 25 * time.Second // beyond the first token's end, which is 15 s away
	expires := time.Now().Add(life).Truncate(time.Second)
	c.Send(`{"type":"auth","token":%q}`, token("zoe", life, "client"))
	renewed := false
	for !renewed || len(q.Rows) != 0 {
		f := c.Read()
		renewed = renewed || f.Type == "renewed" && len(f.Roles) == 1 && f.Roles[0] == "client"
	}
	code, frames := c.ReadClose()
	if code != 4002 || len(frames) == 0 || frames[len(frames)-1].Code != "unauthenticated" {
		t.Errorf("closed with %d after %v", code, frames)
	}
	if early := time.Until(expires); early > 0 {
		t.Errorf("closed %s before its end: the first token's end counts", early)
	}
}

// A renewal that fails leaves nothing behind that the connection would wait for.
func TestRenewalFails(t *testing.T) {
	t.Parallel() // it mostly waits
	s := apptest.Start(t, apptest.Options{Edit: func(c *mapping.Config) { c.Limits.AuthDeadline = 10 * time.Second }})
	s.Exec(seed)
	token := func(role string) string {
		return s.Token(apptest.Claims{"sub": "ann", "company_id": companyA, "roles": []string{role}})
	}
	c := s.Connect(token("client"))
	c.Open(1, `{"table":"appointments"}`)
	holder := pgtest.MustConnect(t, s.AdminURL)
	pgtest.MustExec(t, holder, `BEGIN; LOCK TABLE staff IN ACCESS EXCLUSIVE MODE`)
	c.Send(`{"type":"auth","token":%q}`, token("receptionist")) // whose row of staff can't be read
	for f := c.Read(); f.Type != "error"; f = c.Read() {
		if f.Type == "renewed" {
			t.Fatal("renewed")
		}
	}
	s.Wait(c) // while the table is locked
	pgtest.MustExec(t, holder, `COMMIT`)
	c.Send(`{"type":"auth","token":%q}`, token("receptionist"))
	for f := c.Read(); f.Type != "renewed"; f = c.Read() {
	}
	s.Wait(c)
}

// An operator names any company, others one of their token's.
func TestCompanies(t *testing.T) {
	s := apptest.Start(t, apptest.Options{Edit: func(c *mapping.Config) { c.User.Operators = []string{"owner"} }})
	s.Exec(seed)
	for name, tt := range map[string]struct {
		claims  apptest.Claims
		company string
		want    int
	}{
		"several":      {apptest.Claims{"sub": "x", "company_id": []string{companyA, companyB}, "roles": []string{"manager"}}, companyB, 1},
		"not its own":  {apptest.Claims{"sub": "x", "company_id": []string{companyA}, "roles": []string{"manager"}}, companyB, -1},
		"an operator":  {apptest.Claims{"sub": "x", "company_id": companyA, "roles": []string{"owner"}}, companyB, 1},
		"the operator": {apptest.Claims{"sub": "x", "company_id": companyA, "roles": []string{"owner"}}, "", 2},
	} {
		t.Run(name, func(t *testing.T) {
			c := apptest.Dial(t, s.WS())
			c.Send(`{"type":"auth","token":%q,"company":%q}`, s.Token(tt.claims), tt.company)
			if f := c.Read(); tt.want < 0 {
				if f.Code != "unauthenticated" {
					t.Errorf("got %s", f)
				}
				return
			} else if f.Type != "welcome" {
				t.Fatalf("got %s", f)
			}
			if q := c.Open(1, `{"table":"staff"}`); len(q.Rows) != tt.want {
				t.Errorf("%d rows", len(q.Rows))
			}
		})
	}
}

// A company's admins see who of it is connected, operators of all, and end connections.
func TestStats(t *testing.T) {
	s := apptest.Start(t, apptest.Options{Edit: func(c *mapping.Config) { c.User.Operators = []string{"support", "receptionist"} }})
	s.Exec(seed)
	s.Exec(`INSERT INTO branches (id, company_id, name) VALUES ('00000000-0000-0000-0000-0000000000a9', '` + companyA + `', 'North');
		UPDATE staff SET branch_id = '00000000-0000-0000-0000-0000000000a9' WHERE user_id = 'ann'`)
	support := s.Token(apptest.Claims{"sub": "sue", "company_id": companyB, "roles": []string{"support"}})
	a := s.ConnectBy("sse", staffToken(s, "ann", "staff"))
	a.Open(1, `{"table":"staff"}`)
	s.Connect(s.Owner(companyA))
	b := s.Connect(s.Owner(companyB))
	stats := func(token, query string) map[string]any {
		t.Helper()
		status, answer := call(t, "GET", s.URL()+"/v1/stats"+query, token, "")
		if status != 200 || answer["running"] != true {
			t.Fatalf("HTTP %d %v", status, answer)
		}
		return answer
	}
	got := stats(s.Owner(companyA), "")
	want := map[string]map[string]any{
		"byRole": {"owner": 1.0, "staff": 1.0}, "byTransport": {"websocket": 1.0, "sse": 1.0},
		"byBranch": {"00000000-0000-0000-0000-0000000000a9": 1.0},
	}
	for name, counts := range want {
		if fmt.Sprint(got[name]) != fmt.Sprint(counts) {
			t.Errorf("%s: %v, want %v", name, got[name], counts)
		}
	}
	if got["connectionCount"] != 2.0 || got["subscriptionCount"] != 1.0 {
		t.Errorf("got %v", got)
	}
	if all := stats(support, ""); all["connectionCount"] != 3.0 || all["companyCount"] != 2.0 {
		t.Errorf("all: %v", all)
	}
	if one := stats(support, "?company="+companyB); one["connectionCount"] != 1.0 {
		t.Errorf("one: %v", one)
	}
	if status, answer := call(t, "GET", s.URL()+"/v1/stats", staffToken(s, "ann", "staff"), ""); status != 403 {
		t.Errorf("staff: HTTP %d %v", status, answer)
	}
	s.Exec(`UPDATE staff SET role = 'receptionist' WHERE user_id = 'ann'`)
	if status, answer := call(t, "GET", s.URL()+"/v1/stats", staffToken(s, "ann", "staff"), ""); status != 403 {
		t.Errorf("made an operator by a row: HTTP %d %v", status, answer)
	}
	if status, answer := call(t, "POST", s.App.AdminURL()+"/admin/v1/disconnect", "", `{"company":"`+companyB+`","reason":"maintenance"}`); status != 200 || answer["disconnected"] != 1.0 {
		t.Errorf("HTTP %d %v", status, answer)
	}
	if code, frames := b.ReadClose(); code != 4004 || len(frames) != 1 || frames[0].Message != "maintenance" {
		t.Errorf("closed with %d after %v", code, frames)
	}
	s.Wait(a)
}
