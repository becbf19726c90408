package stream

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
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
	CloseProtocolError   = 4500
	CloseUnauthenticated = 4501
)

// webSocket carries frames over one WebSocket.
type webSocket struct {
	conn    *websocket.Conn
	timeout time.Duration
	late    *time.Timer // cuts off a client that does not take a frame in time; made with the first frame
}

// Send implements transport. The write has no context: making one for every
// frame costs more than this timer, which is used again.
func (t *webSocket) Send(frame []byte) error {
	if t.late == nil {
		t.late = time.AfterFunc(t.timeout, func() { _ = t.conn.CloseNow() })
	} else {
		t.late.Reset(t.timeout)
	}
	defer t.late.Stop()
	return t.conn.Write(context.Background(), websocket.MessageText, frame)
}

// Close implements transport. The close frame goes out if the client takes it; a
// client that does not is cut off without waiting.
func (t *webSocket) Close(code int, reason string) {
	_ = t.conn.Close(websocket.StatusCode(code), reason) // it may be gone already
}

// stream is GET /v1/stream. The handler returns once the connection is
// upgraded, so that its memory is not held while the client listens.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	if refuseURLToken(w, r) {
		return
	}
	s.mu.Lock()
	stopping := s.stopping
	if !stopping {
		s.readers.Add(1)
	}
	s.mu.Unlock()
	if stopping {
		writeError(w, errorf(CodeUnavailable, "the server stops: connect again"))
		return
	}
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols:       []string{Subprotocol},
		OriginPatterns:     s.options.Origins,
		InsecureSkipVerify: slices.Contains(s.options.Origins, "*"),
		CompressionMode:    websocket.CompressionDisabled,
	})
	if err != nil { // Accept has answered
		s.readers.Done()
		return
	}
	conn.SetReadLimit(s.options.FrameBytes)
	token := bearer(r)
	go func() {
		defer s.readers.Done()
		s.serve(conn, token)
	}()
}

// serve runs one connection from its first frame to its end.
func (s *Server) serve(conn *websocket.Conn, token string) {
	defer func() { _ = conn.CloseNow() }() // closed already unless something failed
	t := &webSocket{conn: conn, timeout: s.options.WriteTimeout}
	if token == "" {
		var ok bool
		if token, ok = s.firstFrame(t); !ok {
			return
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.options.AuthDeadline)
	defer cancel()
	p, err := s.authenticate(ctx, token)
	if err != nil {
		code := CloseUnauthenticated
		if err.Code == CodeUnavailable {
			code = CloseStopping
		}
		refuse(t, err, code)
		return
	}
	company, err := s.companyOf(p)
	if err != nil {
		refuse(t, err, CloseStopping)
		return
	}
	ss := newSession(s, newSessionID(), p, t)
	if ss.company = s.hub.join(ctx, company); ss.company == nil {
		refuse(t, errorf(CodeUnavailable, "the server can't take a connection now: try again"), CloseStopping)
		return
	}
	defer ss.leave()
	if err := ss.loadUser(ctx); err != nil {
		s.options.Log.Warn("user not loaded", "user", p.ID, "company", p.Company, "error", err)
		refuse(t, clientError(err), CloseStopping)
		return
	}
	if !s.enter(ss) {
		refuse(t, errorf(CodeUnavailable, "the server stops: connect again"), CloseStopping)
		return
	}
	defer s.exit(ss)
	cancel()
	expiry := time.AfterFunc(time.Until(p.Expires), func() {
		ss.say(errorFrame(0, errorf(CodeUnauthenticated, "the token has expired: connect with a new one")))
		ss.close(CloseTokenExpired, "token expired")
	})
	defer expiry.Stop()
	defer s.keepAlive(conn)()
	ss.say(ss.welcome())
	ss.read(conn)
}

// keepAlive pings a client regularly and cuts off one that does not answer: what lies
// between can let a connection go without a word to either end. stop ends that.
func (s *Server) keepAlive(conn *websocket.Conn) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var next *time.Timer
	started := make(chan struct{})
	next = time.AfterFunc(s.options.PingInterval, func() {
		<-started
		late, done := context.WithTimeout(ctx, s.options.WriteTimeout)
		err := conn.Ping(late)
		done()
		switch {
		case ctx.Err() != nil:
		case err != nil:
			_ = conn.CloseNow() // its reader sees that
		default:
			next.Reset(s.options.PingInterval)
		}
	})
	close(started)
	return func() {
		cancel()
		next.Stop()
	}
}

// firstFrame gives the auth frame's token, or refuses the connection. The read has
// no deadline of its own, which would kill the connection before it can be told why:
// a timer tells it.
func (s *Server) firstFrame(t *webSocket) (token string, ok bool) {
	told := make(chan struct{})
	late := time.AfterFunc(s.options.AuthDeadline, func() {
		refuse(t, errorf(CodeUnauthenticated, "no auth frame within %s (limits.auth_deadline)", s.options.AuthDeadline), CloseUnauthenticated)
		close(told)
	})
	kind, frame, err := t.conn.Read(context.Background())
	if !late.Stop() {
		<-told
		return "", false
	}
	if err != nil {
		return "", false // gone, or a frame beyond the limit, which has closed it
	}
	token, refused := parseAuth(kind, frame)
	if refused != nil {
		refuse(t, refused, CloseProtocolError)
	}
	return token, refused == nil
}

func parseAuth(kind websocket.MessageType, frame []byte) (token string, err *Error) {
	if kind != websocket.MessageText {
		return "", errBinary()
	}
	r, err := parseRequest(frame)
	if err != nil {
		return "", err
	}
	if r.Type != "auth" || r.Token == "" {
		return "", errorf(CodeUnauthenticated, `the first frame must be {"type":"auth","token":"..."}`)
	}
	return r.Token, nil
}

func errBinary() *Error {
	return errorf(CodeInvalidArgument, "frames are JSON in text messages, not binary")
}

// refuse says why and closes.
func refuse(t *webSocket, err *Error, code int) {
	t.timeout = time.Second // a stranger gets no patience; nothing has been sent yet
	frame := mustJSON(errorFrame(0, err))
	if t.Send(frame) == nil {
		t.Close(code, truncateReason(err.Message))
	}
}

// truncateReason keeps a close reason within the 123 octets of a close frame.
func truncateReason(reason string) string {
	if len(reason) <= 120 {
		return reason
	}
	return reason[:117] + "..."
}

func (s *session) read(conn *websocket.Conn) {
	for {
		kind, frame, err := conn.Read(context.Background())
		if err != nil {
			s.logEnd(err)
			return
		}
		if kind != websocket.MessageText {
			s.refuse(errorAnswer{}, errBinary())
			continue
		}
		s.handle(frame)
	}
}

func (s *session) logEnd(err error) {
	log := s.server.options.Log
	status := websocket.CloseStatus(err)
	if errors.Is(err, websocket.ErrMessageTooBig) {
		s.server.hub.Metrics.Errors.WithLabelValues(string(CodeResourceExhausted)).Inc()
	}
	log.Debug("connection ended", "session", s.id, "user", s.principal.ID, "company", s.principal.Company, "status", status, "error", err)
}

type welcome struct {
	Type     string   `json:"type"`
	Protocol string   `json:"protocol"`
	Session  string   `json:"session"`
	User     string   `json:"user"`
	Company  string   `json:"company"`
	Roles    []string `json:"roles"`
	Expires  string   `json:"expires"`
	Position string   `json:"position"`
}

func (s *session) welcome() welcome {
	return welcome{
		Type: "welcome", Protocol: Subprotocol, Session: s.id,
		User: s.principal.ID, Company: s.principal.Company, Roles: s.principal.Roles,
		Expires: s.principal.Expires.UTC().Format(time.RFC3339), Position: s.server.hub.Position().String(),
	}
}

// enter makes the session known; false when the server is stopping.
func (s *Server) enter(ss *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	s.sessions[ss] = struct{}{}
	s.hub.Metrics.Connections.Inc()
	return true
}

func (s *Server) exit(ss *session) {
	s.mu.Lock()
	delete(s.sessions, ss)
	s.mu.Unlock()
	s.hub.Metrics.Connections.Dec()
}

// leave ends the session's subscriptions and its part in the company.
func (s *session) leave() {
	s.shut()
	c := s.company
	c.inbox.push(message{do: func() {
		c.mu.RLock()
		subs := slices.Clone(s.subscriptions)
		c.mu.RUnlock()
		for _, sub := range subs {
			c.unsubscribe(sub, func() {})
		}
		s.server.hub.leave(c)
	}}, 0)
}

func newSessionID() string {
	var b [9]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
