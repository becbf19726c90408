package stream_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/walwire/walwire/internal/apptest"
)

const confirmed = `{"table":"appointments","where":[["status","==","confirmed"]]}`

// seed makes two companies with a branch, a client and a staff member each.
const seed = `
INSERT INTO companies (id, name) VALUES ('00000000-0000-0000-0000-0000000000a1','A'), ('00000000-0000-0000-0000-0000000000b1','B');
INSERT INTO staff (id, company_id, user_id, name, role) VALUES
 ('00000000-0000-0000-0000-0000000000a2','00000000-0000-0000-0000-0000000000a1','ann','Ann','staff'),
 ('00000000-0000-0000-0000-0000000000a3','00000000-0000-0000-0000-0000000000a1','abe','Abe','staff'),
 ('00000000-0000-0000-0000-0000000000b2','00000000-0000-0000-0000-0000000000b1','bob','Bob','staff');
INSERT INTO clients (id, company_id, user_id, name) VALUES
 ('00000000-0000-0000-0000-0000000000a4','00000000-0000-0000-0000-0000000000a1','cat','Cat'),
 ('00000000-0000-0000-0000-0000000000a5','00000000-0000-0000-0000-0000000000a1','cid','Cid'),
 ('00000000-0000-0000-0000-0000000000b4','00000000-0000-0000-0000-0000000000b1','dan','Dan');
`

const (
	companyA = "00000000-0000-0000-0000-0000000000a1"
	companyB = "00000000-0000-0000-0000-0000000000b1"
	ann      = "00000000-0000-0000-0000-0000000000a2"
	abe      = "00000000-0000-0000-0000-0000000000a3"
	cat      = "00000000-0000-0000-0000-0000000000a4"
	cid      = "00000000-0000-0000-0000-0000000000a5"
	dan      = "00000000-0000-0000-0000-0000000000b4"
)

// appointment gives the id of the n-th appointment of a test.
func appointment(n int) string { return fmt.Sprintf("00000000-0000-0000-0001-%012d", n) }

func insert(s *apptest.Server, n int, company, staff, client, status string) {
	s.TB.Helper()
	s.Exec(`INSERT INTO appointments (id, company_id, staff_id, client_id, service_type, status, starts_at, ends_at, notes, internal_notes, price)
		VALUES ($1, $2, nullif($3, '')::uuid, nullif($4, '')::uuid, 'cut', $5, '2026-03-01 09:00Z', '2026-03-01 10:00Z', 'n', 'secret', 12.50)`,
		appointment(n), company, staff, client, status)
}

func mustFrame(t *testing.T, f *apptest.Frame, added, modified, removed int) apptest.Update {
	t.Helper()
	if f.Type != "data" || len(f.Subscriptions) != 1 {
		t.Fatalf("want a data frame with one subscription, got %s", f.Raw)
	}
	u := f.Subscriptions[0]
	if len(u.Added) != added || len(u.Modified) != modified || len(u.Removed) != removed {
		t.Fatalf("want %d added, %d modified, %d removed: %.1000s", added, modified, removed, f.Raw)
	}
	return u
}

func TestLiveQuery(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	s.Exec(seed)
	insert(s, 1, companyA, ann, cat, "confirmed")
	insert(s, 2, companyA, abe, cid, "pending")
	insert(s, 3, companyB, "", dan, "confirmed")
	a, b := s.Connect(s.Owner(companyA)), s.Connect(s.Owner(companyB))
	qa, qb := a.Open(1, confirmed), b.Open(1, confirmed)
	if len(qa.Rows) != 1 || len(qb.Rows) != 1 {
		t.Fatalf("snapshots hold %d and %d rows, want 1 and 1", len(qa.Rows), len(qb.Rows))
	}

	insert(s, 4, companyA, ann, cat, "confirmed")
	mustFrame(t, a.Read(), 1, 0, 0)
	s.Exec(`UPDATE appointments SET status = 'confirmed' WHERE id = $1`, appointment(2))
	mustFrame(t, a.Read(), 1, 0, 0)
	s.Exec(`UPDATE appointments SET notes = 'changed' WHERE id = $1`, appointment(2))
	u := mustFrame(t, a.Read(), 0, 1, 0)
	if u.Modified[0]["notes"] != "changed" || u.Modified[0]["price"] != "12.50" || u.Modified[0]["starts_at"] != "2026-03-01T09:00:00.000000Z" {
		t.Fatalf("modified row is %v", u.Modified[0])
	}
	s.Exec(`UPDATE appointments SET status = 'cancelled' WHERE id = $1`, appointment(2))
	u = mustFrame(t, a.Read(), 0, 0, 1)
	if len(u.Removed[0]) != 1 || u.Removed[0]["id"] != appointment(2) {
		t.Fatalf("a removal carries its key and nothing else, got %v", u.Removed[0])
	}
	s.Exec(`DELETE FROM appointments WHERE id = $1`, appointment(4))
	mustFrame(t, a.Read(), 0, 0, 1)

	s.Exec(`UPDATE appointments SET company_id = $2, client_id = $3, staff_id = NULL WHERE id = $1`, appointment(1), companyB, dan)
	mustFrame(t, a.Read(), 0, 0, 1)
	mustFrame(t, b.Read(), 1, 0, 0)
	if len(qa.Rows) != 0 || len(qb.Rows) != 2 {
		t.Fatalf("after the move %d and %d rows, want 0 and 2", len(qa.Rows), len(qb.Rows))
	}

	s.Exec(`INSERT INTO appointments (company_id, client_id, service_type, status, starts_at, ends_at)
		SELECT $1, $2, 'cut', 'pending', now(), now() + interval '1 h' FROM generate_series(1, 500)`, companyA, cat)
	s.Exec(`UPDATE appointments SET status = 'confirmed' WHERE company_id = $1 AND status = 'pending'`, companyA)
	mustFrame(t, a.Read(), 500, 0, 0)
	s.Exec(`UPDATE appointments SET notes = 'x' WHERE company_id = $1 AND status = 'confirmed'`, companyA)
	mustFrame(t, a.Read(), 0, 500, 0)
	s.Exec(`TRUNCATE appointments`)
	mustFrame(t, a.Read(), 0, 0, 500)
	mustFrame(t, b.Read(), 0, 0, 2)
}

// One statement that deletes and inserts the same key, and a key that changes
// hands, are what they come to at the commit.
func TestNetting(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	s.Exec(seed)
	insert(s, 1, companyA, ann, cat, "confirmed")
	insert(s, 2, companyA, ann, cat, "confirmed")
	c := s.Connect(s.Owner(companyA))
	q := c.Open(1, confirmed)
	s.Exec(fmt.Sprintf(`BEGIN;
		UPDATE appointments SET id = '%s' WHERE id = '%s';
		UPDATE appointments SET id = '%s', notes = 'was two' WHERE id = '%s';
		COMMIT`, appointment(3), appointment(1), appointment(1), appointment(2)))
	u := mustFrame(t, c.Read(), 1, 1, 1)
	if u.Removed[0]["id"] != appointment(2) || u.Modified[0]["notes"] != "was two" {
		t.Fatalf("frame %v", u)
	}
	s.Exec(fmt.Sprintf(`BEGIN; TRUNCATE appointments; INSERT INTO appointments (id, company_id, client_id, service_type, status, starts_at, ends_at)
		VALUES ('%s', '%s', '%s', 'cut', 'confirmed', now(), now() + interval '1 h'); COMMIT`, appointment(1), companyA, cat))
	mustFrame(t, c.Read(), 0, 1, 1)
	if len(q.Rows) != 1 {
		t.Fatalf("%d rows, want 1", len(q.Rows))
	}
}

func TestMasking(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	s.Exec(seed)
	insert(s, 1, companyA, ann, cat, "confirmed")
	insert(s, 2, companyA, abe, cid, "confirmed")
	staff := s.Connect(s.Token(apptest.Claims{"sub": "ann", "company_id": companyA, "roles": []string{"staff"}}))
	client := s.Connect(s.Token(apptest.Claims{"sub": "cid", "company_id": companyA, "roles": []string{"client"}}))
	all := `{"table":"appointments"}`
	for name, tc := range map[string]struct {
		client *apptest.Client
		id     string
	}{"staff": {staff, appointment(1)}, "client": {client, appointment(2)}} {
		q := tc.client.Open(1, all)
		if len(q.Rows) != 1 {
			t.Fatalf("%s sees %d rows, want their own", name, len(q.Rows))
		}
		for _, r := range q.Rows {
			if _, leaked := r["internal_notes"]; leaked || r["id"] != tc.id {
				t.Fatalf("%s sees %v", name, r)
			}
		}
	}
	t.Run("an update of hidden columns sends nothing", func(t *testing.T) {
		s.Exec(`UPDATE appointments SET internal_notes = 'other'`)
		s.Exec(`UPDATE appointments SET notes = 'seen'`)
		for _, c := range []*apptest.Client{staff, client} {
			if u := mustFrame(t, c.Read(), 0, 1, 0); u.Modified[0]["notes"] != "seen" {
				t.Fatalf("frame %v", u)
			}
		}
	})
	t.Run("a row moved out of the rule is removed", func(t *testing.T) {
		s.Exec(`UPDATE appointments SET staff_id = $1 WHERE id = $2`, abe, appointment(1))
		mustFrame(t, staff.Read(), 0, 0, 1)
		s.Wait(client)
	})
	t.Run("refusals", func(t *testing.T) {
		for i, q := range []string{
			`{"table":"companies"}`,
			`{"table":"no_such_table"}`,
			`{"table":"appointments","columns":["internal_notes"]}`,
			`{"table":"appointments","where":[["internal_notes","==","x"]]}`,
			`{"table":"appointments","where":[{"not":["internal_notes","is-null",true]}]}`,
			`{"table":"appointments","where":[["no_such_column","==",1]]}`,
		} {
			client.Subscribe(10+i, q)
			if f := client.Read(); f.Type != "error" || f.ID != 10+i || f.Code != "permission-denied" {
				t.Errorf("%s: got %s", q, f.Raw)
			}
		}
	})
}

func TestWait(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	s.Exec(seed)
	c := s.Connect(s.Owner(companyA))
	q := c.Open(1, `{"table":"appointments"}`)
	for n := range 50 {
		s.Exec(`SET synchronous_commit = ` + []string{"on", "off"}[n%2])
		insert(s, n, companyA, ann, cat, "confirmed")
		s.Wait(c)
		if len(q.Rows) != n+1 {
			t.Fatalf("after the wait %d rows are shown, want %d", len(q.Rows), n+1)
		}
	}
	t.Run("ErrTimeout", func(t *testing.T) {
		c.Send(`{"type":"wait","id":7,"lsn":"FFFFFFFF/0","timeout_ms":50}`)
		if f := c.Read(); f.Code != "deadline-exceeded" || f.Wait != 7 {
			t.Fatalf("got %s", f.Raw)
		}
	})
	t.Run("ErrArguments", func(t *testing.T) {
		for _, frame := range []string{`{"type":"wait","id":1}`, `{"type":"wait","id":1,"lsn":"x"}`, `{"type":"wait","id":1,"lsn":"0/1","timeout_ms":0}`, `{"type":"wait","id":1,"lsn":"0/1","timeout_ms":99999999}`} {
			c.Send("%s", frame)
			if f := c.Read(); f.Code != "invalid-argument" {
				t.Errorf("%s: got %s", frame, f.Raw)
			}
		}
	})
}

// A wait covers the queries that were asked for before it, also while their rows
// are still being read.
func TestWaitCoversLoading(t *testing.T) {
	s := startItems(t)
	c := s.Connect(s.Owner("1"))
	tx, err := s.DB.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `LOCK TABLE items IN ACCESS EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	q := c.Subscribe(1, `{"table":"items"}`)
	c.Send(`{"type":"wait","id":1,"lsn":"0/1","timeout_ms":20000}`)
	c.Send(`{"type":"ping"}`)
	if f := c.Read(); f.Type != "pong" {
		t.Fatalf("got %s while the table is locked", f.Raw)
	}
	other := s.Connect(s.Owner("1")) // its frames show that time passes
	other.Send(`{"type":"wait","id":1,"lsn":"0/1"}`)
	if f := other.Read(); f.Type != "waited" {
		t.Fatalf("got %s", f.Raw)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	for f := c.Read(); f.Type != "waited"; f = c.Read() {
	}
	if !q.Loaded {
		t.Fatal("the wait was answered before the query's rows had come")
	}
}

// A removal, an update and a snapshot keep a client's state equal to the rows.
func mustEqualSelect(t *testing.T, s *apptest.Server, q *apptest.Query, sql string) {
	t.Helper()
	var text string
	s.Scan(&text, `SELECT coalesce(json_object_agg(id, notes), '{}')::text FROM (`+sql+`) r`)
	want := make(map[string]*string)
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		t.Fatal(err)
	}
	if len(want) != len(q.Rows) {
		t.Fatalf("%d rows shown, SELECT gives %d", len(q.Rows), len(want))
	}
	for _, r := range q.Rows {
		w, ok := want[fmt.Sprint(r["id"])]
		if !ok || w == nil && r["notes"] != nil || w != nil && r["notes"] != *w {
			t.Fatalf("row %v is shown, SELECT gives %v", r, w)
		}
	}
}
