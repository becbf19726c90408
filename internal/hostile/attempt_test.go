package hostile_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/walwire/walwire/internal/apptest"
)

// attack is one case. slow ones spend their time waiting, and do so beside each other.
type attack struct {
	name string
	slow bool
	run  func(a *attempt)
}

// attempt is a case that runs. It has to see something refused and something served.
type attempt struct {
	*testing.T
	*site
	address          string // of its clients, as the proxy before tight would say
	company          string // of its own, where others' counts would be in the way
	refusals, served atomic.Int32
}

func (c attack) try(t *testing.T, s *site) {
	if c.slow {
		t.Parallel()
	}
	n := s.attempts.Add(1)
	a := &attempt{T: t, site: s, address: fmt.Sprintf("203.0.%d.%d", n/250, n%250+1), company: fmt.Sprintf("00000000-0000-0000-0000-%012d", n)}
	yield()
	c.run(a)
	if !t.Failed() && (a.refusals.Load() == 0 || a.served.Load() == 0) {
		t.Errorf("a case needs both: %d refused, %d served", a.refusals.Load(), a.served.Load())
	}
}

// What no hostile client may be sent: it stands in rows of company B, and in columns
// that staff may not see.
const (
	markB      = "MARK-OF-B"
	markMasked = "MARK-OF-MASKED"
)

// clean fails where raw, which a client was sent, holds one of the marks.
func (a *attempt) clean(raw []byte, marks ...string) {
	a.Helper()
	for _, mark := range marks {
		if bytes.Contains(raw, []byte(mark)) {
			a.Errorf("a client was sent %s: %.2000s", mark, raw)
		}
	}
}

// guest is a token of a user of the case's own company.
func (a *attempt) guest(p *place, user string) string {
	a.Helper()
	return p.token(user, "owner", apptest.Claims{"company_id": a.company})
}

// large is a token of tight that sees more than a client can have without reading it.
func (a *attempt) large(user string) string {
	a.Helper()
	return a.tight.token(user, "owner", apptest.Claims{"company_id": companyL})
}

// client is a hostile client's connection, whose frames are held against marks.
type client struct {
	*apptest.Client
	a     *attempt
	marks []string
}

// connect lets a client in by a WebSocket.
func (a *attempt) connect(p *place, token string, marks ...string) *client {
	a.Helper()
	c := a.dial(p, marks...)
	c.Authenticate(token)
	return c
}

// dial is connect without a token.
func (a *attempt) dial(p *place, marks ...string) *client {
	a.Helper()
	c, err := apptest.TryDial(a.T, p.WS(), http.Header{"X-Forwarded-For": {a.address}})
	if err != nil {
		a.Fatalf("dial: %v", err)
	}
	return &client{Client: c, a: a, marks: append(marks, markB)}
}

// answer reads the next frame that says something.
func (c *client) answer() *apptest.Frame {
	c.a.Helper()
	for {
		f := c.Read()
		c.a.clean(f.Raw, c.marks...)
		if f.Type != "data" || len(f.Subscriptions) > 0 {
			return f
		}
	}
}

// refuse sends a frame and reads the error that it is answered with.
func (c *client) refuse(frame string, id int, code string, words ...string) *apptest.Frame {
	c.a.Helper()
	if err := c.TrySend([]byte(frame)); err != nil {
		c.a.Fatal(err)
	}
	return c.refused(id, code, words...)
}

// refused reads an error: of this subscription or wait, with words for a client.
func (c *client) refused(id int, code string, words ...string) *apptest.Frame {
	c.a.Helper()
	f := c.answer()
	if f.Type != "error" || f.ID+f.Wait != id || f.Code != code {
		c.a.Fatalf("want error %s for %d, got %.2000s", code, id, f.Raw)
	}
	c.a.worded(f.Message, words...)
	c.a.refusals.Add(1)
	return f
}

// worded checks that a message is one for a client, and says the words.
func (a *attempt) worded(message string, words ...string) {
	a.Helper()
	for _, inner := range []string{"json:", "Go ", "SQLSTATE", "runtime error", "stream."} {
		if strings.Contains(message, inner) {
			a.Errorf("not a message for a client: %q", message)
		}
	}
	if message == "" {
		a.Error("an error without a message")
	}
	for _, word := range words {
		if !strings.Contains(message, word) {
			a.Errorf("message %.500q does not say %q", message, word)
		}
	}
}

// open subscribes, checks how many rows are shown, and counts that as served.
func (c *client) open(id int, query string, rows int) *apptest.Query {
	c.a.Helper()
	q := c.Subscribe(id, query)
	for !q.Loaded {
		if f := c.answer(); f.Type == "error" {
			c.a.Fatalf("subscribe %.500s: %s", query, f.Raw)
		}
	}
	if len(q.Rows) != rows {
		c.a.Errorf("%.500s shows %d rows, want %d", query, len(q.Rows), rows)
	}
	c.a.served.Add(1)
	return q
}

// none is open of a query that names what is not the client's: an answer without
// rows is its refusal.
func (c *client) none(id int, query string) *apptest.Query {
	c.a.Helper()
	q := c.open(id, query, 0)
	c.a.served.Add(-1)
	c.a.refusals.Add(1)
	return q
}

// close ends a subscription, so that its id can be used again.
func (c *client) close(id int) {
	c.a.Helper()
	c.Send(`{"type":"unsubscribe","id":%d}`, id)
	for {
		if f := c.answer(); f.Type == "unsubscribed" && f.ID == id {
			c.Forget(id)
			return
		}
	}
}

// pong makes sure that the connection goes on.
func (c *client) pong(id int) {
	c.a.Helper()
	c.Send(`{"type":"ping","id":%d}`, id)
	if f := c.answer(); f.Type != "pong" || f.ID != id {
		c.a.Fatalf("want pong %d, got %.500s", id, f.Raw)
	}
	c.a.served.Add(1)
}

// waitMS is how long a client waits that is owed an answer: tight allows no more.
const waitMS = 15000

// sees waits until the connection has been told all up to lsn.
func (c *client) sees(lsn string) {
	c.a.Helper()
	c.Send(`{"type":"wait","id":9,"lsn":%q,"timeout_ms":%d}`, lsn, waitMS)
	for {
		switch f := c.answer(); {
		case f.Type == "waited" && f.ID == 9:
			return
		case f.Type == "error":
			c.a.Fatalf("wait: %s", f.Raw)
		}
	}
}

// hears is sees of a client that must be told nothing until then.
func (c *client) hears(nothing, lsn string) {
	c.a.Helper()
	c.Send(`{"type":"wait","id":9,"lsn":%q,"timeout_ms":%d}`, lsn, waitMS)
	if f := c.answer(); f.Type != "waited" {
		c.a.Fatalf("want %s, got %.2000s", nothing, f.Raw)
	}
}

// closed reads to the end of the connection and checks its code.
func (c *client) closed(code int) {
	c.a.Helper()
	got, frames := c.ReadClose()
	for _, f := range frames {
		c.a.clean(f.Raw, c.marks...)
	}
	if got != code {
		c.a.Fatalf("closed with %d, want %d", got, code)
	}
	c.a.refusals.Add(1)
}

// quote is text as JSON.
func quote(text string) string {
	out, _ := json.Marshal(text) // of a string: always possible
	return string(out)
}
