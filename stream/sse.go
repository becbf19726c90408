package stream

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// events carries frames as server-sent events, one an event. Frames of the client come
// by POST /v1/send.
type events struct {
	timeout time.Duration
	ended   chan struct{} // closed when nothing can be sent any more
	rc      *http.ResponseController
	cut     atomic.Bool

	mu   sync.Mutex // held while something is written; protects following
	out  http.ResponseWriter
	buf  []byte
	over bool
}

// maxIdleEvent is the largest buffer that a connection keeps.
const maxIdleEvent = 4 << 10

// Send implements transport.
func (t *events) Send(frame []byte, w turn) error {
	if w != nil {
		w.away() // net/http does not tell before it waits
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(append(append(t.buf[:0], "data: "...), frame...), "\n\n"...)
	err := t.writeLocked()
	if cap(t.buf) > maxIdleEvent {
		t.buf = nil
	}
	return err
}

// ping sends what a client does not see, and finds out whether it is there.
func (t *events) ping() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf[:0], ":\n\n"...)
	return t.writeLocked()
}

func (t *events) writeLocked() error {
	if t.over {
		return errClosed
	}
	err := t.rc.SetWriteDeadline(time.Now().Add(t.timeout))
	if err == nil && t.cut.Load() {
		err = errClosed
	}
	if err == nil {
		_, err = t.out.Write(t.buf)
	}
	if err == nil {
		err = t.rc.Flush()
	}
	if err != nil {
		t.endLocked()
	}
	return err
}

// Close implements transport.
func (t *events) Close(code int, reason string) {
	_ = t.Send(mustJSON(closeFrame{"close", code, reason}), nil) // it may be gone already
	t.end()
}

// Cut implements transport. It is called before the handler returns.
func (t *events) Cut() {
	t.cut.Store(true)
	_ = t.rc.SetWriteDeadline(time.Now()) // what is being written ends
	t.end()
}

// end lets the handler return; nothing is written afterwards.
func (t *events) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.endLocked()
}

func (t *events) endLocked() {
	if !t.over {
		t.over = true
		_ = t.rc.SetWriteDeadline(time.Time{}) // the connection may serve other requests
		close(t.ended)
	}
}

// closeFrame is the last frame where there is no WebSocket to close.
type closeFrame struct {
	Type   string `json:"type"`
	Code   int    `json:"code"`
	Reason string `json:"reason"`
}

// sse is GET /v1/sse.
func (s *Server) sse(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet { // HEAD would hold a session that says nothing
		s.notFound(w, r)
		return
	}
	shown, known, err := credentialsOf(r)
	if err == nil && !known {
		err = errorf(CodeUnauthenticated, "send a token as Authorization: Bearer ..., or ?ticket= of POST /v1/tickets")
	}
	if err != nil {
		writeError(w, err)
		return
	}
	release, ok := s.open(w, r)
	if !ok {
		return
	}
	defer release()
	t := &events{timeout: s.options.WriteTimeout, ended: make(chan struct{}), out: w, rc: http.NewResponseController(w)}
	ss, no := s.admit(r.Context(), admission{credentials: shown, transport: t, via: viaSSE, address: s.address(r)})
	if no != nil {
		writeRefusal(w, no)
		return
	}
	defer ss.leave()
	defer t.end()
	ss.key = newKey()
	if !s.enter(ss) {
		writeError(w, errorf(CodeUnavailable, "the server stops: connect again"))
		return
	}
	defer s.exit(ss)
	s.unlock(ss, nil)
	defer s.lock(ss)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	w.WriteHeader(http.StatusOK)
	ss.begin()
	ping := time.NewTimer(jitter(s.options.PingInterval))
	defer ping.Stop()
	for {
		select {
		case <-t.ended:
			return
		case <-r.Context().Done():
			return
		case <-ping.C:
			_ = t.ping() // which ends t if it fails
			ping.Reset(jitter(s.options.PingInterval))
		}
	}
}
