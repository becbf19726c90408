package stream

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/walwire/walwire/auth"
	"github.com/walwire/walwire/cdc"
)

// unheard is the transport of a session that answers one request: nothing is sent by
// itself.
type unheard struct{}

func (unheard) Send([]byte, turn) error { return errClosed }
func (unheard) Close(int, string)       {}
func (unheard) Cut()                    {}

// shownOnce gives what a request shows to be answered.
func (s *Server) shownOnce(r *http.Request) (credentials, *refusal) {
	shown, known, err := credentialsOf(r)
	if err == nil && !known {
		err = errorf(CodeUnauthenticated, "send a token as Authorization: Bearer ...")
	}
	if err != nil {
		return shown, refused(err)
	}
	if l := s.options.Limiter; l != nil {
		if err := l.Attempt(r); err != nil {
			return shown, s.limited(err)
		}
	}
	return shown, nil
}

// authenticateOnce finds out by the token alone who asks.
func (s *Server) authenticateOnce(r *http.Request) (*auth.Principal, *refusal) {
	shown, no := s.shownOnce(r)
	if no != nil {
		return nil, no
	}
	p, err := s.authenticate(r.Context(), shown)
	if err != nil {
		return nil, refused(err)
	}
	return p, nil
}

// admitOnce lets a client in for one HTTP request, or refuses it.
func (s *Server) admitOnce(w http.ResponseWriter, r *http.Request) (*session, bool) {
	shown, no := s.shownOnce(r)
	if no != nil {
		writeRefusal(w, no)
		return nil, false
	}
	ss, no := s.admit(r.Context(), admission{credentials: shown, transport: unheard{}, via: viaHTTP, address: s.address(r)})
	if no != nil {
		writeRefusal(w, no)
		return nil, false
	}
	return ss, true
}

// readBody reads a request's body as strictly as a frame.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, into any) *Error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.options.FrameBytes))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return errorf(CodeResourceExhausted, "the body is larger than %d octets (limits.frame_bytes)", large.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errorf(CodeInvalidArgument, "the body did not come in time")
	case err != nil:
		return errorf(CodeInvalidArgument, "the body can't be read")
	}
	return decodeStrictly("body", body, into)
}

// ticketHTTP is POST /v1/tickets: a ticket for who shows a token.
func (s *Server) ticketHTTP(w http.ResponseWriter, r *http.Request) {
	ss, ok := s.admitOnce(w, r)
	if !ok {
		return
	}
	defer ss.leave()
	claims := ss.claims()
	text, expires, err := s.tickets.Issue(claims)
	if errors.Is(err, auth.ErrTooManyTickets) {
		writeRefusal(w, &refusal{after: time.Second, Error: errorf(CodeResourceExhausted, "you hold %d unused tickets (limits.tickets_per_user): use them, or wait %s", s.options.Tickets, s.options.TicketLife)})
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"ticket": text, "expires": expires.UTC().Format(time.RFC3339Nano)})
}

// claims are what the session's token says, without what rows do.
func (s *session) claims() (claims auth.Principal) {
	s.company.call(func() {
		if s.user != nil {
			claims = s.user.claims
		}
	})
	return claims
}

// queryHTTP is POST /v1/query: the rows of a query as they are now.
func (s *Server) queryHTTP(w http.ResponseWriter, r *http.Request) {
	ss, ok := s.admitOnce(w, r)
	if !ok {
		return
	}
	defer ss.leave()
	var body struct {
		Query json.RawMessage `json:"query"`
	}
	if err := s.readBody(w, r, &body); err != nil {
		writeError(w, err)
		return
	}
	if len(body.Query) == 0 {
		writeError(w, errorf(CodeInvalidArgument, `the body needs a query, as in {"query": {"table": "..."}}`))
		return
	}
	b, at, err := ss.ask(r.Context(), body.Query)
	if err != nil {
		writeError(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = writeRows(w, b, at) // the client may be gone
}

// ask reads a query once.
func (s *session) ask(ctx context.Context, raw json.RawMessage) (*base, cdc.LSN, *Error) {
	q, err := s.server.compile(s.principal.Load(), raw)
	if err != nil {
		return nil, 0, err
	}
	type answer struct {
		base *base
		at   cdc.LSN
		err  *Error
	}
	answers := make(chan answer, 1)
	sub := &subscription{session: s, query: q, read: func() {}, watch: &watch{once: true, ready: func(b *base, at cdc.LSN, err *Error) {
		if no := s.cutOff(); no != nil {
			b, err = nil, no
		}
		select {
		case answers <- answer{b, at, err}:
		default: // answered before
		}
	}}}
	s.company.call(func() { s.company.subscribe(sub) })
	select {
	case a := <-answers:
		return a.base, a.at, a.err
	case <-ctx.Done():
		return nil, 0, errorf(CodeDeadlineExceeded, "the request was given up")
	case <-s.server.hub.done:
		return nil, 0, errorf(CodeUnavailable, "the server stops: try again")
	}
}

// cutOff says why a session that answers one request may show nothing any more, nil
// where it may. In its company's goroutine.
func (s *session) cutOff() *Error {
	switch end := s.revoked; {
	case end != nil && end.code == CloseAccessEnded:
		return errorf(CodePermissionDenied, "%s", end.reason)
	case end != nil || s.ending() != nil:
		return errorf(CodeUnavailable, "rights changed meanwhile: try again")
	}
	if expires := s.principal.Load().Expires; !time.Now().Before(expires) {
		return errorf(CodeUnauthenticated, "the token has expired meanwhile")
	}
	unknown := s.rules != s.server.usersRules.Load()
	for _, sub := range s.subscriptions {
		unknown = unknown || sub.lookup() && sub.held
	}
	if unknown {
		return errorf(CodeUnavailable, "rights are being read again: try again")
	}
	return nil
}

// writeRows writes a snapshot as one object.
func writeRows(w io.Writer, b *base, at cdc.LSN) error {
	buf := append([]byte(`{"position":"`), at.String()...)
	buf = append(append(buf, `",`...), b.head...)
	buf = append(buf, `,"rows":[`...)
	for i, row := range b.rows {
		if i > 0 {
			buf = append(buf, ',')
		}
		if buf = append(buf, row...); len(buf) > 64<<10 {
			if _, err := w.Write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
	}
	buf = append(buf, ']')
	for i, key := range b.order {
		buf = append(buf, `,`...)
		if i == 0 {
			buf = append(buf, `"order":[`...)
		}
		buf = append(append(append(buf, '"'), key...), '"')
	}
	if len(b.order) > 0 {
		buf = append(buf, ']')
	}
	_, err := w.Write(append(buf, '}', '\n'))
	return err
}
