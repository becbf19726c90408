package stream

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/walwire/walwire/auth"
)

// credentials are what a client shows to be let in: a token or a ticket.
type credentials struct {
	token, ticket string
	company       string // the one named, where the token is for several
}

// refusal is why a client is not let in: what it is told, the close code of a
// connection that is open already, and when to try again at the earliest.
type refusal struct {
	*Error
	close int
	after time.Duration
}

func refused(err *Error) *refusal {
	code := CloseStopping // it may be otherwise later
	switch err.Code {
	case CodeUnauthenticated:
		code = CloseUnauthenticated
	case CodePermissionDenied:
		code = CloseAccessEnded
	case CodeResourceExhausted:
		code = CloseTooMany
	case CodeInvalidArgument:
		code = CloseProtocolError
	}
	return &refusal{Error: err, close: code}
}

// credentialsOf gives what a request shows; false where it has shown none and is to be
// asked by a frame. A token in the URL is an error: it ends in logs and referrers.
func credentialsOf(r *http.Request) (credentials, bool, *Error) {
	query := r.URL.Query()
	for _, name := range []string{"token", "access_token", "id_token", "jwt", "bearer", "auth", "authorization"} {
		if query.Has(name) {
			return credentials{}, false, errorf(CodeInvalidArgument, "a token in the URL is refused: send it in the auth frame or the Authorization header, or get a ticket by POST /v1/tickets")
		}
	}
	c := credentials{token: bearer(r), ticket: query.Get("ticket"), company: query.Get("company")}
	if c.token != "" && c.ticket != "" {
		return credentials{}, false, errorf(CodeInvalidArgument, "send a token or a ticket, not both")
	}
	return c, c.token != "" || c.ticket != "", nil
}

// bearer gives the token of the Authorization header, "" without one.
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// authenticate finds whom credentials speak for, and words the refusal.
func (s *Server) authenticate(ctx context.Context, c credentials) (*auth.Principal, *Error) {
	if c.ticket != "" {
		p, ok := s.tickets.Redeem(c.ticket)
		if !ok {
			return nil, errorf(CodeUnauthenticated, "the ticket is not good, any more or at this server: get a new one by POST /v1/tickets")
		}
		return &p, nil
	}
	p, err := s.options.Authenticator.Authenticate(ctx, c.token, c.company)
	var refused *auth.Error
	switch {
	case err == nil:
		if p.Operator {
			s.options.Log.Info("an operator names a company", "user", p.ID, "company", p.Company)
		}
		return &p, nil
	case errors.As(err, &refused):
		s.options.Log.Info("token refused", "error", err)
		return nil, &Error{Code: CodeUnauthenticated, Message: refused.Message}
	}
	s.options.Log.Info("token not checked", "error", err) // the source of keys tells of its outage, once
	return nil, errorf(CodeUnavailable, "tokens can't be checked now: try again")
}

// admission is a client on its way in, and how it came.
type admission struct {
	credentials
	transport transport
	via       string // of transports
	address   string // the client's, for the log and the limits
}

// The transports, as statistics name them.
const (
	viaWebSocket = "websocket"
	viaSSE       = "sse"
	viaPoll      = "poll"
	viaHTTP      = "http" // one request
)

// admit lets a client in: its token or ticket is checked, its rows are looked up, and
// its session is part of its company. leave ends that.
func (s *Server) admit(ctx context.Context, a admission) (*session, *refusal) {
	ctx, cancel := context.WithTimeout(ctx, s.options.AuthDeadline)
	defer cancel()
	p, err := s.authenticate(ctx, a.credentials)
	if err != nil {
		return nil, refused(err)
	}
	company, err := s.hub.companyOf(p)
	if err != nil {
		return nil, refused(err)
	}
	ss := newSession(s, newSessionID(), p, a.transport)
	ss.via, ss.address = a.via, a.address
	if s.options.Limiter != nil && a.via != viaHTTP {
		release, err := s.options.Limiter.Hold(p.Company, p.ID)
		if err != nil {
			return nil, s.limited(err)
		}
		ss.release = release
	}
	if ss.company = s.hub.join(ctx, company); ss.company == nil {
		ss.free()
		return nil, refused(errorf(CodeUnavailable, "the server can't take a connection now: try again"))
	}
	ss.rules = s.usersRules.Load()
	if err := ss.beUser(ctx, p); err != nil {
		s.options.Log.Info("client not let in", "user", p.ID, "company", p.Company, "error", err)
		ss.leave()
		return nil, refused(clientError(err))
	}
	return ss, nil
}

// beUser looks a token's user up and makes it the session's.
func (s *session) beUser(ctx context.Context, p *auth.Principal) error {
	u, err := s.lookUp(ctx, p)
	if err != nil {
		return err
	}
	err = s.identify(u)
	var denied *Error
	if !errors.As(err, &denied) || denied.Code != CodePermissionDenied {
		return err
	}
	// A client that is told so does not come back: the rows must not be those of a
	// moment before a commit that lets it in.
	if late := s.server.hub.catchUp(ctx, s.company); late != nil {
		return late
	}
	return s.identify(u)
}

func (s *session) identify(u *user) error {
	err := error(errorf(CodeUnavailable, "the server stops: connect again"))
	s.company.call(func() {
		if err = s.company.identify(s, u); errors.Is(err, errUserMoved) {
			err = errorf(CodeUnavailable, "the user's rows changed while they were looked up: try again")
		}
	})
	return err
}

// catchUp waits until a company has published every commit of before.
func (h *Hub) catchUp(ctx context.Context, c *company) *Error {
	snap, err := h.Snapshotter.Visible(ctx)
	if err != nil {
		h.Log.Warn("user not looked up", "error", err)
		return errorf(CodeUnavailable, "the database can't be asked now who the user is: try again")
	}
	reached := make(chan struct{})
	h.awaitCompany(c, snap.Position, 0, func() bool { return ctx.Err() != nil }, func() { close(reached) })
	select {
	case <-reached:
		return nil
	case <-ctx.Done():
		return errorf(CodeUnavailable, "looking up the user took too long: try again")
	}
}

// limited is the refusal of a client that is one too many.
func (s *Server) limited(err error) *refusal {
	r := refused(errorf(CodeResourceExhausted, "%s", err))
	var patient interface{ After() time.Duration }
	if errors.As(err, &patient) {
		r.after = patient.After()
	}
	return r
}

// Limiter bounds who connects, and how many. Its errors name the limit, and may say
// when to try again (After() time.Duration).
type Limiter interface {
	// Attempt counts a request from an address.
	Attempt(r *http.Request) error
	// Open counts a connection from an address until release is called.
	Open(r *http.Request) (release func(), err error)
	// Hold counts a connection of a user until release is called.
	Hold(company, user string) (release func(), err error)
}

// enter makes the session known; false when the server is stopping.
func (s *Server) enter(ss *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	s.sessions[ss] = struct{}{}
	s.hub.Metrics.Connections.WithLabelValues(ss.via).Inc()
	return true
}

func (s *Server) exit(ss *session) {
	s.mu.Lock()
	delete(s.sessions, ss)
	s.mu.Unlock()
	s.hub.Metrics.Connections.WithLabelValues(ss.via).Dec()
}

// leave ends the session's subscriptions and its part in the company.
func (s *session) leave() {
	s.shut()
	s.free()
	c := s.company
	c.inbox.push(message{do: func() {
		c.mu.RLock()
		subs, listeners := slices.Clone(s.subscriptions), slices.Clone(s.listeners)
		c.mu.RUnlock()
		for _, sub := range subs {
			c.unsubscribe(sub, func() {})
		}
		for _, l := range listeners {
			c.unlisten(l, func() {})
		}
		s.left = true
		h := s.server.hub
		h.group.Go(func() { h.leave(c) }) // the hub may be waiting for the database
	}}, 0)
}

// free gives back what the session counted for.
func (s *session) free() {
	if s.release != nil {
		s.release()
		s.release = nil
	}
}
