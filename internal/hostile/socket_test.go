package hostile_test

import (
	"bufio"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"
)

// socket is a TCP connection to a server, for what no library would send.
type socket struct {
	net.Conn
	a  *attempt
	in *bufio.Reader
}

// socket connects to p. What takes longer than patience fails.
func (a *attempt) socket(p *place) *socket {
	a.Helper()
	return a.socketAt(p.URL())
}

func (a *attempt) socketAt(url string) *socket {
	a.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		a.Fatal(err)
	}
	a.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return &socket{conn, a, bufio.NewReader(conn)}
}

// send writes text; the server may have hung up already.
func (s *socket) send(text string) { _, _ = io.WriteString(s.Conn, text) }

// response reads the answer to a request and its body.
func (s *socket) response() answer {
	s.a.Helper()
	got, err := s.tryResponse()
	if err != nil {
		s.a.Fatalf("read the answer: %v", err)
	}
	return got
}

func (s *socket) tryResponse() (answer, error) {
	in, err := http.ReadResponse(s.in, nil)
	if err != nil {
		return answer{}, err
	}
	got := answer{status: in.StatusCode, header: in.Header}
	if in.StatusCode == http.StatusSwitchingProtocols {
		return got, nil
	}
	text, err := io.ReadAll(in.Body)
	got.body = string(text)
	_ = json.Unmarshal(text, &got) // of an error; else there is none
	return got, err
}

// cut reads until the server has hung up; what comes before is let go.
func (s *socket) cut() {
	s.a.Helper()
	if _, err := io.Copy(io.Discard, s.in); err != nil && !hungUp(err) {
		s.a.Fatalf("the connection was not ended: %v", err)
	}
	s.a.refusals.Add(1)
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

const upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"

// head is a request's first lines, up to and without the empty one.
func (s *socket) head(line string) string {
	return line + " HTTP/1.1\r\nHost: " + s.RemoteAddr().String() + "\r\nX-Forwarded-For: " + s.a.address + "\r\n"
}

// The opcodes of WebSocket frames.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xa
	fin            = 0x80
)

// events opens server-sent events and gives the key that their welcome brings.
func (a *attempt) events(p *place, token string) (s *socket, key string) {
	a.Helper()
	s, got := a.tryEvents(p, token)
	if got.status != http.StatusOK {
		a.Fatalf("server-sent events: HTTP %d %s", got.status, got.body)
	}
	line, err := s.in.ReadString('}')
	_, key, found := strings.Cut(line, `"key":"`)
	if err != nil || !found {
		a.Fatalf("want a welcome with a key, got %q: %v", line, err)
	}
	key, _, _ = strings.Cut(key, `"`)
	a.served.Add(1)
	return s, key
}

// tryEvents is events that may be refused.
func (a *attempt) tryEvents(p *place, token string) (*socket, answer) {
	a.Helper()
	s := a.socket(p)
	s.send(s.head("GET /v1/sse") + "Authorization: Bearer " + token + "\r\n\r\n")
	in, err := http.ReadResponse(s.in, nil)
	if err != nil {
		a.Fatal(err)
	}
	got := answer{status: in.StatusCode, header: in.Header}
	if in.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(in.Body)
		got.body = string(text)
		_ = json.Unmarshal(text, &got)
	}
	return s, got
}

// webSocket upgrades and lets the client in, with further header lines.
func (a *attempt) webSocket(p *place, token, header string) *socket {
	a.Helper()
	s := a.socket(p)
	s.send(s.head("GET /v1/stream") + upgrade + header + "Authorization: Bearer " + token + "\r\n\r\n")
	if got := s.response(); got.status != http.StatusSwitchingProtocols {
		a.Fatalf("upgrade: HTTP %d %s", got.status, got.body)
	}
	if op, text := s.frame(); op != opText || !strings.Contains(text, `"welcome"`) {
		a.Fatalf("want welcome, got %x %s", op, text)
	}
	return s
}

// raw makes a frame: its first octet, and a payload masked with zeros. The length is
// given as it is, whatever the payload has.
func raw(first byte, length int, payload string) string {
	out := []byte{first}
	switch {
	case length < 126:
		out = append(out, 0x80|byte(length))
	case length < 1<<16:
		out = binary.BigEndian.AppendUint16(append(out, 0x80|126), uint16(length))
	default:
		out = binary.BigEndian.AppendUint64(append(out, 0x80|127), uint64(length))
	}
	return string(append(out, 0, 0, 0, 0)) + payload
}

// text makes a text frame.
func text(payload string) string { return raw(fin|opText, len(payload), payload) }

// frame reads one frame of the server, which are short here or of 16 bits' length.
func (s *socket) frame() (op byte, payload string) {
	s.a.Helper()
	op, payload, err := s.tryFrame()
	if err != nil {
		s.a.Fatalf("read frame: %v", err)
	}
	return op, payload
}

func (s *socket) tryFrame() (op byte, payload string, err error) {
	var head [2]byte
	if _, err := io.ReadFull(s.in, head[:]); err != nil {
		return 0, "", err
	}
	length := uint64(head[1])
	switch length {
	case 126:
		var n [2]byte
		_, err = io.ReadFull(s.in, n[:])
		length = uint64(binary.BigEndian.Uint16(n[:]))
	case 127:
		var n [8]byte
		_, err = io.ReadFull(s.in, n[:])
		length = binary.BigEndian.Uint64(n[:])
	}
	if err != nil {
		return 0, "", err
	}
	body := make([]byte, length)
	_, err = io.ReadFull(s.in, body)
	return head[0] & 0x0f, string(body), err
}

// closed reads until the server closes and checks the code; 0 is none: it hangs up.
func (s *socket) closed(code int) {
	s.a.Helper()
	for {
		op, payload, err := s.tryFrame()
		got := 0
		switch {
		case err != nil && !hungUp(err):
			s.a.Fatalf("want the close %d, got %v", code, err)
		case err == nil && op != opClose:
			continue
		case err == nil && len(payload) >= 2:
			got = int(binary.BigEndian.Uint16([]byte(payload)))
			if !utf8.ValidString(payload[2:]) { // a client that checks takes it for a broken connection
				s.a.Errorf("the reason of the close is no UTF-8: %q", payload[2:])
			}
		}
		if got != code {
			s.a.Fatalf("closed with %d %q, want %d", got, payload, code)
		}
		s.a.refusals.Add(1)
		return
	}
}

// pong makes sure that the connection goes on.
func (s *socket) pong(id string) {
	s.a.Helper()
	s.send(text(`{"type":"ping","id":` + id + `}`))
	for {
		op, payload := s.frame()
		if op == opText && strings.Contains(payload, `"pong"`) && strings.Contains(payload, `"id":`+id+`}`) {
			s.a.served.Add(1)
			return
		}
		if op == opClose {
			s.a.Fatalf("closed: %q", payload)
		}
	}
}

func base64URL(text []byte) string { return base64.RawURLEncoding.EncodeToString(text) }
