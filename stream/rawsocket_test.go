package stream_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/walwire/walwire/internal/apptest"
)

// rawSocket is a WebSocket whose every octet is the test's.
type rawSocket struct {
	tb   testing.TB
	conn net.Conn
	in   *bufio.Reader
}

// dialRaw upgrades a connection with a token; early follows the request at once.
func dialRaw(s *apptest.Server, token string, early []byte) *rawSocket {
	s.TB.Helper()
	host, _, _ := strings.Cut(strings.TrimPrefix(s.WS(), "ws://"), "/")
	conn, err := net.Dial("tcp", host)
	if err != nil {
		s.TB.Fatal(err)
	}
	s.TB.Cleanup(func() { _ = conn.Close() })
	r := &rawSocket{tb: s.TB, conn: conn, in: bufio.NewReader(conn)}
	r.write(append([]byte("GET /v1/stream HTTP/1.1\r\nHost: "+host+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nAuthorization: Bearer "+token+"\r\n\r\n"), early...))
	answer, err := http.ReadResponse(r.in, nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		s.TB.Fatalf("upgrade: %v, %v", answer, err)
	}
	return r
}

func (r *rawSocket) write(b []byte) {
	r.tb.Helper()
	if _, err := r.conn.Write(b); err != nil {
		r.tb.Fatal(err)
	}
}

// read gives the server's next frame.
func (r *rawSocket) read() (opcode byte, payload string) {
	r.tb.Helper()
	_ = r.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	head := make([]byte, 2)
	_, err := io.ReadFull(r.in, head)
	length := int(head[1])
	if length == 126 {
		var long [2]byte
		_, err = io.ReadFull(r.in, long[:])
		length = int(long[0])<<8 | int(long[1])
	}
	body := make([]byte, length)
	if err == nil {
		_, err = io.ReadFull(r.in, body)
	}
	if err != nil {
		r.tb.Fatalf("read a frame: %v", err)
	}
	return head[0] & 0xF, string(body)
}

// masked is a client's frame of less than 64 KiB.
func masked(opcode byte, payload string) []byte {
	mask := [4]byte{1, 2, 3, 4}
	frame := []byte{0x80 | opcode, 0x80 | byte(len(payload))}
	if len(payload) > 125 {
		frame = []byte{0x80 | opcode, 0x80 | 126, byte(len(payload) >> 8), byte(len(payload))}
	}
	frame = append(frame, mask[:]...)
	for i := range len(payload) {
		frame = append(frame, payload[i]^mask[i%4])
	}
	return frame
}

const (
	text = 0x1
	ping = 0x9
	pong = 0xA
)

func subscribeTo(query string) string {
	return fmt.Sprintf(`{"type":"subscribe","id":1,"query":%s}`, query)
}

// What a client sends with its upgrade request is read, though it ought to wait.
func TestEarlyFrames(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	s.Exec(seed)
	insert(s, 1, companyA, ann, cat, "confirmed")
	long := subscribeTo(`{"table":"appointments","where":[["notes","!=","` + strings.Repeat("x", 900) + `"]]}`)
	for name, early := range map[string][]byte{
		"Whole": masked(text, subscribeTo(confirmed)), "Long": masked(text, long),
		"AfterPing": append(masked(ping, ""), masked(text, subscribeTo(confirmed))...),
	} {
		t.Run(name, func(t *testing.T) {
			r := dialRaw(s, s.Owner(companyA), early)
			for {
				if opcode, frame := r.read(); opcode == text && strings.Contains(frame, `"snapshot"`) {
					return
				}
			}
		})
	}
}

// Pings are answered with what they carry, and what stands behind them is read.
func TestPings(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	s.Exec(seed)
	r := dialRaw(s, s.Owner(companyA), nil)
	if _, frame := r.read(); !strings.Contains(frame, "welcome") {
		t.Fatalf("first comes %s", frame)
	}
	want := func(opcode byte, contains string) {
		t.Helper()
		if got, payload := r.read(); got != opcode || !strings.Contains(payload, contains) {
			t.Fatalf("got frame %x %q, want %x with %q", got, payload, opcode, contains)
		}
	}
	for _, payload := range []string{"", "one", strings.Repeat("p", 125)} {
		r.write(masked(ping, payload))
		want(pong, payload)
	}
	r.write(masked(pong, "unasked"))
	r.write(append(masked(pong, ""), masked(text, `{"type":"ping","id":7}`)...))
	want(text, `"id":7`)
	r.write([]byte{0x89, 0x00}) // not masked: the library's to refuse, which ends the connection
	if _, err := io.ReadAll(r.in); err != nil {
		t.Error(err)
	}
}

// More clients than there are writers ping without reading what they are told, until
// not even the answers go out: others get every commit at once.
func TestPingsUnread(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	h := startHonest(s)
	for range 2*runtime.GOMAXPROCS(0) + 2 {
		r := dialRaw(s, s.Owner(companyB), nil)
		r.write(masked(text, subscribeTo(confirmed)))
		flood := bytes.Repeat(masked(ping, strings.Repeat("p", 125)), 500)
		for { // until the server, which can't answer any more, reads no more
			_ = r.conn.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
			if _, err := r.conn.Write(flood); err != nil {
				break
			}
		}
	}
	for range 20 {
		h.step(t)
	}
	h.mustBeExact(t)
}
