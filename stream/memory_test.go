package stream_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/mapping"
)

// Live queries beyond the memory that there is are refused with the limit's name; those
// that are open go on, and what is closed makes room.
func TestMemory(t *testing.T) {
	s := apptest.Start(t, apptest.Options{Edit: func(c *mapping.Config) { c.Limits.Memory = 2 << 20 }})
	s.Exec(seed)
	s.Exec(`INSERT INTO clients (company_id, name) SELECT '` + companyA + `', 'client ' || n || repeat('x', 900) FROM generate_series(1, 3000) n`)
	c := s.Connect(s.Owner(companyA))
	s.Wait(c) // for the INSERT to be in the log
	query := func(n int) string {
		return fmt.Sprintf(`{"table":"clients","columns":["name"],"where":[["name","starts-with","client %d"]]}`, n)
	}
	open := make(map[int]*apptest.Query)
	refused := 0
	for id, n := 1, 1; n <= 9; id++ { // about 1,100 rows of 1.2 KB each for a leading 1, and 2, then 111
		q := c.Subscribe(id, query(n))
		for !q.Loaded && q.Err == nil {
			c.Read()
		}
		switch {
		case q.Err == nil:
			open[id] = q
			n++
		case q.Err.Code != "resource-exhausted" || q.Err.Message == "":
			t.Fatalf("query %d: %s", n, q.Err)
		case len(open) == 0: // the log of the INSERT has not given way yet
			s.Exec(`UPDATE staff SET name = name || '.'`)
			s.Wait(c)
		default:
			refused++
			n++
		}
	}
	s.Wait(c)
	ended := 0
	for id, q := range open { // what was let in and was too much then
		if q.Err == nil {
			continue
		}
		if q.Err.Code != "resource-exhausted" {
			t.Errorf("query %d ended: %s", id, q.Err)
		}
		delete(open, id)
		ended++
	}
	if refused+ended == 0 || len(open) == 0 {
		t.Fatalf("%d open, %d refused, %d ended", len(open), refused, ended)
	}
	t.Logf("%d queries open, %d refused, %d ended", len(open), refused, ended)
	s.Exec(`UPDATE clients SET name = name || '!' WHERE name LIKE 'client %'`)
	s.Wait(c)
	for n, q := range open {
		if q.Err != nil { // the change itself was too much
			if q.Err.Code != "resource-exhausted" {
				t.Errorf("query %d ended: %s", n, q.Err)
			}
			continue
		}
		for _, r := range q.Rows {
			if name := fmt.Sprint(r["name"]); name[len(name)-1] != '!' {
				t.Fatalf("query %d shows %v", n, r)
			}
		}
	}
	for n, q := range open {
		if q.Err != nil {
			continue
		}
		c.Send(`{"type":"unsubscribe","id":%d}`, n)
		for f := c.Read(); f.Type != "unsubscribed"; f = c.Read() {
		}
		c.Forget(n)
	}
	s.Wait(c)
	for n := 10_000; ; n++ { // once the log has been cut, too
		q := c.Subscribe(n, query(3))
		for !q.Loaded && q.Err == nil {
			c.Read()
		}
		if q.Err == nil {
			break
		}
		s.Exec(`UPDATE staff SET name = name || '.'`)
		s.Wait(c)
		if n == 11_000 {
			t.Fatalf("no room again: %s", q.Err)
		}
	}
}

// A live query that grows beyond all ends where its company holds more than its share;
// another company's goes on.
func TestMemoryGrows(t *testing.T) {
	s := apptest.Start(t, apptest.Options{Edit: func(c *mapping.Config) { c.Limits.Memory = 1 << 20 }})
	s.Exec(seed)
	a, b := s.Connect(s.Owner(companyA)), s.Connect(s.Owner(companyB))
	small := a.Open(1, `{"table":"staff","columns":["name"]}`)
	large := a.Open(2, `{"table":"clients","columns":["name"]}`)
	other := b.Open(1, `{"table":"clients","columns":["name"]}`)
	for large.Err == nil {
		s.Exec(`INSERT INTO clients (company_id, name) SELECT '` + companyA + `', repeat('x', 900) FROM generate_series(1, 200) n`)
		s.Wait(a)
	}
	if large.Err.Code != "resource-exhausted" {
		t.Errorf("got %s", large.Err)
	}
	s.Exec(`UPDATE staff SET name = 'Still here'; UPDATE clients SET name = 'Still here' WHERE company_id = '` + companyB + `'`)
	s.Wait(a)
	s.Wait(b)
	for _, q := range []*apptest.Query{small, other} {
		if q.Err != nil {
			t.Errorf("ended: %s", q.Err)
		}
		for _, r := range q.Rows {
			if r["name"] != "Still here" {
				t.Errorf("row %v", r)
			}
		}
	}
}

// A window holds what it shows and some rows beyond, however many come behind those.
func TestMemoryOfWindow(t *testing.T) {
	s := apptest.Start(t, apptest.Options{Edit: func(c *mapping.Config) { c.Limits.Memory = 1 << 20 }})
	s.Exec(seed)
	a := s.Connect(s.Owner(companyA))
	q := a.Open(1, `{"table":"clients","columns":["name"],"orderBy":["name"],"limit":2}`)
	for range 20 {
		s.Exec(`INSERT INTO clients (company_id, name) SELECT '` + companyA + `', 'zz' || repeat('x', 900) || n FROM generate_series(1, 200) n`)
		s.Wait(a)
	}
	if q.Err != nil {
		t.Fatalf("ended: %s", q.Err)
	}
	for n := 2; ; n++ { // once the log has been cut
		other := a.Subscribe(n, `{"table":"staff"}`)
		for !other.Loaded && other.Err == nil {
			a.Read()
		}
		if other.Err == nil {
			break
		}
		s.Exec(`UPDATE staff SET name = name || '.'`)
		s.Wait(a)
		if n == 1000 {
			t.Fatalf("no room again: %s", other.Err)
		}
	}
	if q.Err != nil {
		t.Errorf("ended: %s", q.Err)
	}
}

// Who holds more than its share leaves the others room.
func TestMemoryOfOthers(t *testing.T) {
	s := apptest.Start(t, apptest.Options{Edit: func(c *mapping.Config) { c.Limits.Memory = 2 << 20 }})
	s.Exec(seed)
	s.Exec(`INSERT INTO clients (company_id, name) SELECT '` + companyA + `', 'client ' || n || repeat('x', 900) FROM generate_series(1, 100) n`)
	a, b := s.Connect(s.Owner(companyA)), s.Connect(s.Owner(companyB))
	for n := 1; ; n++ { // the same rows, each time encoded otherwise
		columns := `"name"`
		for bit, column := range []string{"email", "phone", "status", "tags", "user_id", "preferences"} {
			if n>>bit&1 != 0 {
				columns += `,"` + column + `"`
			}
		}
		q := a.Subscribe(n, `{"table":"clients","columns":[`+columns+`]}`)
		for !q.Loaded && q.Err == nil {
			a.Read()
		}
		if q.Err != nil {
			break
		}
		if n == 60 {
			t.Fatal("nothing is refused")
		}
	}
	b.Open(1, `{"table":"clients","columns":["name"]}`)
}

// Others write more than the log holds: who had nothing to be told of meanwhile goes on
// where it was all the same.
func TestIdleClientsGoOn(t *testing.T) {
	s := apptest.Start(t, apptest.Options{Edit: func(c *mapping.Config) { c.Retention.Memory = 1 << 20 }})
	s.Exec(seed)
	idle, busy := s.Connect(s.Owner(companyA)), s.Connect(s.Owner(companyB))
	q := idle.Open(1, `{"table":"staff"}`)
	idle.Listen(2, `{"names":["*"]}`)
	s.Wait(idle)
	for range 100 {
		s.Exec(`INSERT INTO clients (company_id, name) VALUES ($1, repeat('x', 40000))`, companyB)
	}
	s.Wait(busy)
	eventually(t, "the log to be kept within its bounds", func() bool { return s.Hub().Unseen() == 0 })
	s.Wait(idle)
	idle.Close()
	back := s.Connect(s.Owner(companyA))
	back.Resume(1, `{"table":"staff"}`, q, idle.Cursor)
	feed := back.ListenFrom(2, `{"names":["*"]}`, idle.Cursor)
	s.Wait(back)
	if q.Resumes != 1 || q.Resets != 0 || len(feed.Events) != 0 {
		t.Errorf("%d resumes, %d resets, told %v", q.Resumes, q.Resets, feed.Events)
	}
}

// What clients have missed counts while it is held: once for all who were away alike, and
// not at all once they are gone.
func TestMemoryOfMissed(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	s.Exec(seed)
	const query = `{"table":"clients","columns":["name"]}`
	var away []*apptest.Client
	var shown []*apptest.Query
	for range 5 {
		c := s.Connect(s.Owner(companyA))
		shown, away = append(shown, c.Open(1, query)), append(away, c)
		s.Wait(c)
	}
	for _, c := range away {
		c.Close()
	}
	s.Stop()
	s.Exec(`INSERT INTO clients (company_id, name) SELECT '` + companyA + `', repeat('x', 900) FROM generate_series(1, 1000)`)
	s.Run()
	chains := func() float64 { return metric(t, s, "chain_bytes") }
	for i, q := range shown {
		c := s.Connect(s.Owner(companyA))
		c.Resume(1, query, q, away[i].Cursor)
		s.Wait(c)
		if q.Resumes != 1 || len(q.Rows) < 1000 {
			t.Errorf("%d rows after %d resumes", len(q.Rows), q.Resumes)
		}
		away[i] = c
	}
	eventually(t, "what was missed to be counted", func() bool { return chains() > 0 })
	if n := chains(); n < 900_000 || n > 1_800_000 {
		t.Errorf("%.0f octets for 1000 rows of 900, held for all alike", n)
	}
	for _, c := range away {
		c.Close()
	}
	eventually(t, "nothing to be held for nobody", func() bool { return chains() == 0 })
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func metric(t *testing.T, s *apptest.Server, name string) (n float64) {
	t.Helper()
	_, metrics := callText(t, "GET", s.App.AdminURL()+"/metrics", "", "")
	_, text, _ := strings.Cut(string(metrics), "\nwalwire_"+name+" ")
	if _, err := fmt.Sscan(text, &n); err != nil {
		t.Fatal(err)
	}
	return n
}
