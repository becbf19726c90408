package hostile_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"strings"
)

// frameBytes is limits.frame_bytes, which no server here changes.
const frameBytes = 64 << 10

func sizeCases() []attack {
	cases := append(frameSizeCases(), querySizeCases()...)
	cases = append(cases, numberCases()...)
	return append(cases, bodyCases()...)
}

// padded is a frame of so many octets.
func padded(frame string, size int) string {
	return strings.TrimSuffix(frame, "}") + strings.Repeat(" ", size-len(frame)) + "}"
}

func frameSizeCases() []attack {
	return []attack{
		{name: "a frame one octet over the limit", run: func(a *attempt) {
			c := a.connect(a.wide, a.wide.owner())
			_ = c.TrySend([]byte(padded(`{"type":"ping","id":1}`, frameBytes+1))) // the server need not read it all
			c.closed(1009)
			c = a.connect(a.wide, a.wide.owner())
			c.Send("%s", padded(`{"type":"ping","id":1}`, frameBytes))
			if f := c.answer(); f.Type != "pong" {
				a.Errorf("got %s", f)
			}
			a.served.Add(1)
		}},
		{name: "a first frame over the limit", run: func(a *attempt) {
			c := a.dial(a.wide)
			_ = c.TrySend([]byte(`{"type":"auth","token":"` + strings.Repeat("x", 1<<20) + `"}`))
			c.closed(1009)
			a.connect(a.wide, a.wide.owner()).pong(1)
		}},
		{name: "a frame that says it has 2^62 octets", run: func(a *attempt) {
			s := a.webSocket(a.wide, a.wide.owner(), "")
			s.send(raw(fin|opText, 1<<62, strings.Repeat("x", 1<<17)))
			s.closed(1009)
			a.webSocket(a.wide, a.wide.owner(), "").pong("1")
		}},
		{name: "continuation frames without end", run: func(a *attempt) {
			s := a.webSocket(a.wide, a.wide.owner(), "")
			s.send(raw(opText, 1, "{"))
			go s.endlessly(raw(opContinuation, 1000, strings.Repeat(" ", 1000)))
			s.closed(1009)
			s = a.webSocket(a.wide, a.wide.owner(), "")
			s.send(raw(opText, 8, `{"type":`) + raw(opContinuation, 0, "") + raw(opContinuation, 6, `"ping"`) + raw(fin|opContinuation, 8, `,"id":1}`))
			if _, payload := s.frame(); !strings.Contains(payload, "pong") {
				a.Errorf("got %s", payload)
			}
			a.served.Add(1)
		}},
		{name: "a compression bomb", run: func(a *attempt) {
			s := a.socket(a.wide)
			offer := "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-webkit-deflate-frame\r\n"
			s.send(s.head("GET /v1/stream") + upgrade + offer + "Authorization: Bearer " + a.wide.owner() + "\r\n\r\n")
			if got := s.response(); got.status != http.StatusSwitchingProtocols || got.header.Get("Sec-WebSocket-Extensions") != "" {
				a.Fatalf("HTTP %d, extensions %q", got.status, got.header.Get("Sec-WebSocket-Extensions"))
			}
			s.send(raw(fin|0x40|opText, 100, strings.Repeat("\x00", 100)))
			s.closed(1002)
			a.webSocket(a.wide, a.wide.owner(), offer).pong("1") // served, uncompressed
		}},
		{name: "deeply nested JSON", run: func(a *attempt) {
			c := a.connect(a.wide, a.wide.owner())
			for _, frame := range []string{
				strings.Repeat("[", 60_000), strings.Repeat(`{"a":`, 12_000), `{"type":"ping","id":` + strings.Repeat("[", 30_000) + strings.Repeat("]", 30_000) + `}`,
			} {
				c.refuse(frame, 0, "invalid-argument")
			}
			c.open(2, `{"table":"clients","where":[["preferences","==",`+strings.Repeat("[", 2000)+strings.Repeat("]", 2000)+`]]}`, 0)
		}},
		{name: "a message of many members", run: func(a *attempt) {
			var members strings.Builder
			for n := range 5000 {
				fmt.Fprintf(&members, `,"m%d":0`, n)
			}
			c := a.connect(a.wide, a.wide.owner())
			c.refuse(`{"type":"ping","id":1`+members.String()+`}`, 0, "invalid-argument", "m0")
			c.pong(1)
		}},
	}
}

func repeated(n int, item string) string {
	return strings.TrimSuffix(strings.Repeat(item+",", n), ",")
}

func querySizeCases() []attack {
	// over is a query beyond a limit, with one that just reaches it.
	over := func(name, hostile, control string, rows int, code string, words ...string) attack {
		return attack{name: name, run: func(a *attempt) {
			c := a.connect(a.wide, a.wide.owner())
			c.refuse(`{"type":"subscribe","id":1,"query":`+hostile+`}`, 1, code, words...)
			c.open(1, control, rows)
		}}
	}
	at := func(rest string) string { return `{"table":"appointments","columns":[],` + rest + `}` }
	deep := func(n int) string {
		return at(`"where":[` + strings.Repeat(`{"not":`, n) + `["status","==","x"]` + strings.Repeat("}", n) + `]`)
	}
	in := func(n int) string { return at(`"where":[["price","in",[` + repeated(n, "1") + `]]]`) }
	wide := func(n int) string { return at(`"where":[` + repeated(n, `["price","!=",1]`) + `]`) }
	order := func(n int) string { return at(`"orderBy":[` + repeated(n, `"status"`) + `]`) }
	return []attack{
		over("a filter too deep", deep(10), deep(8), 0, "resource-exhausted", "10"),
		over("a filter of 2000 nots", deep(2000), deep(8), 0, "resource-exhausted", "10"),
		over("a list too long", in(101), in(100), 0, "resource-exhausted", "100"),
		over("20000 values", in(20_000), in(100), 0, "resource-exhausted", "100"),
		over("too many conditions", wide(201), wide(200), 4, "resource-exhausted", "200"),
		over("an order of 5000 columns", order(5000), order(1), 4, "invalid-argument", "already"),
		over("more rows than allowed", at(`"limit":1000001`), at(`"limit":1000000`), 4, "resource-exhausted", "limits.rows"),
		over("more values than the order has", at(`"orderBy":["id"],"startAt":[`+repeated(1000, `"`+appointment(1)+`"`)+`]`), at(`"orderBy":["id"],"startAt":["`+appointment(1)+`"]`), 4, "invalid-argument", "startAt"),
		over("a table's name of 60000 letters", `{"table":"`+strings.Repeat("a", 60_000)+`"}`, at(`"where":[]`), 4, "permission-denied"),
		{name: "100000 values", run: func(a *attempt) {
			c := a.connect(a.wide, a.wide.owner())
			_ = c.TrySend([]byte(`{"type":"subscribe","id":1,"query":` + in(100_000) + `}`))
			c.closed(1009)
			a.connect(a.wide, a.wide.owner()).open(1, in(100), 0)
		}},
		{name: "10000 times the same column", run: func(a *attempt) {
			c := a.connect(a.wide, a.wide.owner())
			q := c.open(1, `{"table":"appointments","columns":[`+repeated(5000, `"status"`)+`]}`, 4) // named often, shown once
			if len(q.Columns) != 2 {
				a.Errorf("columns %v", q.Columns)
			}
			c.refuse(`{"type":"subscribe","id":2,"query":{"table":"appointments","columns":[`+repeated(5000, `"none"`)+`]}}`, 2, "permission-denied", "none")
		}},
		{name: "more subscriptions than allowed", run: func(a *attempt) {
			c := a.connect(a.wide, a.wide.owner())
			for id := 1; id <= 100; id++ {
				c.open(id, `{"table":"appointments","columns":[]}`, 4)
			}
			c.refuse(`{"type":"subscribe","id":101,"query":{"table":"appointments"}}`, 101, "resource-exhausted", "limits.subscriptions")
			c.close(1)
			c.open(101, `{"table":"appointments","columns":[]}`, 4)
		}},
		{name: "an id that is taken", run: func(a *attempt) {
			c := a.connect(a.wide, a.wide.owner())
			c.open(1, allAppointments, 4)
			c.refuse(`{"type":"subscribe","id":1,"query":`+allAppointments+`}`, 0, "invalid-argument", "already open")
			a.wide.exec(a, `UPDATE appointments SET notes = notes || '.' WHERE id = $1`, appointment(1))
			if f := c.answer(); len(f.Subscriptions) != 1 {
				a.Errorf("got %s", f)
			}
		}},
	}
}

// numberCases write numbers that no type of Go or PostgreSQL has.
func numberCases() []attack {
	with := func(name, frame string, id int, words ...string) attack {
		return attack{name: name, run: func(a *attempt) {
			c := a.connect(a.wide, a.wide.owner())
			c.refuse(frame, id, "invalid-argument", words...)
			c.open(1, `{"table":"appointments","columns":[],"where":[["price",">=",101]],"orderBy":["price"],"limit":2}`, 2)
		}}
	}
	price := func(operator, value string) string {
		return `{"type":"subscribe","id":1,"query":{"table":"appointments","columns":[],"where":[["price","` + operator + `",` + value + `]]}}`
	}
	digits := strings.Repeat("9", 60_000)
	cases := []attack{
		with("1e400 as an id", `{"type":"ping","id":1e400}`, 0, "id"),
		with("a fraction as an id", `{"type":"ping","id":1.5}`, 0, "id"),
		with("-1 as an id", `{"type":"subscribe","id":-1,"query":{"table":"appointments"}}`, 0, "id"),
		with("2^64 as an id", `{"type":"ping","id":18446744073709551616}`, 0, "id"),
		with("60000 digits as an id", `{"type":"ping","id":`+digits+`}`, 0, "id"),
		with("0 as an id", `{"type":"subscribe","id":0,"query":{"table":"appointments"}}`, 0, "id"),
		with("1e400 as a limit", `{"type":"subscribe","id":1,"query":{"table":"appointments","limit":1e400}}`, 1, "limit"),
		with("-1 as a limit", `{"type":"subscribe","id":1,"query":{"table":"appointments","limit":-1}}`, 1, "limit"),
		with("0 as a limit", `{"type":"subscribe","id":1,"query":{"table":"appointments","limit":0}}`, 1, "limit"),
		with("60000 digits as a limit", `{"type":"subscribe","id":1,"query":{"table":"appointments","limit":`+digits+`}}`, 1, "limit"),
		with("2^63 as a timeout", `{"type":"wait","id":1,"lsn":"0/1","timeout_ms":9223372036854775807}`, 1, "timeout_ms"),
		with("-1 as a timeout", `{"type":"wait","id":1,"lsn":"0/1","timeout_ms":-1}`, 1, "timeout_ms"),
		with("1e400 as a timeout", `{"type":"wait","id":1,"lsn":"0/1","timeout_ms":1e400}`, 0, "timeout_ms"),
		with("numbers that are none", price("==", `NaN`), 0),
		with("a hexadecimal number", price("==", `0x10`), 0),
		with("1e200000 as numeric", price("<", `1e200000`), 1, "price"),
		with("1e-20000 as numeric", price(">", `1e-20000`), 1, "price"),
		with("1e99999999999 as numeric", price("<", `1e99999999999`), 1, "price"),
	}
	for name, served := range map[string]struct {
		operator, value string
		rows            int
	}{
		"1e400": {"<", `1e400`, 4}, "1e-400": {">", `1e-400`, 4}, "-1e400": {"<", `-1e400`, 0}, "60000 digits": {"<", digits, 4},
		"-0": {"==", `-0`, 0}, "NaN as text": {"<", `"NaN"`, 4}, "Infinity as text": {">", `"Infinity"`, 0},
	} {
		cases = append(cases, attack{name: name + " as numeric", run: func(a *attempt) {
			c := a.connect(a.wide, a.wide.owner()) // a number of PostgreSQL's, and so served
			c.open(1, strings.TrimSuffix(strings.TrimPrefix(price(served.operator, served.value), `{"type":"subscribe","id":1,"query":`), "}"), served.rows)
			c.refuse(price(served.operator, `"`+strings.Trim(served.value, `"`)+`x"`), 0, "invalid-argument")
		}})
	}
	return cases
}

// bodyCases are about HTTP's sizes.
func bodyCases() []attack {
	posts := func(name string, header map[string]string, body func(good string) string, status int, code string, words ...string) attack {
		return attack{name: name, run: func(a *attempt) {
			for _, r := range []request{
				query(a.wide.owner(), `{"table":"appointments"}`), {path: "/v1/wait", token: a.wide.owner(), body: `{"lsn":"0/1"}`},
				{path: "/v1/poll", token: a.wide.owner(), body: `{}`}, {path: "/v1/send", body: `{"key":"x","frames":[]}`},
			} {
				bad := r
				bad.header, bad.body = header, body(r.body)
				a.denied(a.wide, bad, status, code, words...)
				if r.path != "/v1/send" {
					a.granted(a.wide, r)
				}
			}
		}}
	}
	bomb := func(string) string {
		var out bytes.Buffer
		z := gzip.NewWriter(&out)
		_, _ = z.Write(bytes.Repeat([]byte(" "), 10<<20)) // of memory
		_ = z.Close()
		return out.String()
	}
	headers := func(name string, lines string) attack {
		return attack{name: name, run: func(a *attempt) {
			s := a.socket(a.wide)
			go s.send(s.head("GET /healthz") + lines + "\r\n")
			got, err := s.tryResponse()
			if err != nil && !hungUp(err) {
				a.Fatal(err)
			}
			if err == nil && got.status != http.StatusRequestHeaderFieldsTooLarge {
				a.Fatalf("HTTP %d", got.status)
			}
			a.refusals.Add(1)
			s = a.socket(a.wide)
			s.send(s.head("GET /healthz") + lines[:strings.Index(lines, "\n")/100] + "\r\n\r\n")
			a.mustGrant(s.response())
		}}
	}
	return []attack{
		posts("a body over the limit", nil, func(good string) string { return padded(good, frameBytes+1) }, http.StatusTooManyRequests, "resource-exhausted", "limits.frame_bytes"),
		posts("a gzip bomb", map[string]string{"Content-Encoding": "gzip"}, bomb, http.StatusBadRequest, "invalid-argument", "UTF-8"),
		posts("a body of two values", nil, func(good string) string { return good + good }, http.StatusBadRequest, "invalid-argument", "more than one"),
		posts("a body that is a list", nil, func(good string) string { return "[" + good + "]" }, http.StatusBadRequest, "invalid-argument", "JSON"),
		posts("a body cut short", nil, func(good string) string { return good[:len(good)-1] }, http.StatusBadRequest, "invalid-argument", "JSON"),
		posts("a body in UTF-16", nil, func(good string) string { return "\xff\xfe" + strings.Join(strings.Split(good, ""), "\x00") }, http.StatusBadRequest, "invalid-argument", "UTF-8"),
		posts("a body with a byte order mark", nil, func(good string) string { return "\ufeff" + good }, http.StatusBadRequest, "invalid-argument"),
		{name: "a chunked body without end", run: func(a *attempt) {
			for _, path := range []string{"/v1/query", "/v1/wait", "/v1/poll", "/v1/send"} {
				s := a.socket(a.wide)
				s.send(s.head("POST "+path) + "Authorization: Bearer " + a.wide.owner() + "\r\nTransfer-Encoding: chunked\r\n\r\n")
				go s.endlessly("400\r\n" + strings.Repeat(" ", 0x400) + "\r\n")
				a.mustDeny(s.response(), http.StatusTooManyRequests, "resource-exhausted", "limits.frame_bytes")
				s.cut()
			}
			s := a.socket(a.wide)
			s.send(s.head("POST /v1/query") + "Authorization: Bearer " + a.wide.owner() + "\r\nTransfer-Encoding: chunked\r\n\r\n" +
				"1f\r\n{\"query\":{\"table\":\"appointments\r\n3\r\n\"}}\r\n0\r\n\r\n")
			a.mustGrant(s.response())
		}},
		{name: "a chunked body without end where none is read", run: func(a *attempt) {
			s := a.socket(a.wide)
			s.send(s.head("POST /v1/tickets") + "Transfer-Encoding: chunked\r\n\r\n")
			go s.endlessly("400\r\n" + strings.Repeat(" ", 0x400) + "\r\n")
			a.mustDeny(s.response(), http.StatusUnauthorized, "unauthenticated")
			s.cut()
			a.granted(a.wide, request{path: "/v1/tickets", token: a.wide.owner()})
		}},
		headers("a header of 2 MiB", "X-Long: "+strings.Repeat("a", 2<<20)+"\r\n"),
		headers("50000 headers", "X-Many: "+strings.Repeat("a", 1000)+"\r\n"+strings.Repeat("X-Many: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", 50_000)),
		headers("header lines without end", "X-Many: "+strings.Repeat("a", 1000)+"\r\n"+strings.Repeat("A:\r\n", 500_000)),
	}
}

// endlessly sends text again and again, until nobody takes it.
func (s *socket) endlessly(text string) {
	for {
		if _, err := s.Write([]byte(text)); err != nil {
			return
		}
	}
}
