package hostile_test

import (
	"net"
	"net/http"
	"strings"
)

// frameCases break WebSocket's own rules, or the protocol's about frames.
func frameCases() []attack {
	// ends sends what ends the connection with a code; 0 is a hang-up. Before it the
	// connection serves.
	ends := func(name string, code int, frames ...string) attack {
		return attack{name: name, run: func(a *attempt) {
			for _, frame := range frames {
				s := a.webSocket(a.wide, a.wide.token("breaker", "owner"), "")
				s.pong("1")
				s.send(frame)
				s.closed(code)
			}
			a.gone(a.wide, "breaker")
		}}
	}
	// first is a first frame that is refused.
	first := func(name, code string, closed int, frame string) attack {
		return attack{name: "first frame " + name, run: func(a *attempt) {
			begin := func() *socket {
				s := a.socket(a.wide)
				s.send(s.head("GET /v1/stream") + upgrade + "\r\n")
				if got := s.response(); got.status != http.StatusSwitchingProtocols {
					a.Fatalf("HTTP %d", got.status)
				}
				return s
			}
			s := begin()
			s.send(frame)
			if _, payload := s.frame(); !strings.Contains(payload, `"`+code+`"`) {
				a.Errorf("got %s", payload)
			}
			s.closed(closed)
			s = begin()
			s.send(text(`{"type":"auth","token":"` + a.wide.owner() + `"}`))
			if _, payload := s.frame(); !strings.Contains(payload, `"welcome"`) {
				a.Errorf("got %s", payload)
			}
			a.served.Add(1)
		}}
	}
	// gone has the client go in the middle of something.
	gone := func(name string, reset bool, frame string) attack {
		return attack{name: name, run: func(a *attempt) {
			s := a.webSocket(a.wide, a.wide.token("goer", "owner"), "")
			s.send(frame)
			if reset {
				_ = s.Conn.(*net.TCPConn).SetLinger(0)
			}
			_ = s.Close()
			a.gone(a.wide, "goer")
			a.refusals.Add(1)
			a.webSocket(a.wide, a.wide.token("goer", "owner"), "").pong("1")
		}}
	}
	ping := `{"type":"ping","id":2}`
	unmasked := string([]byte{fin | opText, byte(len(ping))}) + ping
	var opcodes []string
	for _, op := range []byte{3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf} {
		opcodes = append(opcodes, raw(fin|op, len(ping), ping))
	}
	long := strings.Repeat("ж", 200)
	return []attack{
		ends("a frame that is not masked", 0, unmasked),
		ends("reserved opcodes", 1002, opcodes...),
		ends("reserved bits", 1002, raw(fin|0x40|opText, len(ping), ping), raw(fin|0x20|opText, len(ping), ping), raw(fin|0x10|opText, len(ping), ping), raw(fin|0x70|opPing, 0, "")),
		ends("control frames in parts", 1002, raw(opPing, 1, "x"), raw(opClose, 2, "\x03\xe8"), raw(opPong, 0, "")),
		ends("control frames that are long", 1002, raw(fin|opPing, 126, strings.Repeat("x", 126)), raw(fin|opPong, 70_000, strings.Repeat("x", 70_000))),
		ends("a continuation of nothing", 1002, raw(fin|opContinuation, len(ping), ping), raw(opContinuation, 0, "")),
		ends("a message within a message", 1002, raw(opText, 1, "{")+text(ping), raw(opText, 1, "{")+raw(fin|opBinary, 1, "{")),
		ends("a length of 2^63", 0, string([]byte{fin | opText, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})),
		ends("a close of one octet", 1002, raw(fin|opClose, 1, "\x03")),
		ends("a close with a code that is none", 1002, raw(fin|opClose, 2, "\x03\xed"), raw(fin|opClose, 2, "\x00\x00"), raw(fin|opClose, 2, "\x03\xee")),
		ends("a close as it should be", 1000, raw(fin|opClose, 2, "\x03\xe8")),
		{name: "a binary message", run: func(a *attempt) {
			c := a.connect(a.wide, a.wide.owner())
			c.SendBinary([]byte(ping))
			c.refused(0, "invalid-argument", "binary")
			c.pong(3)
		}},
		{name: "text that is no UTF-8", run: func(a *attempt) {
			c := a.connect(a.wide, a.wide.owner())
			for _, bad := range []string{"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82"} {
				c.refuse(`{"type":"ping`+bad+`"}`, 0, "invalid-argument", "UTF-8")
			}
			c.pong(3)
		}},
		{name: "a frame cut by the client's close", run: func(a *attempt) {
			s := a.webSocket(a.wide, a.wide.token("cutter", "owner"), "")
			s.pong("1")
			s.send(raw(opText, 1, "{") + raw(fin|opClose, 2, "\x03\xe8"))
			s.closed(1000)
			a.gone(a.wide, "cutter")
		}},
		gone("closed in the middle of a frame", false, raw(fin|opText, 1000, `{"type":`)),
		gone("reset in the middle of a frame", true, raw(fin|opText, 1000, `{"type":`)),
		gone("reset in the middle of a frame's head", true, text(ping)[:1]),
		gone("reset after a subscribe", true, text(`{"type":"subscribe","id":1,"query":{"table":"appointments"}}`)),
		gone("closed after a hundred waits", false, strings.Repeat(text(`{"type":"wait","id":1,"lsn":"FFFFFFFF/0","timeout_ms":30000}`), 100)),
		first("another", "unauthenticated", 4500, text(`{"type":"subscribe","id":1,"query":{"table":"appointments"}}`)),
		first("a ping", "unauthenticated", 4500, text(ping)),
		first("without a token", "unauthenticated", 4500, text(`{"type":"auth"}`)),
		first("that is no JSON", "invalid-argument", 4500, text("hello")),
		first("that is empty", "invalid-argument", 4500, text("")),
		first("that is a list", "invalid-argument", 4500, text(`[{"type":"auth"}]`)),
		first("in binary", "invalid-argument", 4500, raw(fin|opBinary, len(ping), ping)),
		first("that is no UTF-8", "invalid-argument", 4500, text("{\"type\":\"\xff\"}")),
		first("with a long foreign member", "invalid-argument", 4500, text(`{"type":"auth","`+long+`":1}`)),
		first("with a longer foreign member", "invalid-argument", 4500, text(`{"type":"auth","x`+long+`":1}`)),
		{name: "frames that come with the upgrade", run: func(a *attempt) {
			s := a.socket(a.wide)
			s.send(s.head("GET /v1/stream") + upgrade + "\r\n" + text(`{"type":"auth","token":"`+a.wide.owner()+`"}`) + text(ping))
			if got := s.response(); got.status != http.StatusSwitchingProtocols {
				a.Fatalf("HTTP %d", got.status)
			}
			for _, want := range []string{`"welcome"`, `"pong"`} {
				if _, payload := s.frame(); !strings.Contains(payload, want) {
					a.Errorf("want %s, got %s", want, payload)
				}
			}
			a.served.Add(1)
			s.send(raw(fin|3, 0, ""))
			s.closed(1002)
		}},
	}
}
