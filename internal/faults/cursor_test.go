package faults_test

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/walwire/walwire/internal/app"
	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/internal/pgtest"
	"github.com/walwire/walwire/mapping"
)

// held is what a client that left has: its rows, and what it comes back with.
type held struct {
	query  string
	rows   *apptest.Query
	cursor string
}

// hold opens a query, sees a change of it, and leaves.
func hold(s *apptest.Server, token, query string) held {
	c := s.Connect(token)
	q := c.Open(1, query)
	s.Exec(`UPDATE items SET v = v + 1 WHERE id % 100 = 3`)
	s.Wait(c)
	c.Close()
	return held{query, q, c.Cursor}
}

// comeBack resumes and says whether that was taken; what is shown is compared with
// what SELECT gives to the company.
func (h held) comeBack(t *testing.T, s *apptest.Server, token string, company int, l live) (resumed bool) {
	t.Helper()
	before := h.rows.Resumes
	c := s.Connect(token)
	defer c.Close()
	c.Resume(1, h.query, h.rows, h.cursor)
	s.Wait(c)
	m := &member{queries: []*apptest.Query{h.rows}}
	if got, want := m.shown(0), l.expected(s, company); got != want {
		t.Errorf("shown\n%s\nSELECT gives\n%s", got, want)
	}
	return h.rows.Resumes > before
}

// A cursor or a token that is not this client's, or not of this server, is answered
// by all rows of those it may see.
func TestForeignCursors(t *testing.T) {
	adminURL := pgtest.Database(t)
	s := apptest.Start(t, itemsOptions(adminURL, func(c *mapping.Config) { c.Retention.Changes = 1000 }))
	tamper := func(text string) string {
		b := []byte(text)
		b[len(b)/2] ^= 1
		return string(b)
	}
	all := everything()
	owner := s.Owner("1")
	for _, c := range []struct {
		name    string
		change  func(h *held)
		token   string
		company int
		live    live
		resumed bool
	}{
		{"own", func(*held) {}, owner, 1, all, true},
		{"other user", func(*held) {}, s.Token(apptest.Claims{"sub": "another", "company_id": "1", "roles": []string{"owner"}}), 1, all, false},
		{"other company", func(*held) {}, s.Owner("2"), 2, all, false},
		{"other company, same user", func(*held) {}, s.Token(apptest.Claims{"sub": "owner of 1", "company_id": "2", "roles": []string{"owner"}}), 2, all, false},
		{"other query", func(h *held) { h.query = filter(2).query }, owner, 1, filter(2), false},
		{"tampered cursor", func(h *held) { h.cursor = tamper(h.cursor) }, owner, 1, all, false},
		{"tampered token", func(h *held) { h.rows.Token = tamper(h.rows.Token) }, owner, 1, all, false},
		{"no cursor", func(h *held) { h.cursor = "" }, owner, 1, all, false},
		{"below the log", func(*held) {
			for range 4 {
				s.Exec(`UPDATE items SET v = v + 1`)
			}
			c := s.Connect(owner)
			defer c.Close()
			s.Wait(c) // the server has read them: what the gauge says next is of the log with them
			s.Hub().Metrics.LogTransactions.Set(1e9)
			await(t, "the log to let go", func() bool { return testutil.ToFloat64(s.Hub().Metrics.LogTransactions) <= 1 })
		}, owner, 1, all, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := hold(s, owner, all.query)
			s.Exec(`UPDATE items SET note = note || 'x' WHERE id % 10 = 7; DELETE FROM items WHERE id = (SELECT max(id) FROM items)`)
			c.change(&h)
			if resumed := h.comeBack(t, s, c.token, c.company, c.live); resumed != c.resumed {
				t.Errorf("resumed: %t", resumed)
			}
		})
	}
	t.Run("other key", func(t *testing.T) {
		o := itemsOptions(adminURL, func(c *mapping.Config) {
			c.CursorKey = mapping.NewSecret("another key for cursors, of 32 octets or more")
		})
		o.Schema = "SELECT 1"
		other := apptest.Start(t, o)
		h := hold(other, owner, all.query)
		if h.comeBack(t, s, owner, 1, all) {
			t.Error("resumed with a cursor of another key")
		}
		other.Stop()
	})
}

// A cursor of what this server has not read yet waits for it: not for ever, and one
// connection's queries all together.
func TestCursorAhead(t *testing.T) {
	adminURL := pgtest.Database(t)
	s := apptest.Prepare(t, itemsOptions(adminURL, nil))
	way := newProxy(t, host(t, adminURL))
	const patience = 10 * time.Second
	o := itemsOptions(adminURL, func(c *mapping.Config) { c.DatabaseURL = mapping.NewSecret(way.through(c.DatabaseURL.Reveal())) })
	o.Schema, o.Tuning = "SELECT 1", app.Tuning{ResumePatience: patience}
	behind := apptest.Prepare(t, o)
	s.Run() // both know the table with the rights that either's role was given
	behind.Run()
	lives := make([]live, 10)
	for n := range lives {
		lives[n] = filter(n)
	}
	owner := s.Owner("1")
	gone := func() (cursor string, queries []*apptest.Query) {
		c := s.Connect(owner)
		for n, l := range lives {
			queries = append(queries, c.Open(n+1, l.query))
		}
		s.Exec(`UPDATE items SET v = v + 1`)
		s.Wait(c)
		c.Close()
		return c.Cursor, queries
	}
	resume := func(c *apptest.Client, cursor string, queries []*apptest.Query) {
		for n, q := range queries {
			c.Replica.Resume(n+1, q)
			c.Send(`{"type":"subscribe","id":%d,"query":%s,"resume":{"cursor":%q,"token":%q}}`, n+1, lives[n].query, cursor, q.Token)
		}
	}
	finish := func(c *apptest.Client, queries []*apptest.Query) {
		for _, q := range queries {
			for q.Waiting {
				c.Read()
			}
		}
	}

	way.add("latency", `{"latency":300}`, "downstream")
	cursor, queries := gone()
	c := behind.Connect(owner)
	resume(c, cursor, queries)
	finish(c, queries)
	for n, q := range queries {
		if q.Resumes != 1 || q.Resets > 0 {
			t.Errorf("query %d: %d resumes, %d resets", n, q.Resumes, q.Resets)
		}
	}
	c.Close()
	way.remove()

	way.add("latency", `{"latency":60000}`, "downstream") // longer than anybody waits
	cursor, queries = gone()
	c = behind.Connect(owner)
	begun := time.Now()
	resume(c, cursor, queries)
	c.Send(`{"type":"ping","id":9}`)
	heard := 0 // meanwhile: silence would be taken for a lost connection
	for f := c.Read(); f.Type != "pong" || f.ID != 9; f = c.Read() {
		if f.Type == "pong" {
			heard++
		}
	}
	if heard == 0 {
		t.Error("nothing was heard until the server had waited long enough")
	}
	took := time.Since(begun)
	t.Logf("%d queries with a cursor ahead were taken after %s, the patience is %s", len(queries), took.Round(10*time.Millisecond), patience)
	if took < patience || took > 3*patience {
		t.Errorf("%d queries waited %s for a position that does not come", len(queries), took)
	}
	way.remove()
	way.cut()
	finish(c, queries)
	behind.Wait(c)
	for n, q := range queries {
		if q.Resumes > 0 || q.Resets != 1 {
			t.Errorf("query %d: %d resumes, %d resets", n, q.Resumes, q.Resets)
		}
		if got, want := (&member{queries: []*apptest.Query{q}}).shown(0), lives[n].expected(s, 1); got != want {
			t.Errorf("query %d shows\n%s\nSELECT gives\n%s", n, got, want)
		}
	}

}
