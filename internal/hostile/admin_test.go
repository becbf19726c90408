package hostile_test

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

func itoa(n int) string { return strconv.Itoa(n) }

func adminCases() []attack {
	var cases []attack
	for _, path := range []string{
		"/metrics", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/profile?seconds=1", "/debug/vars", "/admin/v1/stats", "/admin/v1/connections", "/admin/v1/disconnect", "/admin/",
		"//admin/v1/stats", "/v1/../admin/v1/stats", "/admin%2fv1%2fstats", "/v1/admin/v1/stats", "/v1/%2e%2e/metrics", "/healthz/../metrics", "/admin/v1/stats?company=",
	} {
		cases = append(cases, attack{name: "on the public listener: " + path, run: func(a *attempt) {
			for _, p := range []*place{a.wide, a.tight} {
				for _, method := range []string{"GET", "POST", "CONNECT"} {
					s := a.socket(p)
					s.send(s.head(method+" "+path) + "Authorization: Bearer " + adminToken + "\r\nContent-Length: 2\r\n\r\n{}")
					got := s.response()
					// A path that is not clean is first sent to the clean one, where nothing is.
					if to := got.header.Get("Location"); got.status >= 300 && got.status < 400 && strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "//") {
						got = a.ask(p, request{method: method, path: to})
					}
					a.mustDeny(got, http.StatusNotFound, "not-found")
				}
			}
			a.mustGrant(a.ask(a.wide, request{method: "GET", path: "/healthz"}))
		}})
	}
	get := request{method: "GET", path: "/admin/v1/connections"}
	for name, host := range map[string]string{
		"another name": "evil.test", "another name with the port": "evil.test:8081", "localhost as a label": "localhost.evil.test", "the address as a label": "127.0.0.1.evil.test",
		"any address": "0.0.0.0", "the address as a number": "2130706433", "the address in hexadecimal": "0x7f000001", "a short address": "127.1", "a private address": "10.0.0.1",
		"a link-local address": "169.254.169.254", "localhost with a dot": "localhost.", "another address in brackets": "[::ffff:10.0.0.1]",
	} {
		cases = append(cases, attack{name: "Host " + name, run: func(a *attempt) {
			admin := a.wide.App.AdminURL()
			for _, r := range []request{get, {method: "GET", path: "/metrics"}, {method: "GET", path: "/debug/pprof/"}, {path: "/admin/v1/disconnect", body: `{"user":"ann"}`}} {
				r.host = host
				a.mustDeny(a.askAt(admin, r), http.StatusForbidden, "permission-denied", "loopback")
			}
			for _, own := range []string{"", "localhost:1234", "[::1]", "127.0.0.9"} {
				r := get
				r.host = own
				a.mustGrant(a.askAt(admin, r))
			}
		}})
	}
	for name, header := range map[string]map[string]string{
		"a foreign Origin": {"Origin": "https://evil.test"}, "Origin null": {"Origin": "null"}, "the public origin": {"Origin": allowedOrigin}, "an Origin of another port": {"Origin": "http://127.0.0.1:1"},
		"an Origin that begins alike": {"Origin": "ADMIN.evil.test"}, "https of it": {"Origin": "https://HOST"}, "a cross-site fetch": {"Sec-Fetch-Site": "cross-site"}, "a same-site fetch": {"Sec-Fetch-Site": "same-site"},
	} {
		cases = append(cases, attack{name: "a page with " + name, run: func(a *attempt) {
			admin := a.wide.App.AdminURL()
			to, err := url.Parse(admin)
			if err != nil {
				a.Fatal(err)
			}
			sent := make(map[string]string)
			for k, v := range header {
				sent[k] = strings.NewReplacer("ADMIN", admin, "HOST", to.Host).Replace(v)
			}
			victim := a.connect(a.wide, a.wide.token("victim", "owner"))
			for _, r := range []request{get, {method: "GET", path: "/debug/pprof/heap"}, {path: "/admin/v1/disconnect", body: `{"user":"victim"}`}} {
				r.header = sent
				a.mustDeny(a.askAt(admin, r), http.StatusForbidden, "permission-denied", "origins")
			}
			victim.pong(1)
			own := get
			own.header = map[string]string{"Origin": admin, "Sec-Fetch-Site": "same-origin"}
			a.mustGrant(a.askAt(admin, own))
		}})
	}
	for name, authorization := range map[string]string{
		"none": "", "another": "Bearer another token for tests, of 32 octets or more", "the beginning": "Bearer " + adminToken[:31], "one with more": "Bearer " + adminToken + "x", "Basic": "Basic " + adminToken,
		"no scheme": adminToken, "empty": "Bearer ", "in capitals": "Bearer " + strings.ToUpper(adminToken), "twice": "Bearer " + adminToken + ", Bearer " + adminToken,
	} {
		cases = append(cases, attack{name: "admin token " + name, run: func(a *attempt) {
			admin := a.tight.App.AdminURL()
			for _, path := range []string{"/admin/v1/connections", "/metrics", "/debug/pprof/", "/healthz", "/none"} {
				r := request{method: "GET", path: path}
				if authorization != "" {
					r.header = map[string]string{"Authorization": authorization}
				}
				got := a.askAt(admin, r)
				a.mustDeny(got, http.StatusUnauthorized, "unauthenticated", "admin.token")
				if got.header.Get("WWW-Authenticate") == "" {
					a.Error("no WWW-Authenticate")
				}
			}
			a.mustGrant(a.operator(a.tight, get))
		}})
	}
	return append(cases,
		attack{name: "a user's token", run: func(a *attempt) {
			r := get
			r.token = a.tight.owner()
			a.mustDeny(a.askAt(a.tight.App.AdminURL(), r), http.StatusUnauthorized, "unauthenticated")
			a.mustGrant(a.operator(a.tight, get))
		}},
		attack{name: "the admin token at the public listener", run: func(a *attempt) {
			a.denied(a.wide, query(strings.ReplaceAll(adminToken, " ", "-"), `{"table":"appointments"}`), http.StatusUnauthorized, "unauthenticated")
			a.granted(a.wide, query(a.wide.owner(), `{"table":"appointments"}`))
		}},
		attack{name: "a request without Host", run: func(a *attempt) {
			for _, line := range []string{"GET /metrics HTTP/1.0\r\n\r\n", "GET /metrics HTTP/1.1\r\n\r\n", "GET http://evil.test/metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"} {
				s := a.socketAt(a.wide.App.AdminURL())
				s.send(line)
				if got := s.response(); got.status != http.StatusForbidden && got.status != http.StatusBadRequest {
					a.Errorf("%q: HTTP %d", line, got.status)
				}
				a.refusals.Add(1)
			}
			a.mustGrant(a.operator(a.wide, get))
		}},
		attack{name: "disconnect of nobody", run: func(a *attempt) {
			for _, body := range []string{`{}`, `{"company":"","user":""}`, `{"user":["ann"]}`, `{"user":"ann","User":"abe"}`, `null`, `[]`, ``} {
				a.mustDeny(a.operator(a.wide, request{path: "/admin/v1/disconnect", body: body}), http.StatusBadRequest, "invalid-argument")
			}
			s := a.webSocket(a.wide, a.wide.token("leaving", "owner"), "")
			reason := strings.Repeat("техническое обслуживание ", 10) // longer than a close frame, in letters of two octets
			for _, before := range []string{"", "x"} {
				a.mustGrant(a.operator(a.wide, request{path: "/admin/v1/disconnect", body: `{"user":"leaving","reason":` + quote(before+reason) + `}`}))
				s.closed(4004)
				s = a.webSocket(a.wide, a.wide.token("leaving", "owner"), "")
			}
		}},
	)
}
