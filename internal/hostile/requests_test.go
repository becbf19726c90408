package hostile_test

import (
	"net/http"
	"strings"
)

// handshakeCases ask for WebSockets as one should not.
func handshakeCases() []attack {
	asks := func(name string, status int, change func(head string) string) attack {
		return attack{name: "upgrade " + name, run: func(a *attempt) {
			s := a.socket(a.wide)
			s.send(change(s.head("GET /v1/stream")+upgrade+"Authorization: Bearer "+a.wide.owner()) + "\r\n\r\n")
			got := s.response()
			if got.status != status {
				a.Errorf("want HTTP %d, got %d %s", status, got.status, got.body)
			}
			a.refusals.Add(1)
			a.webSocket(a.wide, a.wide.owner(), "").pong("1")
		}}
	}
	swap := func(old, replacement string) func(string) string {
		return func(head string) string { return strings.Replace(head, old, replacement, 1) }
	}
	const version, key = "Sec-WebSocket-Version: 13\r\n", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	cases := []attack{
		asks("without a version", http.StatusBadRequest, swap(version, "")),
		asks("of version 8", http.StatusBadRequest, swap(version, "Sec-WebSocket-Version: 8\r\n")),
		asks("of versions 13 and 8", http.StatusBadRequest, swap(version, "Sec-WebSocket-Version: 13, 8\r\n")),
		asks("without a key", http.StatusBadRequest, swap(key, "")),
		asks("with a short key", http.StatusBadRequest, swap(key, "Sec-WebSocket-Key: AAAA\r\n")),
		asks("with two keys", http.StatusBadRequest, swap(key, key+key)),
		asks("without Upgrade", http.StatusUpgradeRequired, swap("Upgrade: websocket\r\n", "")),
		asks("to h2c", http.StatusUpgradeRequired, swap("Upgrade: websocket", "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__")),
		asks("without Connection", http.StatusUpgradeRequired, swap("Connection: Upgrade", "Connection: close")),
		asks("by HTTP/1.0", http.StatusUpgradeRequired, swap("HTTP/1.1", "HTTP/1.0")),
		asks("by POST", http.StatusNotFound, swap("GET", "POST")),
		asks("by CONNECT", http.StatusNotFound, swap("GET", "CONNECT")),
		asks("of another path", http.StatusNotFound, swap("/v1/stream", "/v1/streams")),
		asks("of a path below", http.StatusNotFound, swap("/v1/stream", "/v1/stream/x")),
	}
	for name, offered := range map[string][2]string{
		"another version": {"walwire.v2", ""}, "the right one last": {"walwire.v2, graphql-ws, walwire.v1", "walwire.v1"}, "a hundred": {strings.Repeat("x, ", 100) + "walwire.v1", "walwire.v1"},
		"what is none": {`"walwire.v1; x=y", {}`, ""}, "one empty": {",,", ""},
	} {
		cases = append(cases, attack{name: "subprotocol " + name, run: func(a *attempt) {
			got := a.upgraded(a.wide, "Sec-WebSocket-Protocol: "+offered[0]+"\r\n")
			if got.status != http.StatusSwitchingProtocols || got.header.Get("Sec-WebSocket-Protocol") != offered[1] {
				a.Errorf("HTTP %d, subprotocol %q", got.status, got.header.Get("Sec-WebSocket-Protocol"))
			}
			a.refusals.Add(1)
			a.webSocket(a.wide, a.wide.owner(), "Sec-WebSocket-Protocol: walwire.v1\r\n").pong("1")
		}})
	}
	return cases
}

// requestCases write requests that two servers would read in two ways, or none.
func requestCases() []attack {
	const good = `{"lsn":"0/1"}`
	bad := func(name string, head, body string, statuses ...int) attack {
		return attack{name: "request with " + name, run: func(a *attempt) {
			auth := "Authorization: Bearer " + a.wide.owner() + "\r\n"
			s := a.socket(a.wide)
			s.send(s.head("POST /v1/wait") + auth + head + "\r\n" + body)
			got := s.response()
			found := false
			for _, status := range statuses {
				found = found || got.status == status
			}
			if !found {
				a.Errorf("want HTTP %v, got %d %s", statuses, got.status, got.body)
			}
			s.cut() // what follows can't be told from the body
			s = a.socket(a.wide)
			s.send(s.head("POST /v1/wait") + auth + "Content-Length: " + itoa(len(good)) + "\r\n\r\n" + good)
			a.mustGrant(s.response())
		}}
	}
	smuggled := "GET /v1/stats HTTP/1.1\r\nHost: x\r\n\r\n"
	chunked := "d\r\n" + good + "\r\n0\r\n\r\n"
	return []attack{
		{name: "request with a length and chunks", run: func(a *attempt) {
			auth := "Authorization: Bearer " + a.wide.owner() + "\r\n"
			for _, head := range []string{"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 400\r\n"} {
				s := a.socket(a.wide)
				s.send(s.head("POST /v1/wait") + auth + head + "\r\n" + chunked + smuggled)
				a.mustGrant(s.response()) // chunks count
				got, err := s.tryResponse()
				if err == nil { // and what follows is a request with no rights of the one before
					a.mustDeny(got, http.StatusUnauthorized, "unauthenticated")
				} else if !hungUp(err) {
					a.Fatal(err)
				}
				a.refusals.Add(1)
			}
		}},
		bad("two lengths", "Content-Length: 13\r\nContent-Length: 14\r\n", good+smuggled, 400),
		bad("lengths in a list", "Content-Length: 13, 14\r\n", good+smuggled, 400),
		bad("a negative length", "Content-Length: -1\r\n", good, 400),
		bad("a length with a plus", "Content-Length: +13\r\n", good, 400),
		bad("a hexadecimal length", "Content-Length: 0xd\r\n", good, 400),
		bad("a length beyond 2^63", "Content-Length: 99999999999999999999\r\n", good, 400),
		bad("an encoding that looks like chunks", "Transfer-Encoding: xchunked\r\n", chunked+smuggled, 400, 501),
		bad("chunks twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", chunked+smuggled, 400, 501),
		bad("chunks and identity", "Transfer-Encoding: chunked, identity\r\n", chunked+smuggled, 400, 501),
		bad("gzip and chunks", "Transfer-Encoding: gzip, chunked\r\n", chunked+smuggled, 400, 501),
		bad("chunks after a tab", "Transfer-Encoding:\x0bchunked\r\n", chunked+smuggled, 400, 501),
		bad("a blank before the colon", "Transfer-Encoding : chunked\r\n", chunked+smuggled, 400),
		bad("a header line that goes on", "X-Folded: a\r\n Transfer-Encoding: chunked\r\nContent-Length: 99\r\n : x\r\n", "", 400),
		bad("NUL in a header", "X-Nul: a\x00b\r\nContent-Length: 13\r\n", good, 400),
		bad("a bare CR in a header", "X-Bare: a\rTransfer-Encoding: chunked\r\nContent-Length: 13\r\n", good, 400),
		bad("a second Host", "Host: evil.test\r\nContent-Length: 13\r\n", good, 400),
		bad("a Host that is none", "Host: a b/c\r\nContent-Length: 13\r\n", good, 400),
		bad("a chunk beyond 2^64", "Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\n"+good, 400),
		bad("a negative chunk", "Transfer-Encoding: chunked\r\n", "-1\r\n"+good, 400),
		bad("a chunk without an end", "Transfer-Encoding: chunked\r\n", "d\r\n"+good+"XX0\r\n\r\n", 400),
		bad("a chunk's extension without end", "Transfer-Encoding: chunked\r\n", "d;"+strings.Repeat("x", 10_000)+"\r\n"+good+"\r\n0\r\n\r\n", 400),
		{name: "request lines that are none", run: func(a *attempt) {
			for _, line := range []string{
				"GET\r\n\r\n", "GET /healthz\r\n\r\n", "GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "G@T /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "GET healthz HTTP/1.1\r\nHost: x\r\n\r\n",
				"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", "GET /healthz HTTP/1.1\r\n\r\n",
			} {
				s := a.socket(a.wide)
				s.send(line)
				got, err := s.tryResponse()
				if err == nil && got.status != http.StatusBadRequest && got.status != http.StatusHTTPVersionNotSupported || err != nil && !hungUp(err) {
					a.Errorf("%q: HTTP %d %s: %v", line, got.status, got.body, err)
				}
				a.refusals.Add(1)
			}
			s := a.socket(a.wide)
			s.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
			a.mustGrant(s.response())
		}},
	}
}
