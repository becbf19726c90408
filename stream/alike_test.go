package stream_test

import (
	"fmt"
	"testing"

	"github.com/walwire/walwire/internal/apptest"
)

// Many who show the same are told by one frame, made once; those under another id, and those
// with something else besides, are told by their own.
func TestToldAlike(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	s.Exec(seed)
	insert(s, 1, companyA, ann, cat, "confirmed")
	insert(s, 2, companyA, ann, cat, "pending")
	type reader struct {
		client  *apptest.Client
		queries []*apptest.Query
	}
	var readers []reader
	for i := range 30 {
		r := reader{client: s.Connect(s.Owner(companyA))}
		r.queries = append(r.queries, r.client.Open(1+i%2, confirmed))
		if i%5 == 0 {
			r.queries = append(r.queries, r.client.Open(7, `{"table":"appointments"}`))
		}
		readers = append(readers, r)
	}
	for n := range 20 {
		note := fmt.Sprint("commit ", n)
		s.Exec(`UPDATE appointments SET notes = $2 WHERE id = $1`, appointment(1), note)
		for i, r := range readers {
			f := r.client.Read() // the client faults at a frame of an id that it has not opened
			if len(f.Subscriptions) != len(r.queries) {
				t.Fatalf("commit %d: reader %d is told of %d queries, not %d: %s", n, i, len(f.Subscriptions), len(r.queries), f.Raw)
			}
			for _, u := range f.Subscriptions {
				if len(u.Modified) != 1 || u.Modified[0]["notes"] != note {
					t.Fatalf("commit %d: reader %d is told %s", n, i, f.Raw)
				}
			}
		}
	}
	for _, r := range readers {
		s.Wait(r.client)
		mustEqualSelect(t, s, r.queries[0], `SELECT * FROM appointments WHERE status = 'confirmed' AND company_id = '`+companyA+`'`)
	}
}
