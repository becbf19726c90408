package stream_test

import (
	"fmt"
	"testing"

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
	query := func(n int) string {
		return fmt.Sprintf(`{"table":"clients","columns":["name"],"where":[["name","starts-with","client %d"]]}`, n)
	}
	open := make(map[int]*apptest.Query)
	refused := 0
	for n := 1; n <= 9; n++ { // about 1,100 rows of 1.2 KB each for a leading 1, and 2, then 111
		q := c.Subscribe(n, query(n))
		for !q.Loaded && q.Err == nil {
			c.Read()
		}
		if q.Err == nil {
			open[n] = q
			continue
		}
		refused++
		if q.Err.Code != "resource-exhausted" || q.Err.Message == "" {
			t.Errorf("query %d: %s", n, q.Err)
		}
	}
	t.Logf("%d queries open, %d refused", len(open), refused)
	if refused == 0 || len(open) == 0 {
		t.Fatalf("%d open, %d refused", len(open), refused)
	}
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
	for n := 100; ; n++ { // once the log has been cut, too
		q := c.Subscribe(n, query(3))
		for !q.Loaded && q.Err == nil {
			c.Read()
		}
		if q.Err == nil {
			break
		}
		s.Exec(`UPDATE staff SET name = name || '.'`)
		s.Wait(c)
		if n == 1000 {
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
