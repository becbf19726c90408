package hostile_test

import (
	"net/http"
	"strings"
)

// endpoints are all of the public ones that pages use, as their owner asks.
func endpoints(a *attempt) []request {
	return []request{
		{method: "GET", path: "/v1/stream"}, {method: "GET", path: "/v1/sse"}, {path: "/v1/poll", body: `{}`}, {path: "/v1/send", body: `{"key":"x","frames":[]}`},
		{path: "/v1/query", body: `{"query":{"table":"appointments"}}`}, {path: "/v1/tickets"}, {method: "GET", path: "/v1/stats"}, {path: "/v1/wait", body: `{"lsn":"0/1"}`},
	}
}

// from makes a request one of a web page.
func from(origin string, r request) request {
	r.header = map[string]string{"Origin": origin}
	return r
}

// upgraded asks for a WebSocket with further header lines.
func (a *attempt) upgraded(p *place, header string) answer {
	a.Helper()
	s := a.socket(p)
	s.send(s.head("GET /v1/stream") + upgrade + header + "Authorization: Bearer " + p.owner() + "\r\n\r\n")
	return s.response()
}

func originCases() []attack {
	var cases []attack
	for _, path := range []string{"/v1/stream", "/v1/sse", "/v1/poll", "/v1/send", "/v1/query", "/v1/tickets", "/v1/stats", "/v1/wait"} {
		cases = append(cases, attack{name: "a foreign page at " + path, run: func(a *attempt) {
			for _, r := range endpoints(a) {
				if r.path != path {
					continue
				}
				r.token = a.wide.owner()
				got := a.denied(a.wide, from("https://evil.test", r), http.StatusForbidden, "permission-denied", "evil.test", "origins")
				if got.header.Get("Access-Control-Allow-Origin") != "" || got.header.Get("Vary") != "Origin" {
					a.Errorf("headers %v", got.header)
				}
				allowed := a.ask(a.wide, from(allowedOrigin, r))
				if want := map[string]int{"/v1/stream": http.StatusUpgradeRequired, "/v1/send": http.StatusNotFound}[path]; allowed.status != http.StatusOK && allowed.status != want {
					a.Errorf("the allowed page: HTTP %d %s", allowed.status, allowed.body)
				}
				if got := allowed.header.Get("Access-Control-Allow-Origin"); got != allowedOrigin {
					a.Errorf("the allowed page may read: %q", got)
				}
				a.served.Add(1)
			}
		}}, attack{name: "a foreign page's preflight of " + path, run: func(a *attempt) {
			preflight := func(origin string) answer {
				r := request{method: "OPTIONS", path: path, header: map[string]string{
					"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type",
				}}
				return a.ask(a.wide, r)
			}
			if got := preflight("https://evil.test"); got.status != http.StatusForbidden || got.header.Get("Access-Control-Allow-Origin") != "" || got.header.Get("Access-Control-Allow-Headers") != "" {
				a.Errorf("HTTP %d %v", got.status, got.header)
			}
			a.refusals.Add(1)
			if got := preflight(allowedOrigin); got.status != http.StatusNoContent || got.header.Get("Access-Control-Allow-Origin") != allowedOrigin {
				a.Errorf("the allowed page: HTTP %d %v", got.status, got.header)
			}
			a.served.Add(1)
		}})
	}
	ask := func(a *attempt) request { return query(a.wide.owner(), `{"table":"appointments"}`) }
	for name, origin := range map[string]string{
		"null": "null", "a suffix": "https://app.example.com.evil.test", "a prefix": "https://evilapp.example.com", "a user": "https://app.example.com@evil.test",
		"a password": "https://app.example.com:443@evil.test", "a port": "https://app.example.com:8443", "another scheme": "http://app.example.com",
		"no scheme": "app.example.com", "a dot at the end": "https://app.example.com.", "a slash at the end": "https://app.example.com/", "a path": "https://evil.test/app.example.com",
		"a query": "https://evil.test?app.example.com", "a fragment": "https://evil.test#app.example.com", "a backslash": `https://evil.test\app.example.com`,
		"two with a blank": "https://app.example.com https://evil.test", "two with a comma": "https://app.example.com, https://evil.test",
		"a name below": "https://x.app.example.com", "the name above": "https://example.com", "the wildcard's own name": "https://example.org", "two labels below": "https://a.b.example.org",
		"an empty label": "https://.example.org", "a star": "https://*.example.org", "punycode": "https://xn--pp-xka.example.com", "port 0": "https://app.example.com:0", "a long port": "https://app.example.com:00443",
		"file": "file://", "an extension": "chrome-extension://app.example.com", "empty": "",
		"an address in brackets": "https://[app.example.com]", "a percent": "https://app%2eexample.com", "javascript": "javascript://app.example.com",
	} {
		cases = append(cases, attack{name: "origin with " + name, run: func(a *attempt) {
			a.denied(a.wide, from(origin, ask(a)), http.StatusForbidden, "permission-denied", "origins")
			a.mustDeny(a.upgraded(a.wide, "Origin: "+origin+"\r\n"), http.StatusForbidden, "permission-denied")
			a.granted(a.wide, from(allowedOrigin, ask(a)))
			a.granted(a.wide, from("https://a.example.org", ask(a)))
		}})
	}
	for name, header := range map[string]string{
		"X-Forwarded-Host": "X-Forwarded-Host: evil.test\r\n", "X-Forwarded-Proto": "X-Forwarded-Proto: http\r\nX-Forwarded-Host: evil.test\r\nX-Forwarded-Port: 80\r\n",
		"Forwarded": "Forwarded: host=evil.test;proto=http\r\n", "X-Original-Host": "X-Original-Host: evil.test\r\nX-Host: evil.test\r\nX-Real-Host: evil.test\r\n",
		"Referer": "Referer: https://app.example.com/\r\n", "Sec-Fetch-Site": "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\n", "X-HTTP-Method-Override": "X-HTTP-Method-Override: GET\r\n",
		"a second Origin": "Origin: https://app.example.com\r\n",
	} {
		cases = append(cases, attack{name: "foreign with " + name, run: func(a *attempt) {
			a.mustDeny(a.upgraded(a.wide, "Origin: http://evil.test\r\n"+header), http.StatusForbidden, "permission-denied")
			own := strings.ReplaceAll(header, "Origin: https://app.example.com\r\n", "")
			if got := a.upgraded(a.wide, "Origin: "+a.wide.URL()+"\r\n"+own); got.status != http.StatusSwitchingProtocols {
				a.Errorf("the server's own page: HTTP %d %s", got.status, got.body)
			}
			a.served.Add(1)
		}})
	}
	for _, path := range []string{"//v1/query", "/v1//query", "/v1/./query", "/x/../v1/query", "/V1/query", "/v1%2fquery", "/%76%31/query", "/v1/query/", "/v1/query;x", "/./v1/query", "/v1/%71uery"} {
		cases = append(cases, attack{name: "foreign by the path " + path, run: func(a *attempt) {
			for _, method := range []string{"POST", "GET", "OPTIONS", "PUT", "TRACE"} {
				s := a.socket(a.wide)
				body := ask(a).body
				if method != "POST" {
					body = ""
				}
				s.send(s.head(method+" "+path) + "Origin: https://evil.test\r\nAuthorization: Bearer " + a.wide.owner() + "\r\nContent-Length: " + itoa(len(body)) + "\r\n\r\n" + body)
				got := s.response()
				if got.status < 300 || got.header.Get("Access-Control-Allow-Origin") != "" {
					a.Errorf("%s: HTTP %d %.200s %v", method, got.status, got.body, got.header)
				}
				if to := got.header.Get("Location"); strings.HasPrefix(to, "//") || strings.Contains(to, "://") {
					a.Errorf("%s: sent to %s", method, to)
				}
				a.clean([]byte(got.body), "MARK", "note ")
			}
			a.refusals.Add(1)
			a.granted(a.wide, from(allowedOrigin, ask(a)))
		}})
	}
	return cases
}
