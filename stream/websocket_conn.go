package stream

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coder/websocket"
)

// webSocket carries frames over one WebSocket.
//
// It writes all frames but the last itself. As to pings and pongs, the library gives a
// control frame five seconds, and then ends the connection, where all that a client has
// done is not to read for a while.
type webSocket struct {
	conn    *websocket.Conn
	raw     net.Conn        // under conn
	socket  syscall.RawConn // raw's; nil where it can't be had
	timeout time.Duration
	heard   atomic.Int64 // when something last came, in Unix nanoseconds
	owed    atomic.Pointer[[]byte]

	interval time.Duration // between pings
	next     *time.Timer
	over     atomic.Bool // no more of them

	mu  sync.Mutex // held while something is written; protects following
	due time.Time  // when the client has to have taken what is being written

	ahead   sync.Mutex    // protects following
	early   *bufio.Reader // what conn has read of raw and not taken
	closing bool          // conn reads, whoever waits for the client
}

// Opcodes of frames, and the bit of a whole message.
const (
	frameWhole = 0x80
	opcodeText = 0x1
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
			t.pinged(payload)
			return false
		},
		OnPongReceived: func(context.Context, []byte) { t.hear() },
	})
	t.conn, t.raw, t.early = conn, hijacker.conn, hijacker.early
	if err == nil {
		t.socket = socketOf(t.raw)
		_, _ = t.early.Peek(hijacker.said) // from memory: the library has put it back
	}
	return t, err
}

// hijacker keeps the connection that a WebSocket is made of, and gives it small
// buffers: a client says little, and what it is told does not go through them.
type hijacker struct {
	http.ResponseWriter
	conn  net.Conn
	early *bufio.Reader
	said  int // octets that the client has said already
}

const (
	readBuffer  = 128
	writeBuffer = 128 // of close frames
)

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.conn = conn
	early, _ := rw.Peek(rw.Reader.Buffered()) // what the client has said already
	r := bufio.NewReaderSize(bytes.NewReader(bytes.Clone(early)), max(readBuffer, len(early)))
	_, _ = r.Peek(len(early)) // from memory
	h.early, h.said = r, len(early)
	return conn, bufio.NewReadWriter(r, bufio.NewWriterSize(conn, writeBuffer)), nil
}

// pinged owes the client an answer.
func (t *webSocket) pinged(payload []byte) {
	t.hear()
	t.owed.Store(new(append([]byte(nil), payload...)))
	t.settle(nil)
}

func (t *webSocket) hear() { t.heard.Store(time.Now().UnixNano()) }

// Send implements transport. It writes the frame itself, as one write that lets nothing
// between: the library would take twice the time.
func (t *webSocket) Send(frame []byte, w turn) error {
	if !t.mu.TryLock() { // a pong is being written to a client that does not read
		if w != nil {
			w.away()
		}
		t.mu.Lock()
	}
	err := t.writeLocked(opcodeText, frame, w)
	t.mu.Unlock()
	if err != nil {
		_ = t.raw.Close() // a frame of which a part has gone out is the last
		return err
	}
	t.settle(w)
	return nil
}

// packet is a frame with its head, being written.
type packet struct {
	buf  []byte
	left []byte // of buf
	turn turn   // to tell before waiting; nil: told, or nobody
	err  error
	try  func(fd uintptr) bool // writes what the socket takes; false: it takes no more now
}

func (t *webSocket) writeLocked(opcode byte, payload []byte, w turn) error {
	t.hurryLocked()
	p := packets.Get().(*packet)
	p.buf = append(appendHead(p.buf[:0], opcode, len(payload)), payload...)
	p.left, p.turn, p.err = p.buf, w, nil
	err := t.write(p)
	p.left, p.turn = nil, nil
	if cap(p.buf) <= maxPooledBuffer {
		packets.Put(p)
	}
	return err
}

// writeBlocking writes where the socket can't be asked whether it takes more.
func (t *webSocket) writeBlocking(p *packet) error {
	if p.turn != nil {
		p.turn.away()
	}
	_, err := t.raw.Write(p.left)
	return err
}

// appendHead appends the head of a whole message of so many octets (RFC 6455, 5.2).
func appendHead(dst []byte, opcode byte, length int) []byte {
	dst = append(dst, frameWhole|opcode)
	switch {
	case length < 126:
		return append(dst, byte(length))
	case length < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, 126), uint16(length))
	}
	return binary.BigEndian.AppendUint64(append(dst, 127), uint64(length))
}

// hurryLocked gives the client its time to take what is written next. A deadline costs as
// much as a small write, so one that has hardly begun to run stays.
func (t *webSocket) hurryLocked() {
	if now := time.Now(); t.due.Sub(now) < t.timeout-t.timeout/4 {
		t.due = now.Add(t.timeout)
		_ = t.raw.SetWriteDeadline(t.due) // the write tells
	}
}

// control writes a control frame where nothing else is being written: a write is as good
// as a ping.
func (t *webSocket) control(opcode byte, payload []byte, w turn) bool {
	if !t.mu.TryLock() {
		return false
	}
	defer t.mu.Unlock()
	if t.writeLocked(opcode, payload, w) != nil {
		_ = t.raw.Close() // the reader sees that
	}
	return true
}

// settle answers the client's last ping, now or after what is being written.
func (t *webSocket) settle(w turn) {
	for {
		payload := t.owed.Swap(nil)
		if payload == nil {
			return
		}
		if !t.control(opcodePong, *payload, w) {
			t.owed.CompareAndSwap(nil, payload)
			if t.mu.TryLock() { // who wrote has just gone, and may have seen nothing owed
				t.mu.Unlock()
				continue
			}
			return
		}
	}
}

// closePatience is twice what the library gives a client to take the close frame, and then
// to answer it. It does not watch over the rest of a message that never comes.
const closePatience = 10 * time.Second

// Close implements transport. The close frame goes out if the client takes it; a
// client that does not is cut off without waiting.
func (t *webSocket) Close(code int, reason string) {
	t.ahead.Lock()
	t.closing = true
	t.ahead.Unlock()
	_ = t.raw.SetDeadline(time.Now().Add(closePatience)) // in place of that of frames
	_ = t.conn.Close(websocket.StatusCode(code), reason) // it may be gone already
}

// Cut implements transport. The library would wait for a Close that has begun.
func (t *webSocket) Cut() {
	_ = t.raw.Close()
	_ = t.conn.CloseNow()
}

// keepAlive pings the client regularly and cuts off one of which nothing has come for too
// long: what lies between can let a connection go without a word to either end. endPings ends
// that.
func (t *webSocket) keepAlive(interval time.Duration) {
	t.interval = interval
	t.next = time.AfterFunc(math.MaxInt64, t.beat) // never: it is set before it begins
	t.next.Reset(jitter(interval))
}

func (t *webSocket) beat() {
	if t.over.Load() {
		return
	}
	if quiet := time.Since(time.Unix(0, t.heard.Load())); quiet > t.timeout+t.interval {
		t.Cut() // its reader sees that
		return
	}
	t.control(opcodePing, nil, nil)
	t.settle(nil) // what came meanwhile
	t.next.Reset(jitter(t.interval))
}

func (t *webSocket) endPings() {
	t.over.Store(true)
	t.next.Stop()
}
