package stream_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/walwire/walwire/internal/app"
	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/internal/wire"
)

func ways() []string { return []string{wire.WebSocket, wire.SSE, wire.Poll} }

// Every way carries the same: rows, commits in order, answers, and where to go on from.
func TestTransports(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	s.Exec(seed)
	insert(s, 1, companyA, ann, cat, "confirmed")
	for _, way := range ways() {
		t.Run(way, func(t *testing.T) {
			c := s.ConnectBy(way, s.Owner(companyA))
			q := c.Open(1, `{"table":"appointments","columns":["notes"]}`)
			for n := range 20 {
				s.Exec(`UPDATE appointments SET notes = $1`, fmt.Sprint(way, n))
				s.Wait(c)
				if got := q.Rows[appointmentKey(1)]["notes"]; got != fmt.Sprint(way, n) {
					t.Fatalf("after update %d: %v", n, got)
				}
			}
			c.Send(`{"type":"subscribe","id":2,"query":{"table":"nope"}}`)
			if f := c.Read(); f.Code != "permission-denied" || f.ID != 2 {
				t.Errorf("got %s", f)
			}
			c.Send(`{"type":"ping","id":7}`)
			if f := c.Read(); f.Type != "pong" || f.ID != 7 {
				t.Errorf("got %s", f)
			}
			cursor := c.Cursor
			c.Close()
			s.Exec(`UPDATE appointments SET notes = 'while away'`)
			again := s.ConnectBy(way, s.Owner(companyA))
			again.Resume(1, `{"table":"appointments","columns":["notes"]}`, q, cursor)
			s.Wait(again)
			if q.Resumes != 1 || q.Rows[appointmentKey(1)]["notes"] != "while away" {
				t.Errorf("resumed %d times, with %v", q.Resumes, q.Rows)
			}
			again.Send(`{"type":"unsubscribe","id":1}`)
			if f := again.Read(); f.Type != "unsubscribed" {
				t.Errorf("got %s", f)
			}
		})
	}
}

func appointmentKey(n int) string { return fmt.Sprintf("[%q]", appointment(n)) }

// When access ends, each way says so in its last frame.
func TestTransportsClose(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	s.Exec(seed)
	for _, way := range ways() {
		t.Run(way, func(t *testing.T) {
			c := s.ConnectBy(way, staffToken(s, "ann", "staff"))
			c.Open(1, `{"table":"appointments"}`)
			s.Exec(`UPDATE staff SET active = false WHERE user_id = 'ann'`)
			code, frames := c.ReadClose()
			if code != 4502 || len(frames) != 1 || frames[0].Code != "permission-denied" {
				t.Errorf("closed with %d after %v", code, frames)
			}
			s.Exec(`UPDATE staff SET active = true WHERE user_id = 'ann'`)
		})
	}
}

// A snapshot larger than a frame comes in parts by every way, also to a client that
// takes its time.
func TestTransportsLarge(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	s.Exec(seed)
	s.Exec(`INSERT INTO clients (company_id, name) SELECT '` + companyA + `', repeat('x', 1000) FROM generate_series(1, 2000) n`)
	for _, way := range ways() {
		t.Run(way, func(t *testing.T) {
			c := s.ConnectBy(way, s.Owner(companyA))
			q := c.Open(1, `{"table":"clients"}`)
			if len(q.Rows) != 2002 {
				t.Errorf("%d rows", len(q.Rows))
			}
			s.Exec(`UPDATE clients SET name = repeat('y', 1000)`)
			s.Wait(c)
			for _, r := range q.Rows {
				if r["name"] != strings.Repeat("y", 1000) {
					t.Fatalf("a row is %v", r)
				}
			}
		})
	}
}

func post(t *testing.T, url, token, body string) (int, map[string]any) {
	t.Helper()
	return call(t, "POST", url, token, body)
}

// A poll whose answer was lost is answered the same again; one that does not follow
// ends the connection.
func TestPollAgain(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	s.Exec(seed)
	poll := func(body string) (int, string) {
		t.Helper()
		status, text := callText(t, "POST", s.URL()+"/v1/poll", s.Owner(companyA), body)
		return status, string(text)
	}
	_, first := poll(`{}`)
	var welcome struct{ Frames []struct{ Key string } }
	if err := json.Unmarshal([]byte(first), &welcome); err != nil || len(welcome.Frames) != 1 || welcome.Frames[0].Key == "" {
		t.Fatalf("got %s", first)
	}
	key := welcome.Frames[0].Key
	at := func(n int) string { return fmt.Sprintf(`{"key":%q,"poll":%d,"wait_ms":20000}`, key, n) }
	if _, again := poll(at(1)); again != first {
		t.Errorf("poll 1 again: %s, it was %s", again, first)
	}
	if status, answer := post(t, s.URL()+"/v1/send", "", fmt.Sprintf(`{"key":%q,"frames":[{"type":"subscribe","id":1,"query":{"table":"staff"}}]}`, key)); status != 200 {
		t.Fatalf("send: HTTP %d %v", status, answer)
	}
	_, second := poll(at(2))
	if _, again := poll(at(2)); again != second || !strings.Contains(second, "Ann") {
		t.Errorf("poll 2 again: %s, it was %s", again, second)
	}
	begun := time.Now()
	if _, empty := poll(fmt.Sprintf(`{"key":%q,"poll":3,"wait_ms":300}`, key)); empty != "{\"frames\":[]}\n" || time.Since(begun) < 300*time.Millisecond {
		t.Errorf("a poll for which there is nothing: %q after %s", empty, time.Since(begun))
	}
	// A poll that waits gives way to one that comes instead.
	given := make(chan string, 1)
	ctx, giveUp := context.WithCancel(t.Context())
	go func() {
		request, _ := http.NewRequestWithContext(ctx, "POST", s.URL()+"/v1/poll", strings.NewReader(at(4)))
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			given <- err.Error()
			return
		}
		text, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		given <- string(text)
	}()
	s.Exec(`UPDATE staff SET name = 'Anne' WHERE user_id = 'ann'`)
	status, third := poll(at(4))
	if status == 409 { // the other one came after it
		_, third = poll(at(4))
	}
	giveUp()
	<-given
	if !strings.Contains(third, "Anne") {
		t.Errorf("poll 4: %s", third)
	}
	if status, text := poll(at(9)); status != 409 {
		t.Errorf("poll 9: HTTP %d %s", status, text)
	}
	// Who is late for the farewell finds nothing.
	if status, text := poll(at(5)); !strings.Contains(text, `"code":4005`) && status != 404 {
		t.Errorf("after a poll that does not follow: HTTP %d %s", status, text)
	}
}

// Nobody polls any more: the session ends, and its key with it.
func TestPollGone(t *testing.T) {
	s := apptest.Start(t, apptest.Options{Tuning: app.Tuning{PingInterval: 200 * time.Millisecond}})
	s.Exec(seed)
	_, answer := callText(t, "POST", s.URL()+"/v1/poll", s.Owner(companyA), `{}`)
	text := string(answer)
	key := text[strings.Index(text, `"key":"`)+7:]
	key = key[:strings.IndexByte(key, '"')]
	deadline := time.Now().Add(10 * time.Second)
	for {
		if status, _ := post(t, s.URL()+"/v1/send", "", fmt.Sprintf(`{"key":%q,"frames":[]}`, key)); status == 404 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the session goes on")
		}
	}
}

// A ticket is good once, in a URL where no header can be sent.
func TestTickets(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	s.Exec(seed)
	ticket := func() string {
		t.Helper()
		status, answer := post(t, s.URL()+"/v1/tickets", s.Owner(companyA), "")
		if status != 200 || answer["ticket"] == nil || answer["expires"] == nil {
			t.Fatalf("HTTP %d %v", status, answer)
		}
		return answer["ticket"].(string)
	}
	for _, path := range []string{"/v1/sse", "/v1/stream"} {
		t.Run(path, func(t *testing.T) {
			address := path + "?ticket=" + ticket()
			for n, want := range []int{200, 401} {
				if path == "/v1/stream" {
					c, err := apptest.TryDial(t, strings.TrimSuffix(s.WS(), "/v1/stream")+address, nil)
					if err != nil {
						t.Fatal(err)
					}
					if f := c.Read(); (f.Type == "welcome") != (n == 0) {
						t.Errorf("use %d: %s", n, f)
					}
					continue
				}
				answer, err := http.Get(s.URL() + address)
				if err != nil {
					t.Fatal(err)
				}
				_ = answer.Body.Close()
				if answer.StatusCode != want {
					t.Errorf("use %d: HTTP %d", n, answer.StatusCode)
				}
			}
		})
	}
	if status, _ := post(t, s.URL()+"/v1/tickets?token="+s.Owner(companyA), "", ""); status != 400 {
		t.Errorf("a token in the URL: HTTP %d", status)
	}
}

// POST /v1/query reads once, under the same rules.
func TestQueryOnce(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	s.Exec(seed)
	insert(s, 1, companyA, ann, cat, "confirmed")
	insert(s, 2, companyA, abe, cat, "pending")
	insert(s, 3, companyB, "", dan, "confirmed")
	for name, tt := range map[string]struct {
		token, query string
		status, rows int
	}{
		"owner":       {s.Owner(companyA), `{"table":"appointments"}`, 200, 2},
		"filter":      {s.Owner(companyA), `{"table":"appointments","where":[["status","==","pending"]]}`, 200, 1},
		"window":      {s.Owner(companyA), `{"table":"appointments","orderBy":["starts_at"],"limit":1}`, 200, 1},
		"none":        {s.Owner(companyA), `{"table":"appointments","where":[["status","==","completed"]]}`, 200, 0},
		"staff":       {staffToken(s, "ann", "staff"), `{"table":"appointments"}`, 200, 1},
		"closed":      {staffToken(s, "ann", "staff"), `{"table":"appointments","columns":["price"]}`, 403, 0},
		"no token":    {"", `{"table":"appointments"}`, 401, 0},
		"no query":    {s.Owner(companyA), `null`, 400, 0},
		"wrong query": {s.Owner(companyA), `{"table":"appointments","wear":[]}`, 400, 0},
	} {
		t.Run(name, func(t *testing.T) {
			status, answer := post(t, s.URL()+"/v1/query", tt.token, `{"query":`+tt.query+`}`)
			if status != tt.status {
				t.Fatalf("HTTP %d %v", status, answer)
			}
			if status != 200 {
				return
			}
			if rows := answer["rows"].([]any); len(rows) != tt.rows || answer["position"] == nil || answer["key"] == nil || answer["columns"] == nil {
				t.Errorf("got %v", answer)
			}
			if _, ordered := answer["order"]; ordered != (name == "window") {
				t.Errorf("order: %v", answer["order"])
			}
		})
	}
	s.Exec(`UPDATE appointments SET notes = 'now'`)
	lsn := s.LSN()
	post(t, s.URL()+"/v1/wait", s.Owner(companyA), fmt.Sprintf(`{"lsn":%q}`, lsn))
	_, answer := post(t, s.URL()+"/v1/query", s.Owner(companyA), `{"query":{"table":"appointments","columns":["notes"]}}`)
	for _, r := range answer["rows"].([]any) {
		if r.(map[string]any)["notes"] != "now" {
			t.Errorf("got %v", r)
		}
	}
}

// All ways lead through a reverse proxy on the application's own port.
func TestReverseProxy(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	s.Exec(seed)
	target, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/realtime/", http.StripPrefix("/realtime", httputil.NewSingleHostReverseProxy(target)))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "the application") })
	web := httptest.NewServer(mux)
	defer web.Close()
	for _, way := range ways() {
		t.Run(way, func(t *testing.T) {
			c := s.ConnectAt(web.URL+"/realtime", way, s.Owner(companyA))
			defer c.Close()
			q := c.Open(1, `{"table":"staff","columns":["name"]}`)
			s.Exec(`UPDATE staff SET name = $1 WHERE user_id = 'ann'`, way)
			s.Wait(c)
			if got := q.Rows[fmt.Sprintf("[%q]", ann)]["name"]; got != way {
				t.Errorf("got %v", got)
			}
		})
	}
}
