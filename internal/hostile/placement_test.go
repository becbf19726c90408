package hostile_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// placementCases put tokens and addresses where they do not belong.
func placementCases() []attack {
	var cases []attack
	for _, name := range []string{"token", "access_token", "id_token", "jwt", "bearer", "auth", "authorization"} {
		cases = append(cases, attack{name: "token in the URL as " + name, run: func(a *attempt) {
			for _, r := range []request{
				{method: "GET", path: "/v1/sse"}, {method: "GET", path: "/v1/stream"}, {path: "/v1/poll", body: `{}`}, {path: "/v1/tickets"},
				{path: "/v1/query", body: `{"query":{"table":"appointments"}}`}, {method: "GET", path: "/v1/stats"}, {path: "/v1/wait", body: `{"lsn":"0/1"}`},
			} {
				r.path += "?" + name + "=" + a.wide.owner()
				a.denied(a.wide, r, http.StatusBadRequest, "invalid-argument", "URL")
			}
			a.granted(a.wide, query(a.wide.owner(), `{"table":"appointments"}`))
		}})
	}
	return append(cases,
		attack{name: "token in a cookie", run: func(a *attempt) {
			r := query("", `{"table":"appointments"}`)
			r.header = map[string]string{"Cookie": "token=" + a.wide.owner() + "; Authorization=Bearer " + a.wide.owner()}
			a.denied(a.wide, r, http.StatusUnauthorized, "unauthenticated")
			a.granted(a.wide, query(a.wide.owner(), `{"table":"appointments"}`))
		}},
		attack{name: "token by Basic", run: func(a *attempt) {
			r := query("", `{"table":"appointments"}`)
			r.header = map[string]string{"Authorization": "Basic " + a.wide.owner()}
			a.denied(a.wide, r, http.StatusUnauthorized, "unauthenticated")
			r.header = map[string]string{"Authorization": "bearer " + a.wide.owner()}
			a.granted(a.wide, r)
		}},
		attack{name: "token in the body", run: func(a *attempt) {
			r := request{path: "/v1/query", body: `{"token":"` + a.wide.owner() + `","query":{"table":"appointments"}}`}
			a.denied(a.wide, r, http.StatusUnauthorized, "unauthenticated")
			r.token = a.wide.owner()
			a.denied(a.wide, r, http.StatusBadRequest, "invalid-argument", "token")
			a.granted(a.wide, query(a.wide.owner(), `{"table":"appointments"}`))
		}},
		attack{name: "token as a subprotocol", run: func(a *attempt) {
			s := a.socket(a.tight)
			s.send(s.head("GET /v1/stream") + upgrade + "Sec-WebSocket-Protocol: walwire.v1, bearer." + a.tight.owner() + "\r\n\r\n")
			if got := s.response(); got.header.Get("Sec-WebSocket-Protocol") != "walwire.v1" {
				a.Errorf("subprotocol %q", got.header.Get("Sec-WebSocket-Protocol"))
			}
			s.closed(4501) // nobody has shown a token
			a.webSocket(a.tight, a.tight.owner(), "Sec-WebSocket-Protocol: walwire.v1\r\n").pong("1")
		}},
		attack{name: "address by X-Forwarded-For of a stranger", run: func(a *attempt) {
			if got := a.addressOf(a.wide, "198.51.100.7", "spoofer", "Forwarded: for=198.51.100.7\r\nX-Real-IP: 198.51.100.7\r\n"); got != "127.0.0.1" {
				a.Errorf("counted as %s", got)
			}
			a.refusals.Add(1)
			if got := a.addressOf(a.tight, "198.51.100.7", "spoofer", ""); got != "198.51.100.7" {
				a.Errorf("behind a trusted proxy counted as %s", got)
			}
		}},
		attack{name: "address claimed before the proxy's", run: func(a *attempt) {
			if got := a.addressOf(a.tight, "192.0.2.1, 127.0.0.1, 198.51.100.8, 10.1.2.3", "claimer", ""); got != "198.51.100.8" {
				a.Errorf("counted as %s", got)
			}
			a.refusals.Add(1)
		}},
		attack{name: "address that is none", run: func(a *attempt) {
			for _, text := range []string{"198.51.100.9'; --", "unknown", "198.51.100.9, garbage", "::ffff:garbage", strings.Repeat("1.1.1.1,", 2000) + "x"} {
				if got := a.addressOf(a.tight, text, "nobody", ""); got != "127.0.0.1" {
					a.Errorf("%.40q is counted as %s", text, got)
				}
			}
			a.refusals.Add(1)
		}},
	)
}

// addressOf connects and asks the operators' list for the address that is counted.
func (a *attempt) addressOf(p *place, forwarded, user, header string) string {
	a.Helper()
	s := a.socket(p)
	s.send("GET /v1/sse HTTP/1.1\r\nHost: " + s.RemoteAddr().String() + "\r\nX-Forwarded-For: " + forwarded + "\r\n" + header +
		"Authorization: Bearer " + p.token(user, "owner") + "\r\n\r\n")
	line, err := s.in.ReadString('{') // the welcome begins
	if err != nil || !strings.Contains(line, " 200 ") {
		a.Fatalf("%v: %s", err, line)
	}
	a.served.Add(1)
	got := a.operator(p, request{method: "GET", path: "/admin/v1/connections?user=" + user})
	var body struct{ Connections []struct{ Address string } }
	if err := json.Unmarshal([]byte(got.body), &body); err != nil || len(body.Connections) != 1 {
		a.Fatalf("connections of %s: HTTP %d %s", user, got.status, got.body)
	}
	_ = s.Close()
	a.gone(p, user)
	return body.Connections[0].Address
}

// operator asks at the admin listener, with its token where there is one.
func (a *attempt) operator(p *place, r request) answer {
	a.Helper()
	r.token = p.Config.Admin.Token.Reveal()
	return a.askAt(p.App.AdminURL(), r)
}

// connected is how many connections a user has.
func (a *attempt) connected(p *place, user string) int {
	a.Helper()
	got := a.operator(p, request{method: "GET", path: "/admin/v1/connections?user=" + url.QueryEscape(user)})
	body := struct{ Count int }{-1}
	if err := json.Unmarshal([]byte(got.body), &body); err != nil {
		a.Fatalf("HTTP %d %s: %v", got.status, got.body, err)
	}
	return body.Count
}

// gone waits until a user has no connection any more.
func (a *attempt) gone(p *place, user string) {
	a.Helper()
	a.until("the connections of "+user+" end", func() bool { return a.connected(p, user) == 0 })
}
