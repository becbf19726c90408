package hostile_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/walwire/walwire/internal/apptest"
)

// polled connects by polls and gives the key.
func (a *attempt) polled(p *place, token string) string {
	a.Helper()
	got := a.granted(p, request{path: "/v1/poll", token: token, body: `{}`})
	var body struct{ Frames []struct{ Key string } }
	if err := json.Unmarshal([]byte(got.body), &body); err != nil || len(body.Frames) != 1 || body.Frames[0].Key == "" {
		a.Fatalf("got %s", got.body)
	}
	return body.Frames[0].Key
}

func poll(key string, n any) request {
	return request{path: "/v1/poll", body: fmt.Sprintf(`{"key":%s,"poll":%v,"wait_ms":0}`, quote(key), n)}
}

func send(key string, frames ...string) request {
	return request{path: "/v1/send", body: `{"key":` + quote(key) + `,"frames":[` + strings.Join(frames, ",") + `]}`}
}

// keyCases misuse the keys of polls and server-sent events.
func keyCases() []attack {
	return []attack{
		{name: "a poll out of order", run: func(a *attempt) {
			for _, n := range []any{3, 9_000_000, -1, 0} {
				key := a.polled(a.wide, a.wide.owner())
				a.granted(a.wide, poll(key, 1))
				a.denied(a.wide, poll(key, n), http.StatusConflict, "failed-precondition", "connect again")
				if got := a.granted(a.wide, request{path: "/v1/poll", body: `{"key":"` + key + `","poll":2}`}); !strings.Contains(got.body, `"code":4005`) {
					a.Errorf("after it: %s", got.body)
				}
			}
		}},
		{name: "a poll's number that is none", run: func(a *attempt) {
			key := a.polled(a.wide, a.wide.owner())
			for _, n := range []any{"1.5", "1e400", `"2"`, "9223372036854775808", "[2]", "true"} {
				a.denied(a.wide, poll(key, n), http.StatusBadRequest, "invalid-argument", "poll")
			}
			a.granted(a.wide, poll(key, 2))
		}},
		{name: "a poll's patience that is none", run: func(a *attempt) {
			key := a.polled(a.wide, a.wide.owner())
			for _, ms := range []string{"-1", "25001", "9223372036854775807", "1e400", "1.5"} {
				a.denied(a.wide, request{path: "/v1/poll", body: `{"key":"` + key + `","poll":2,"wait_ms":` + ms + `}`}, http.StatusBadRequest, "invalid-argument", "wait_ms")
			}
			a.granted(a.wide, poll(key, 2))
		}},
		{name: "a poll doubled", run: func(a *attempt) {
			key := a.polled(a.wide, a.wide.owner())
			first := make(chan answer, 1)
			go func() {
				got, err := a.tryAsk(a.wide.URL(), request{path: "/v1/poll", body: `{"key":"` + key + `","poll":2,"wait_ms":25000}`})
				if err != nil {
					a.Error(err)
				}
				first <- got
			}()
			// Whichever comes second takes the first one's place: it is the other that is refused.
			got := a.ask(a.wide, poll(key, 2))
			other := <-first
			if got.status != http.StatusOK {
				got, other = other, got
			}
			a.mustGrant(got)
			if other.status != http.StatusOK || other.body != got.body { // after it, it is answered the same
				a.mustDeny(other, http.StatusConflict, "failed-precondition", "another poll")
			}
			a.refusals.Add(1)
			a.granted(a.wide, poll(key, 3))
		}},
		{name: "a poll with a number and no key", run: func(a *attempt) {
			a.denied(a.wide, request{path: "/v1/poll", token: a.wide.owner(), body: `{"poll":1}`}, http.StatusBadRequest, "invalid-argument", "without a key")
			a.polled(a.wide, a.wide.owner())
		}},
		{name: "a key that is none", run: func(a *attempt) {
			key := a.polled(a.wide, a.wide.owner())
			for _, other := range []string{"x", key[:len(key)-1], key + "A", strings.ToUpper(key), strings.Repeat("A", 32), " " + key} {
				a.denied(a.wide, poll(other, 2), http.StatusNotFound, "not-found", "connect again")
				a.denied(a.wide, send(other, `{"type":"ping"}`), http.StatusNotFound, "not-found", "connect again")
			}
			a.denied(a.wide, send(""), http.StatusNotFound, "not-found")
			a.denied(a.wide, request{path: "/v1/send", body: `{"key":["` + key + `"],"frames":[]}`}, http.StatusBadRequest, "invalid-argument", "key")
			a.granted(a.wide, send(key, `{"type":"ping"}`))
		}},
		{name: "the session of a welcome as a key", run: func(a *attempt) {
			c := a.dial(a.wide)
			c.Send(`{"type":"auth","token":%q}`, a.wide.owner())
			var welcome struct{ Session, Key string }
			if err := json.Unmarshal(c.answer().Raw, &welcome); err != nil || welcome.Session == "" || welcome.Key != "" {
				a.Fatalf("got %+v: %v", welcome, err)
			}
			a.denied(a.wide, send(welcome.Session, `{"type":"ping"}`), http.StatusNotFound, "not-found")
			c.pong(1)
		}},
		{name: "a key of server-sent events polled", run: func(a *attempt) {
			_, key := a.events(a.wide, a.wide.owner())
			a.denied(a.wide, poll(key, 2), http.StatusNotFound, "not-found")
			a.granted(a.wide, send(key, `{"type":"ping"}`))
		}},
		{name: "a key of a connection that has ended", run: func(a *attempt) {
			s, key := a.events(a.wide, a.wide.token("ending", "owner"))
			a.granted(a.wide, send(key, `{"type":"ping"}`))
			_ = s.Close()
			a.gone(a.wide, "ending")
			a.until("its key ends", func() bool { return a.ask(a.wide, send(key)).status != http.StatusOK })
			a.denied(a.wide, send(key, `{"type":"ping"}`), http.StatusNotFound, "not-found")
		}},
		{name: "a key and another's token", run: func(a *attempt) {
			key := a.polled(a.wide, a.wide.owner())
			r := send(key, `{"type":"subscribe","id":1,"query":{"table":"appointments"}}`)
			r.token = a.wide.token("owner", "owner", apptest.Claims{"company_id": companyB}) // no token counts beside a key
			a.granted(a.wide, r)
			got := a.granted(a.wide, request{path: "/v1/poll", body: `{"key":"` + key + `","poll":2}`})
			a.clean([]byte(got.body), markB)
			if !strings.Contains(got.body, "note 1") {
				a.Errorf("got %s", got.body)
			}
			a.granted(a.wide, send(key, `{"type":"auth","token":`+quote(r.token)+`}`))
			if got := a.granted(a.wide, request{path: "/v1/poll", body: `{"key":"` + key + `","poll":3}`}); !strings.Contains(got.body, `"permission-denied"`) {
				a.Errorf("renewed by another company's token: %s", got.body)
			}
			a.refusals.Add(1)
		}},
		{name: "frames that are none", run: func(a *attempt) {
			key := a.polled(a.wide, a.wide.owner())
			for _, frames := range []string{`"x"`, `{}`, `1`, `{"type":"ping"}`} {
				a.denied(a.wide, request{path: "/v1/send", body: `{"key":"` + key + `","frames":` + frames + `}`}, http.StatusBadRequest, "invalid-argument", "frames")
			}
			a.granted(a.wide, send(key, `"x"`, `null`, `[]`, `{}`, `{"type":"auth"}`, `{"type":"ping","id":5}`))
			got := a.granted(a.wide, poll(key, 2))
			for n := 3; !strings.Contains(got.body, `{"type":"pong","id":5}`); n++ {
				if strings.Contains(got.body, `"close"`) {
					a.Fatalf("got %s", got.body)
				}
				got = a.granted(a.wide, poll(key, n))
			}
		}},
		{name: "sends at once with one key", run: func(a *attempt) {
			_, key := a.events(a.tight, a.guest(a.tight, "sender"))
			var pings []string
			for range framesBurst + 100 { // a second's worth beyond the burst
				pings = append(pings, `{"type":"ping"}`)
			}
			statuses := make(chan answer, 5)
			var all sync.WaitGroup
			for range cap(statuses) {
				all.Go(func() {
					got, err := a.tryAsk(a.tight.URL(), send(key, pings...))
					if err != nil {
						a.Error(err)
					}
					statuses <- got
				})
			}
			all.Wait()
			close(statuses)
			for got := range statuses {
				if got.status == http.StatusOK {
					a.served.Add(1)
					continue
				}
				a.mustDeny(got, http.StatusTooManyRequests, "resource-exhausted", "one request")
			}
			if a.served.Load() < 2 || a.refusals.Load() < 1 {
				a.Errorf("%d served, %d refused", a.served.Load(), a.refusals.Load())
			}
		}},
		{name: "events by HEAD", run: func(a *attempt) {
			got := a.ask(a.wide, request{method: "HEAD", path: "/v1/sse", token: a.wide.token("header", "owner")})
			if got.body != "" {
				a.Errorf("got %s", got.body)
			}
			a.gone(a.wide, "header")
			a.refusals.Add(1)
			a.events(a.wide, a.wide.token("header", "owner"))
		}},
	}
}
