package stream_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/walwire/walwire/internal/apptest"
)

// honest is a client that does everything right while others on its server
// don't. It must get every change, and be exact at the end.
type honest struct {
	server *apptest.Server
	client *apptest.Client
	query  *apptest.Query
	n      int
}

// startHonest makes the companies of seed and connects. It shows company B; the
// others of a test are of company A.
func startHonest(s *apptest.Server) *honest {
	s.TB.Helper()
	s.Exec(seed)
	insert(s, 900, companyB, "", dan, "confirmed")
	h := &honest{server: s, client: s.Connect(s.Owner(companyB))}
	h.query = h.client.Open(1, confirmed)
	return h
}

// step makes a change and reads it: alone in its frame, as it was made.
func (h *honest) step(t *testing.T) {
	t.Helper()
	h.n++
	note := fmt.Sprint("step ", h.n)
	h.server.Exec(`UPDATE appointments SET notes = $2 WHERE id = $1`, appointment(900), note)
	if u := mustFrame(t, h.client.Read(), 0, 1, 0); u.Modified[0]["notes"] != note {
		t.Fatalf("after change %d the honest client is told %v", h.n, u.Modified[0])
	}
}

// mustBeExact compares with SELECT at the end.
func (h *honest) mustBeExact(t *testing.T) {
	t.Helper()
	h.server.Wait(h.client)
	mustEqualSelect(t, h.server, h.query, `SELECT * FROM appointments WHERE status = 'confirmed' AND company_id = '`+companyB+`'`)
}

// mustRefuse reads the answer to a frame: an error with this code, of this
// subscription or wait, whose message says each of the words.
func mustRefuse(t *testing.T, c *apptest.Client, id int, code string, words ...string) {
	t.Helper()
	f := c.Read()
	if f.Type != "error" || f.ID+f.Wait != id || f.Code != code {
		t.Fatalf("want error %s for %d, got %.2000s", code, id, f.Raw)
	}
	if f.Message == "" || strings.Contains(f.Message, "json:") || strings.Contains(f.Message, "Go ") || strings.Contains(f.Message, "SQLSTATE") {
		t.Errorf("message is not one for a client: %q", f.Message)
	}
	for _, word := range words {
		if !strings.Contains(f.Message, word) {
			t.Errorf("message %q does not say %q", f.Message, word)
		}
	}
}

// mustShow compares the rows that a query shows by id with what SQL gives as
// (id, json of the row's shown columns).
func mustShow(t *testing.T, s *apptest.Server, q *apptest.Query, sql string, args ...any) {
	t.Helper()
	rows, err := s.DB.Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	defer rows.Close()
	want := make(map[string]string)
	for rows.Next() {
		var id, value string
		if err := rows.Scan(&id, &value); err != nil {
			t.Fatal(err)
		}
		want[id] = value
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, r := range q.Rows {
		key := make([]string, len(q.Key))
		for i, k := range q.Key {
			key[i] = fmt.Sprint(r[k])
		}
		got[strings.Join(key, "|")] = fmt.Sprint(r["v"])
	}
	if !maps.Equal(got, want) {
		t.Fatalf("shown %.2000v\nSELECT gives %.2000v", got, want)
	}
}
