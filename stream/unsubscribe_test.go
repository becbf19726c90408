package stream_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/internal/pgtest"
)

// Up to the answer "unsubscribed" every data frame tells all of the query that is
// ended: a client may keep its rows, and come back with the cursor.
func TestUnsubscribeWhileWriting(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	s.Exec(seed)
	insert(s, 1, companyA, ann, cat, "confirmed")
	c := s.Connect(s.Owner(companyA))
	stays := c.Open(1, confirmed)

	writing, stop := context.WithCancel(t.Context())
	written := make(chan error, 1)
	writer := pgtest.MustConnect(t, s.AdminURL)
	go func() {
		for i := 0; ; i++ {
			if _, err := writer.Exec(writing, `UPDATE appointments SET notes = $1`, fmt.Sprint(i)); err != nil {
				written <- err
				return
			}
		}
	}()
	notes := func(q *apptest.Query) (note any) {
		for _, r := range q.Rows {
			note = r["notes"]
		}
		return note
	}
	for id := 2; id < 600; id++ {
		ends := c.Open(id, fmt.Sprintf(`{"table":"appointments","where":[["status","==","confirmed"],["notes","!=","-%d"]]}`, id))
		c.Send(`{"type":"unsubscribe","id":%d}`, id)
		for {
			f := c.Read()
			if f.Type == "unsubscribed" {
				c.Forget(id)
				break
			}
			if a, b := notes(stays), notes(ends); a != b {
				t.Fatalf("at %s, before query %d has ended, it shows %v and another %v: %s", f.Position, id, b, a, f.Raw)
			}
		}
	}
	stop()
	if err := <-written; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
