package stream_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/internal/pgtest"
)

// A table that somebody holds locked, and a client that opens query after query of
// it, keep nobody else from connecting and opening queries.
func TestLockedTable(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	s.Exec(seed)
	insert(s, 1, companyB, "", dan, "confirmed")
	locker := pgtest.MustConnect(t, s.AdminURL)
	pgtest.MustExec(t, locker, `BEGIN; LOCK TABLE notifications IN ACCESS EXCLUSIVE MODE`)
	crowd := s.Connect(s.Owner(companyA))
	var queries []*apptest.Query
	for i := range 12 { // more than there are connections, no more than one client may have read at once
		queries = append(queries, crowd.Subscribe(i+1, fmt.Sprintf(`{"table":"notifications","where":[["title","!=","%d"]]}`, i)))
	}
	for range 3 {
		other := s.Connect(s.Owner(companyB))
		if q := other.Open(1, `{"table":"appointments"}`); len(q.Rows) != 1 {
			t.Fatalf("%d rows, want 1", len(q.Rows))
		}
		other.Close()
	}
	for i, q := range queries {
		if q.Loaded {
			t.Errorf("query %d of the locked table was read", i+1)
		}
	}
	pgtest.MustExec(t, locker, `COMMIT`)
	for _, q := range queries {
		for !q.Loaded {
			crowd.Read()
		}
	}
}

// A client that opens queries of a locked table and ends them at once, as fast as
// it can, has a bounded number of them under way, and ends with what it kept.
func TestSubscribeFlood(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	s.Exec(seed)
	insert(s, 1, companyA, ann, cat, "confirmed")
	flood := s.Connect(s.Owner(companyA))
	const pairs = 1000
	for i := range pairs {
		flood.Replica.Open(i + 1) // some are read before they are ended
	}
	locker := pgtest.MustConnect(t, s.AdminURL)
	pgtest.MustExec(t, locker, `BEGIN; LOCK TABLE notifications IN ACCESS EXCLUSIVE MODE`)
	before, most := runtime.NumGoroutine(), 0
	sent := make(chan error, 1)
	go func() { sent <- floodWith(flood, pairs) }()
	for range 10 {
		other := s.Connect(s.Owner(companyB))
		other.Open(1, `{"table":"appointments"}`)
		most = max(most, runtime.NumGoroutine())
		other.Close()
	}
	if most > before+200 { // 16 snapshots, connections of which some are still ending, and what they start; unbounded, nearly one a pair
		t.Errorf("%d goroutines where there were %d before the flood", most, before)
	}
	pgtest.MustExec(t, locker, `COMMIT`)
	if err := <-sent; err != nil {
		t.Fatalf("send: %v", err)
	}
	q := flood.Subscribe(pairs+1, `{"table":"appointments"}`)
	for !q.Loaded {
		flood.Read()
	}
	if len(q.Rows) != 1 {
		t.Errorf("%d rows, want 1", len(q.Rows))
	}
}

func floodWith(c *apptest.Client, pairs int) error {
	for i := range pairs {
		subscribe := fmt.Sprintf(`{"type":"subscribe","id":%d,"query":{"table":"notifications","where":[["title","!=","%d"]]}}`, i+1, i)
		if err := c.TrySend([]byte(subscribe)); err != nil {
			return err
		}
		if err := c.TrySend(fmt.Appendf(nil, `{"type":"unsubscribe","id":%d}`, i+1)); err != nil {
			return err
		}
	}
	return nil
}
