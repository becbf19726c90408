package stream_test

import (
	"bytes"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/walwire/walwire/internal/apptest"
)

// More clients than there are writers ping without reading what they are told, until
// not even the answers go out: others get every commit at once.
func TestPingsUnread(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	h := startHonest(s)
	token := s.Owner(companyB)
	for range 2*runtime.GOMAXPROCS(0) + 2 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(strings.TrimSuffix(s.WS(), "/v1/stream"), "ws://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(4 << 10)
		}
		out := []byte("GET /v1/stream HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
			"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nAuthorization: Bearer " + token + "\r\n\r\n")
		if _, err := conn.Write(out); err != nil {
			t.Fatal(err)
		}
		subscribe := `{"type":"subscribe","id":1,"query":` + confirmed + `}`
		frame := append([]byte{0x81, 0x80 | 126, byte(len(subscribe) >> 8), byte(len(subscribe)), 0, 0, 0, 0}, subscribe...)
		if len(subscribe) < 126 {
			frame = append([]byte{0x81, 0x80 | byte(len(subscribe)), 0, 0, 0, 0}, subscribe...)
		}
		if _, err := conn.Write(frame); err != nil {
			t.Fatal(err)
		}
		ping := append([]byte{0x89, 0x80 | 125, 0, 0, 0, 0}, bytes.Repeat([]byte("p"), 125)...)
		flood := bytes.Repeat(ping, 500)
		for { // until the server, which can't answer any more, reads no more
			_ = conn.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
			if _, err := conn.Write(flood); err != nil {
				break
			}
		}
	}
	for range 20 {
		h.step(t)
	}
	h.mustBeExact(t)
}
