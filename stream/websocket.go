package stream

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"math"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// Subprotocol is the version of the protocol, as the WebSocket handshake names it.
const Subprotocol = "walwire.v1"

// The close codes: from 4000 on the client reconnects, from 4500 on it does not.
const (
	CloseStopping        = 4000
	CloseRightsChanged   = 4001
	CloseTokenExpired    = 4002
	CloseTooMany         = 4003
	CloseDisconnected    = 4004
	ClosePollOrder       = 4005
	CloseProtocolError   = 4500
	CloseUnauthenticated = 4501
	CloseAccessEnded     = 4502
)

// stream is GET /v1/stream. The handler returns once the connection is
// upgraded, so that its memory is not held while the client listens.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	shown, known, err := credentialsOf(r)
	if err != nil {
		writeError(w, err)
		return
	}
	release, ok := s.open(w, r)
	if !ok {
		return
	}
	t, acceptErr := acceptWebSocket(w, r, s.options.WriteTimeout)
	if acceptErr != nil {
		release()
		return
	}
	t.conn.SetReadLimit(s.options.FrameBytes)
	a := admission{credentials: shown, transport: t, via: viaWebSocket, address: s.address(r)}
	go s.serve(t, a, known, release)
}

// open counts a connection in, or refuses it: the server stops, or the client's address
// has had its share. release counts it out.
func (s *Server) open(w http.ResponseWriter, r *http.Request) (release func(), ok bool) {
	free := func() {}
	if l := s.options.Limiter; l != nil {
		err := l.Attempt(r)
		if err == nil {
			free, err = l.Open(r)
		}
		if err != nil {
			writeRefusal(w, s.limited(err))
			return nil, false
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		free()
		writeError(w, errorf(CodeUnavailable, "the server stops: connect again"))
		return nil, false
	}
	s.crew.enter()
	return func() {
		free()
		s.crew.exit()
	}, true
}

// serve lets one connection in and has it read. known says that the client has shown
// who it is.
func (s *Server) serve(t *webSocket, a admission, known bool, release func()) {
	s.meet(t)
	ss := s.letIn(t, a, known)
	s.mu.Lock()
	delete(s.strangers, t)
	s.mu.Unlock()
	if ss == nil {
		t.Cut() // closed already unless something failed
		release()
		return
	}
	t.keepAlive(s.options.PingInterval)
	ss.begin()
	go ss.read(t, func() {
		t.endPings()
		s.exit(ss)
		ss.leave()
		t.Cut()
		release()
	})
}

// meet notes a connection whose client is not known yet.
func (s *Server) meet(t *webSocket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.strangers[t] = struct{}{}; s.stopped {
		t.Cut()
	}
}

// letIn gives the session of a client that has shown who it is, nil where it has not, and has
// been told so.
func (s *Server) letIn(t *webSocket, a admission, known bool) *session {
	if !known {
		var ok bool
		if a.credentials, ok = s.firstFrame(t); !ok {
			return nil
		}
	}
	ss, no := s.admit(context.Background(), a)
	if no != nil {
		refuse(t, no)
		return nil
	}
	if !s.enter(ss) {
		refuse(t, refused(errorf(CodeUnavailable, "the server stops: connect again")))
		ss.leave()
		return nil
	}
	return ss
}

// jitter spreads what many connections do regularly: d, a fifth more or less.
func jitter(d time.Duration) time.Duration {
	return d + time.Duration((mathrand.Float64()-0.5)*0.4*float64(d))
}

// firstFrame gives the auth frame's credentials, or refuses the connection. The read has
// no deadline of its own, which would kill the connection before it can be told why:
// a timer tells it.
func (s *Server) firstFrame(t *webSocket) (shown credentials, ok bool) {
	told := make(chan struct{})
	var decided atomic.Bool // whether it has come, or came too late
	var late *time.Timer
	late = time.AfterFunc(math.MaxInt64, func() {
		if t.said() { // and has not been heard: the server is behind, when thousands come at once
			late.Reset(s.options.AuthDeadline)
			return
		}
		if decided.Swap(true) {
			return
		}
		refuse(t, refused(errorf(CodeUnauthenticated, "no auth frame within %s (limits.auth_deadline)", s.options.AuthDeadline)))
		close(told)
	})
	late.Reset(s.options.AuthDeadline)
	kind, frame, err := t.conn.Read(context.Background())
	if decided.Swap(true) {
		<-told
		return shown, false
	}
	late.Stop()
	if err != nil {
		return shown, false // gone, or a frame beyond the limit, which has closed it
	}
	shown, wrong := parseAuth(kind, frame)
	if wrong != nil {
		refuse(t, &refusal{Error: wrong, close: CloseProtocolError})
	}
	return shown, wrong == nil
}

func parseAuth(kind websocket.MessageType, frame []byte) (shown credentials, err *Error) {
	if kind != websocket.MessageText {
		return shown, errBinary()
	}
	r, err := parseRequest(frame)
	if err != nil {
		return shown, err
	}
	if r.Type != "auth" || r.Token == "" {
		return shown, errorf(CodeUnauthenticated, `the first frame must be {"type":"auth","token":"..."}`)
	}
	return credentials{token: r.Token, company: r.Company}, nil
}

func errBinary() *Error {
	return errorf(CodeInvalidArgument, "frames are JSON in text messages, not binary")
}

// refuse says why and closes.
func refuse(t *webSocket, no *refusal) {
	t.mu.Lock()
	t.timeout, t.due = time.Second, time.Time{} // a stranger gets no patience
	t.mu.Unlock()
	answer := errorFrame(0, no.Error)
	answer.RetryMS = no.after.Milliseconds()
	if t.Send(mustJSON(answer), nil) == nil {
		t.Close(no.close, truncateReason(no.Message))
	}
}

// truncateReason keeps a close reason within the 123 octets of a close frame, and in
// whole letters: a reason that is no UTF-8 breaks the connection instead of closing it.
func truncateReason(reason string) string {
	if len(reason) <= 120 {
		return reason
	}
	return strings.ToValidUTF8(reason[:117], "") + "..."
}

// read takes one frame and leaves the next to a goroutine of its own: one that has
// handled a frame has a stack several times as large as it takes to wait, and a client
// waits nearly always. end is called at the connection's.
func (s *session) read(t *webSocket, end func()) {
	if t.rest() {
		go s.read(t, end)
		return
	}
	kind, frame, err := t.conn.Read(context.Background())
	if err != nil {
		s.logEnd(err)
		end()
		return
	}
	t.hear()
	if kind == websocket.MessageText {
		s.handle(frame)
	} else {
		s.refuse(errorAnswer{}, errBinary())
	}
	go s.read(t, end)
}

func (s *session) logEnd(err error) {
	log := s.server.options.Log
	status := websocket.CloseStatus(err)
	if errors.Is(err, websocket.ErrMessageTooBig) {
		s.server.hub.Metrics.Errors.WithLabelValues(string(CodeResourceExhausted)).Inc()
	}
	p := s.principal.Load()
	log.Debug("connection ended", "session", s.id, "user", p.ID, "company", p.Company, "status", status, "error", err)
}

type welcome struct {
	Type     string   `json:"type"`
	Protocol string   `json:"protocol"`
	Session  string   `json:"session"`
	Key      string   `json:"key,omitempty"` // of a session whose client's frames come by other requests
	User     string   `json:"user"`
	Company  string   `json:"company"`
	Roles    []string `json:"roles"`
	Expires  string   `json:"expires"`
	Position string   `json:"position"`
	// FrameBytes is the most that one request takes.
	FrameBytes int64 `json:"frame_bytes"`
}

func (s *session) welcome() welcome {
	p := s.principal.Load()
	return welcome{
		Type: "welcome", Protocol: Subprotocol, Session: s.id, Key: s.key,
		User: p.ID, Company: p.Company, Roles: p.Roles,
		Expires: expiryText(p.Expires), Position: s.server.hub.Position().String(),
		FrameBytes: s.server.options.FrameBytes,
	}
}

// begin lets a session that has been let in speak.
func (s *session) begin() {
	if s.rules != s.server.usersRules.Load() { // changed on its way in, and perhaps too late to be found
		s.lookUpAgain(context.Background())
	}
	s.lastUntil(s.principal.Load().Expires)
	welcome := mustJSON(s.welcome())
	s.mu.Lock()
	s.begun = true
	if !s.closed {
		s.control = slices.Insert(s.control, 0, welcome)
	}
	s.mu.Unlock()
	s.kick()
}

func newSessionID() string {
	var b [9]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
