package hostile_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/walwire/walwire/internal/apptest"
)

func connectionCases() []attack {
	cases := append(frameCases(), handshakeCases()...)
	cases = append(cases, requestCases()...)
	cases = append(cases, keyCases()...)
	cases = append(cases, floodCases()...)
	cases = append(cases, limitCases()...)
	return append(cases, slowCases()...)
}

// drip sends text again and again, slowly, until nobody takes it.
func (s *socket) drip(text string) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if _, err := s.Write([]byte(text)); err != nil {
			return
		}
	}
}

// slowCases hold connections that do nothing.
func slowCases() []attack {
	post := func(s *socket, path, rest string) string {
		return s.head("POST "+path) + "Authorization: Bearer " + s.a.guest(s.a.tight, "slow") + "\r\n" + rest + "\r\n"
	}
	cases := []attack{
		{name: "headers that come slowly", slow: true, run: func(a *attempt) {
			s := a.socket(a.tight)
			s.send(s.head("GET /healthz"))
			go s.drip("X-Slow: x\r\n")
			s.cut()
			s = a.socket(a.tight)
			s.send(s.head("GET /healthz") + "X-Slow: x\r\n\r\n")
			a.mustGrant(s.response())
		}},
		{name: "half a request line", slow: true, run: func(a *attempt) {
			s := a.socket(a.tight)
			s.send("GET /v1")
			s.cut()
			a.granted(a.tight, request{method: "GET", path: "/healthz"})
		}},
	}
	for path, body := range map[string]string{"/v1/poll": `{}`, "/v1/wait": `{"lsn":"0/1"}`, "/v1/send": `{"key":"x","frames":[]}`, "/v1/query": `{"query":{"table":"appointments"}}`} {
		for kind, head := range map[string]string{"": "Content-Length: 1000\r\n", "a chunked ": "Transfer-Encoding: chunked\r\n"} {
			cases = append(cases, attack{name: kind + "body that comes slowly to " + path, slow: true, run: func(a *attempt) {
				s := a.socket(a.tight)
				s.send(post(s, path, head))
				if kind == "" {
					go s.drip(" ")
				} else {
					go s.drip("1\r\n \r\n")
				}
				a.mustDeny(s.response(), http.StatusBadRequest, "invalid-argument", "in time")
				s.cut()
				s = a.socket(a.tight)
				s.send(post(s, path, "Content-Length: "+itoa(len(body))+"\r\n") + body)
				if got := s.response(); got.status != http.StatusOK && (path != "/v1/send" || got.status != http.StatusNotFound) {
					a.Errorf("HTTP %d %s", got.status, got.body)
				}
				a.served.Add(1)
			}})
		}
	}
	for path, status := range map[string]int{"/v1/tickets": http.StatusOK, "/none": http.StatusNotFound} {
		cases = append(cases, attack{name: "body that nobody reads and that does not come, to " + path, slow: true, run: func(a *attempt) {
			s := a.socket(a.tight)
			s.send(post(s, path, "Content-Length: 1000\r\n"))
			if got := s.response(); got.status != status {
				a.Errorf("HTTP %d %s", got.status, got.body)
			}
			s.cut()
			s = a.socket(a.tight)
			s.send(post(s, path, "Content-Length: 3\r\n") + "123")
			if got := s.response(); got.status != status {
				a.Errorf("HTTP %d %s", got.status, got.body)
			}
			a.served.Add(1)
		}})
	}
	return append(append(cases, silentCases()...), unreadCases()...)
}

// silentCases are WebSockets that say nothing, or not enough.
func silentCases() []attack {
	unnamed := func(name string, begin func(s *socket)) attack {
		return attack{name: name, slow: true, run: func(a *attempt) {
			s := a.socket(a.tight)
			s.send(s.head("GET /v1/stream") + upgrade + "\r\n")
			if got := s.response(); got.status != http.StatusSwitchingProtocols {
				a.Fatalf("HTTP %d %s", got.status, got.body)
			}
			begin(s)
			if _, payload := s.frame(); !strings.Contains(payload, `"unauthenticated"`) || !strings.Contains(payload, "limits.auth_deadline") {
				a.Errorf("got %s", payload)
			}
			s.closed(4501)
			s = a.socket(a.tight)
			s.send(s.head("GET /v1/stream") + upgrade + "\r\n")
			s.response()
			s.send(text(`{"type":"auth","token":"` + a.guest(a.tight, "named") + `"}`))
			if _, payload := s.frame(); !strings.Contains(payload, `"welcome"`) {
				a.Errorf("got %s", payload)
			}
			a.served.Add(1)
		}}
	}
	// unanswering does not answer pings; one that does goes on.
	unanswering := func(name, last string) attack {
		return attack{name: name, slow: true, run: func(a *attempt) {
			good := a.webSocket(a.tight, a.guest(a.tight, "answering"), "")
			over, answered := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(answered)
				good.answerPings(over)
			}()
			s := a.webSocket(a.tight, a.guest(a.tight, "unanswering "+name), "")
			s.send(last)
			s.closed(0)
			close(over)
			good.send(text(`{"type":"ping","id":1}`)) // wakes who answers
			<-answered
			good.pong("2")
			a.gone(a.tight, "unanswering "+name)
		}}
	}
	return []attack{
		unnamed("no auth frame", func(*socket) {}),
		unnamed("half an auth frame", func(s *socket) { s.send(raw(fin|opText, 1000, `{"type":`)) }),
		unnamed("an auth frame that comes slowly", func(s *socket) {
			s.send(raw(opText, 1, "{"))
			go s.drip(raw(opContinuation, 1, " "))
		}),
		unnamed("pings instead of an auth frame", func(s *socket) {
			go s.drip(raw(fin|opPong, 0, "")) // a ping's answer would come first
		}),
		unanswering("a half-open connection", ""),
		unanswering("half a frame and then nothing", raw(fin|opText, 1000, `{"type":`)),
		unanswering("half a frame's head", text("{}")[:1]),
		unanswering("a message that is not ended", raw(opText, 1, "{")),
	}
}

// answerPings does until over is closed, and something comes.
func (s *socket) answerPings(over chan struct{}) {
	for {
		op, payload, err := s.tryFrame()
		if err != nil {
			return
		}
		if op == opPing {
			s.send(raw(fin|opPong, len(payload), payload))
		}
		select {
		case <-over:
			return
		default:
		}
	}
}

// unreadCases ask for much and don't read it.
func unreadCases() []attack {
	return []attack{
		{name: "server-sent events that nobody reads", slow: true, run: func(a *attempt) {
			const subscribe = `{"key":%q,"frames":[{"type":"subscribe","id":1,"query":{"table":"clients","columns":["name"]}}]}`
			reading, key := a.events(a.tight, a.large("reading"))
			go func() { _, _ = io.Copy(io.Discard, reading.in) }()
			a.granted(a.tight, request{path: "/v1/send", body: fmt.Sprintf(subscribe, key)})
			s, key := a.events(a.tight, a.large("unreading"))
			a.granted(a.tight, request{path: "/v1/send", body: fmt.Sprintf(subscribe, key)})
			a.gone(a.tight, "unreading")
			a.denied(a.tight, request{path: "/v1/send", body: fmt.Sprintf(subscribe, key)}, http.StatusNotFound, "not-found")
			if n := a.connected(a.tight, "reading"); n != 1 {
				a.Errorf("who reads has %d connections", n)
			}
			_ = s.Close()
		}},
		{name: "a WebSocket that nobody reads", slow: true, run: func(a *attempt) {
			s := a.webSocket(a.tight, a.large("deaf"), "")
			s.send(text(`{"type":"subscribe","id":1,"query":{"table":"clients","columns":["name"]}}`))
			a.gone(a.tight, "deaf")
			a.refusals.Add(1)
			c := a.connect(a.tight, a.large("hearing"))
			c.open(1, `{"table":"clients","columns":["name"]}`, largeRows)
			_ = s.Close()
		}},
		{name: "an answer that nobody reads", slow: true, run: func(a *attempt) {
			s := a.socket(a.tight)
			body := `{"query":{"table":"clients","columns":["name"]}}`
			s.send(s.head("POST /v1/query") + "Authorization: Bearer " + a.large("asker") + "\r\nContent-Length: " + itoa(len(body)) + "\r\n\r\n" + body)
			writing := func() bool {
				got := a.operator(a.tight, request{method: "GET", path: "/debug/pprof/goroutine?debug=1"})
				return strings.Contains(got.body, "stream.writeRows")
			}
			a.until("the answer is being written", writing)
			a.untilEvery(time.Second/2, "nobody writes it any more", func() bool { return !writing() }) // to look stops the server
			a.refusals.Add(1)
			got := a.granted(a.tight, query(a.large("asker"), `{"table":"clients","columns":["name"]}`))
			if n := strings.Count(got.body, `{"id":`); n != largeRows { // to read it takes long
				a.Errorf("who reads it gets %d rows", n)
			}
			_ = s.Close()
		}},
	}
}

// floodCases send much.
func floodCases() []attack {
	return []attack{
		{name: "frames without end", slow: true, run: func(a *attempt) {
			const n = framesBurst + 250
			s := a.webSocket(a.tight, a.guest(a.tight, "flooder"), "")
			begun := time.Now()
			go func() {
				for id := 1; id <= n; id++ {
					s.send(text(fmt.Sprintf(`{"type":"ping","id":%d}`, id)))
				}
			}()
			for id := 1; id <= n; {
				op, payload := s.frame()
				if op == opPing {
					continue // its answer would wait behind the flood
				}
				if want := fmt.Sprintf(`{"type":"pong","id":%d}`, id); payload != want {
					a.Fatalf("want %s, got %s", want, payload)
				}
				id++
				if id == framesBurst { // somebody else is served meanwhile
					a.connect(a.tight, a.guest(a.tight, "other")).pong(1)
				}
			}
			if took := time.Since(begun); took < 2*time.Second { // 2.5 s at 100 a second
				a.Errorf("%d frames were read in %s", n, took)
			}
			a.refusals.Add(1) // late is how
			if got := a.operator(a.tight, request{method: "GET", path: "/metrics"}); strings.Contains(got.body, "\nwalwire_frames_throttled_total 0\n") || !strings.Contains(got.body, "\nwalwire_frames_throttled_total ") {
				a.Error("the metrics don't show it")
			}
		}},
		{name: "a storm of subscribe and unsubscribe", slow: true, run: func(a *attempt) {
			a.tight.exec(a, `INSERT INTO companies (id, name) VALUES ($1, 'stormy')`, a.company)
			a.tight.exec(a, `INSERT INTO clients (company_id, name) VALUES ($1, 'one')`, a.company)
			const n = 100
			c := a.connect(a.tight, a.guest(a.tight, "stormy"))
			go func() {
				for id := 1; id <= n; id++ {
					_ = c.TrySend(fmt.Appendf(nil, `{"type":"subscribe","id":%d,"query":{"table":"clients","where":[["name","!=","%d"]]}}`, id, id))
					_ = c.TrySend(fmt.Appendf(nil, `{"type":"unsubscribe","id":%d}`, id))
				}
			}()
			for id := 1; id <= n; id++ {
				c.Replica.Open(id)
			}
			for ended := 0; ended < n; {
				switch f := c.answer(); f.Type {
				case "unsubscribed":
					ended++
					if f.ID != ended {
						a.Fatalf("after %d: %s", ended, f)
					}
					c.Forget(f.ID)
				case "error":
					a.Fatalf("refused: %s", f)
				}
			}
			a.refusals.Add(1) // late is how: see above
			c.open(1, `{"table":"clients"}`, 1)
		}},
		{name: "a flood of WebSocket pings", run: func(a *attempt) {
			const n = 20_000
			s := a.webSocket(a.wide, a.wide.owner(), "")
			go s.send(strings.Repeat(raw(fin|opPing, 100, strings.Repeat("x", 100)), n-1) + raw(fin|opPing, 100, strings.Repeat("y", 100)))
			pongs := 0
			for last := false; !last; pongs++ { // of pings that wait for a frame, the last is answered (RFC 6455, 5.5.3)
				op, payload := s.frame()
				if op != opPong || len(payload) != 100 {
					a.Fatalf("frame %x %q", op, payload)
				}
				last = payload[0] == 'y'
			}
			if pongs < n/2 || pongs > n {
				a.Errorf("%d pongs for %d pings", pongs, n)
			}
			s.pong("1")
			s.send(raw(fin|opPing, 126, strings.Repeat("x", 126)))
			s.closed(1002)
		}},
		{name: "empty continuation frames without end", run: func(a *attempt) {
			s := a.webSocket(a.wide, a.wide.owner(), "")
			s.send(raw(opText, 0, "") + strings.Repeat(raw(opContinuation, 0, ""), 100_000) + raw(fin|opContinuation, 22, `{"type":"ping","id":1}`))
			if _, payload := s.frame(); !strings.Contains(payload, `"pong"`) {
				a.Errorf("got %s", payload)
			}
			a.served.Add(1)
			s.send(raw(opText, 0, "") + text("{}"))
			s.closed(1002)
		}},
		{name: "waits beyond the limit", slow: true, run: func(a *attempt) {
			const most = 100
			c := a.connect(a.wide, a.wide.owner())
			for id := 1; id <= most; id++ {
				c.Send(`{"type":"wait","id":%d,"lsn":"FFFFFFFF/FFFFFFFF","timeout_ms":10000}`, id) // all are sent before one ends
			}
			c.refuse(fmt.Sprintf(`{"type":"wait","id":%d,"lsn":"0/1"}`, most+1), most+1, "resource-exhausted", "100 waits")
			for range most {
				if f := c.answer(); f.Type != "error" || f.Code != "deadline-exceeded" {
					a.Fatalf("got %s", f)
				}
			}
			c.Send(`{"type":"wait","id":%d,"lsn":"0/1"}`, 1)
			if f := c.answer(); f.Type != "waited" {
				a.Errorf("got %s", f)
			}
			a.served.Add(1)
		}},
		{name: "waits by HTTP", run: func(a *attempt) {
			var all sync.WaitGroup
			for range 100 {
				all.Go(func() {
					got, err := a.tryAsk(a.wide.URL(), request{path: "/v1/wait", token: a.wide.owner(), body: `{"lsn":"FFFFFFFF/0","timeout_ms":500}`})
					if err != nil || got.status != http.StatusGatewayTimeout || got.Code != "deadline-exceeded" {
						a.Errorf("HTTP %d %s: %v", got.status, got.body, err)
					}
				})
			}
			a.granted(a.wide, request{path: "/v1/wait", token: a.wide.owner(), body: `{"lsn":"0/1"}`})
			all.Wait()
			a.refusals.Add(1)
		}},
		{name: "connections that are dropped at once", run: func(a *attempt) {
			for n := range 45 { // fewer than a user may have: each counts until the server has seen its end
				s := a.socket(a.wide)
				s.send(s.head("GET /v1/stream") + upgrade + "Authorization: Bearer " + a.wide.token("dropper", "owner") + "\r\n\r\n" +
					text(`{"type":"subscribe","id":1,"query":{"table":"appointments"}}`))
				if n%3 == 0 {
					_ = s.Conn.(*net.TCPConn).SetLinger(0) // a reset
				}
				if n%2 == 0 {
					s.response()
				}
				_ = s.Close()
			}
			a.gone(a.wide, "dropper")
			a.refusals.Add(1)
			a.connect(a.wide, a.wide.token("dropper", "owner")).open(1, `{"table":"appointments"}`, 4)
		}},
	}
}

// limitCases have more connections than they may.
func limitCases() []attack {
	// limited checks a refusal by a limit, each way.
	limited := func(a *attempt, token, limit string) {
		a.Helper()
		_, got := a.tryEvents(a.tight, token)
		a.mustDeny(got, http.StatusTooManyRequests, "resource-exhausted", limit)
		if got.header.Get("Retry-After") == "" {
			a.Error("no Retry-After")
		}
		got = a.denied(a.tight, request{path: "/v1/poll", token: token, body: `{}`}, http.StatusTooManyRequests, "resource-exhausted", limit)
		if got.header.Get("Retry-After") == "" {
			a.Error("no Retry-After")
		}
	}
	elsewhere := func(a *attempt, n int) string {
		return a.tight.token("guest", "owner", apptest.Claims{"company_id": fmt.Sprintf("00000000-0000-0000-%04d-%s", n, a.company[24:])})
	}
	again := func(a *attempt, token string) {
		a.Helper()
		a.until("a place is free again", func() bool {
			s, got := a.tryEvents(a.tight, token)
			_ = s.Close()
			return got.status == http.StatusOK
		})
		a.served.Add(1)
	}
	return []attack{
		{name: "a storm of attempts", run: func(a *attempt) {
			r := request{method: "GET", path: "/v1/sse", token: "none"}
			refused := func() bool {
				got := a.ask(a.tight, r)
				if got.status == http.StatusTooManyRequests {
					a.mustDeny(got, http.StatusTooManyRequests, "resource-exhausted", "limits.connection_attempts_per_second")
					if got.header.Get("Retry-After") != "1" {
						a.Errorf("Retry-After %q", got.header.Get("Retry-After"))
					}
					return true
				}
				a.mustDeny(got, http.StatusUnauthorized, "unauthenticated")
				return false
			}
			n := 0
			a.untilEvery(0, "an attempt is refused", func() bool {
				if refused() {
					return true
				}
				n++
				return false
			})
			if n < attemptsBurst {
				a.Errorf("refused after %d attempts", n)
			}
			a.served.Add(1) // the burst
			for _, r := range endpoints(a) {
				if r.path == "/v1/send" || r.path == "/v1/stream" { // the first connects to nothing
					continue
				}
				r.token = a.guest(a.tight, "guest")
				var got answer
				a.untilEvery(0, r.path+" is refused", func() bool {
					if !refused() { // takes what has come back; more may come before what follows
						return false
					}
					got = a.ask(a.tight, r)
					return got.status == http.StatusTooManyRequests
				})
				a.mustDeny(got, http.StatusTooManyRequests, "resource-exhausted", "limits.connection_attempts_per_second")
			}
			a.address = "203.0.200.200" // another one is served
			a.granted(a.tight, query(a.guest(a.tight, "guest"), `{"table":"appointments"}`))
		}},
		{name: "too many of one address", run: func(a *attempt) {
			var all []*socket
			for n := range perAddress {
				s, _ := a.events(a.tight, elsewhere(a, n))
				all = append(all, s)
			}
			limited(a, elsewhere(a, 100), "limits.connections_per_address")
			s := a.socket(a.tight)
			s.send(s.head("GET /v1/stream") + upgrade + "\r\n")
			a.mustDeny(s.response(), http.StatusTooManyRequests, "resource-exhausted", "limits.connections_per_address")
			s = a.socket(a.tight) // and with an address that it only claims to come from
			s.send("GET /v1/stream HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 198.51.100.77, " + a.address + "\r\n" + upgrade + "\r\n")
			a.mustDeny(s.response(), http.StatusTooManyRequests, "resource-exhausted", "limits.connections_per_address")
			own := a.address
			a.address = "203.0.200.201"
			a.events(a.tight, elsewhere(a, 101))
			a.address = own
			_ = all[0].Close()
			again(a, elsewhere(a, 102))
		}},
		{name: "too many of one user", run: func(a *attempt) {
			var all []*socket
			token := a.guest(a.tight, "many")
			for range perUser {
				s, _ := a.events(a.tight, token)
				all = append(all, s)
			}
			limited(a, token, "limits.connections_per_user")
			c := a.dial(a.tight)
			f := c.refuse(`{"type":"auth","token":`+quote(token)+`}`, 0, "resource-exhausted", "limits.connections_per_user")
			if !strings.Contains(string(f.Raw), `"retry_ms":`) {
				a.Errorf("no retry_ms: %s", f)
			}
			c.closed(4003)
			a.events(a.tight, a.guest(a.tight, "another"))
			_ = all[0].Close()
			again(a, token)
		}},
		{name: "too many of one company", run: func(a *attempt) {
			var all []*socket
			for n := range perCompany {
				s, _ := a.events(a.tight, a.guest(a.tight, itoa(n)))
				all = append(all, s)
			}
			limited(a, a.guest(a.tight, "one more"), "limits.connections_per_company")
			c := a.dial(a.tight)
			c.refuse(`{"type":"auth","token":`+quote(a.guest(a.tight, "one more"))+`}`, 0, "resource-exhausted", "limits.connections_per_company")
			c.closed(4003)
			a.events(a.tight, elsewhere(a, 1))
			_ = all[0].Close()
			again(a, a.guest(a.tight, "one more"))
		}},
	}
}
