package stream

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// webSocket carries frames over one WebSocket.
//
// It writes pings and pongs itself: the library gives a control frame five seconds, and
// then ends the connection, where all that a client has done is not to read for a while.
type webSocket struct {
	conn    *websocket.Conn
	raw     net.Conn // under conn
	timeout time.Duration
	heard   atomic.Int64 // when something last came, in Unix nanoseconds
	owed    atomic.Pointer[[]byte]

	mu   sync.Mutex  // held while something is written; protects following
	late *time.Timer // cuts off a client that does not take a frame in time; made with the first frame
}

// Opcodes of control frames, with the bit of a whole message.
const (
	frameWhole = 0x80
	opcodePing = 0x9
	opcodePong = 0xA
)

// acceptWebSocket answers the upgrade. It has answered where that fails.
func acceptWebSocket(w http.ResponseWriter, r *http.Request, timeout time.Duration) (*webSocket, error) {
	t := &webSocket{timeout: timeout}
	t.hear()
	hijacker := &hijacker{ResponseWriter: w}
	conn, err := websocket.Accept(hijacker, r, &websocket.AcceptOptions{
		Subprotocols:       []string{Subprotocol},
		InsecureSkipVerify: true, // package edge has looked at the origin, as for all requests
		CompressionMode:    websocket.CompressionDisabled,
		OnPingReceived: func(_ context.Context, payload []byte) bool {
			t.hear()
			t.owed.Store(new(append([]byte(nil), payload...)))
			t.settle()
			return false
		},
		OnPongReceived: func(context.Context, []byte) { t.hear() },
	})
	t.conn, t.raw = conn, hijacker.conn
	return t, err
}

// hijacker keeps the connection that a WebSocket is made of.
type hijacker struct {
	http.ResponseWriter
	conn net.Conn
}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	h.conn = conn
	return conn, rw, err
}

func (t *webSocket) hear() { t.heard.Store(time.Now().UnixNano()) }

// Send implements transport. The write has no context: making one for every
// frame costs more than this timer, which is used again.
func (t *webSocket) Send(frame []byte) error {
	t.mu.Lock()
	defer t.settle()
	defer t.mu.Unlock()
	defer t.hurryLocked().Stop()
	return t.conn.Write(context.Background(), websocket.MessageText, frame)
}

// hurryLocked cuts the client off unless the timer is stopped in time.
func (t *webSocket) hurryLocked() *time.Timer {
	if t.late == nil {
		t.late = time.AfterFunc(t.timeout, func() { _ = t.conn.CloseNow() })
	} else {
		t.late.Reset(t.timeout)
	}
	return t.late
}

// control writes a control frame where nothing else is being written: a write is as good
// as a ping. Its few octets go out at once, so that they stand between frames.
func (t *webSocket) control(opcode byte, payload []byte) bool {
	if !t.mu.TryLock() {
		return false
	}
	defer t.mu.Unlock()
	defer t.hurryLocked().Stop()
	_, _ = t.raw.Write(append([]byte{frameWhole | opcode, byte(len(payload))}, payload...)) // the reader sees its end
	return true
}

// settle answers the client's last ping, now or after what is being written.
func (t *webSocket) settle() {
	for {
		payload := t.owed.Swap(nil)
		if payload == nil {
			return
		}
		if !t.control(opcodePong, *payload) {
			t.owed.CompareAndSwap(nil, payload)
			if t.mu.TryLock() { // who wrote has just gone, and may have seen nothing owed
				t.mu.Unlock()
				continue
			}
			return
		}
	}
}

// Close implements transport. The close frame goes out if the client takes it; a
// client that does not is cut off without waiting.
func (t *webSocket) Close(code int, reason string) {
	_ = t.conn.Close(websocket.StatusCode(code), reason) // it may be gone already
}

// Cut implements transport.
func (t *webSocket) Cut() { _ = t.conn.CloseNow() }

// keepAlive pings the client regularly and cuts off one of which nothing has come for too
// long: what lies between can let a connection go without a word to either end. stop ends
// that.
func (t *webSocket) keepAlive(interval time.Duration) (stop func()) {
	var next *time.Timer
	var over atomic.Bool
	started := make(chan struct{})
	next = time.AfterFunc(jitter(interval), func() {
		<-started
		if over.Load() {
			return
		}
		if quiet := time.Since(time.Unix(0, t.heard.Load())); quiet > t.timeout+interval {
			_ = t.conn.CloseNow() // its reader sees that
			return
		}
		t.control(opcodePing, nil)
		next.Reset(jitter(interval))
	})
	close(started)
	return func() {
		over.Store(true)
		next.Stop()
	}
}
