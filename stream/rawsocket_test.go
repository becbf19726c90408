package stream_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/mapping"
)

// rawSocket is a WebSocket whose every octet is the test's.
type rawSocket struct {
	tb   testing.TB
	conn net.Conn
	in   *bufio.Reader
}

// dialRaw upgrades a connection, with a token unless that is "". early follows the request at once.
func dialRaw(s *apptest.Server, token string, early []byte) *rawSocket {
	s.TB.Helper()
	host, _, _ := strings.Cut(strings.TrimPrefix(s.WS(), "ws://"), "/")
	conn, err := net.Dial("tcp", host)
	if err != nil {
		s.TB.Fatal(err)
	}
	s.TB.Cleanup(func() { _ = conn.Close() })
	r := &rawSocket{tb: s.TB, conn: conn, in: bufio.NewReader(conn)}
	head := "GET /v1/stream HTTP/1.1\r\nHost: " + host + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	if token != "" {
		head += "Authorization: Bearer " + token + "\r\n"
	}
	r.write(append([]byte(head+"\r\n"), early...))
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
	text  = 0x1
	final = 0x8 // close
	ping  = 0x9
	pong  = 0xA
)

// readTo skips frames before the next with an opcode.
func (r *rawSocket) readTo(opcode byte) {
	r.tb.Helper()
	for {
		if got, _ := r.read(); got == opcode {
			return
		}
	}
}

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

// What is to be said while a writer is busy with the session is said next, though nothing
// comes after it that would call for a writer.
func TestAnsweredWhileWriting(t *testing.T) {
	s := apptest.Start(t, apptest.Options{Edit: func(c *mapping.Config) { c.Limits.FramesPerSecond, c.Limits.FramesBurst = 100_000, 100_000 }})
	r := dialRaw(s, s.Owner(companyA), nil)
	for range 200 {
		r.write(bytes.Repeat(masked(text, `{"type":"ping","id":7}`), 20))
		for answers := 0; answers < 20; {
			if _, frame := r.read(); strings.Contains(frame, "pong") {
				answers++
			}
		}
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

// Who begins a message and never ends it is let go of, refused or not, and holds up no stop; nor
// does who does not read.
func TestUnfinished(t *testing.T) {
	s := apptest.Start(t, apptest.Options{Edit: func(c *mapping.Config) {
		c.Drain = mapping.Drain{Time: time.Second, Spread: time.Second}
	}})
	s.Exec(seed)
	for n := range 20 {
		insert(s, n, companyA, ann, cat, "confirmed")
	}
	s.Exec(`UPDATE appointments SET notes = repeat('x', 1 << 20)`)
	half := masked(text, strings.Repeat("x", 4096))[:maskedHead]
	refused := dialRaw(s, "", nil)
	refused.write(masked(text, "no token"))
	refused.readTo(final)
	refused.write(half)
	if _, err := io.ReadAll(refused.in); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after a refusal: %v", err)
	}

	again := dialRaw(s, "", nil)
	again.write(masked(text, "no token"))
	again.readTo(final)
	again.write(half)
	dialRaw(s, "", half)
	client := dialRaw(s, s.Owner(companyA), nil)
	client.readTo(text)
	client.write(half)
	unreadEvents(s, subscribeTo(`{"table":"appointments"}`))
	stopped := make(chan struct{})
	go func() {
		s.Stop()
		close(stopped)
	}()
	select {
	case <-stopped:
	case <-time.After(30 * time.Second):
		t.Fatal("the server does not stop")
	}
}

// unreadEvents sends a frame on a stream of server-sent events, of which it reads no more than
// the beginning of the answer.
func unreadEvents(s *apptest.Server, frame string) {
	s.TB.Helper()
	request, err := http.NewRequest(http.MethodGet, s.URL()+"/v1/sse", nil)
	if err != nil {
		s.TB.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+s.Owner(companyA))
	answer, err := new(http.Transport).RoundTrip(request)
	if err != nil {
		s.TB.Fatal(err)
	}
	s.TB.Cleanup(func() { _ = answer.Body.Close() })
	in := bufio.NewReader(answer.Body)
	welcome, err := in.ReadString('\n')
	_, key, ok := strings.Cut(welcome, `"key":"`)
	if err != nil || !ok {
		s.TB.Fatalf("got %s, %v", welcome, err)
	}
	key, _, _ = strings.Cut(key, `"`)
	sent, err := http.Post(s.URL()+"/v1/send", "application/json", strings.NewReader(fmt.Sprintf(`{"key":%q,"frames":[%s]}`, key, frame)))
	if err != nil || sent.StatusCode != http.StatusOK {
		s.TB.Fatalf("send: %v, %v", sent, err)
	}
	_ = sent.Body.Close()
	if begin, err := in.Peek(100); err != nil || !strings.Contains(string(begin), `"type":"data"`) {
		s.TB.Fatalf("got %s, %v", begin, err)
	}
}

const maskedHead = 8 // of a client's frame of 126 octets and more, with its mask
