package stream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pglogrepl"

	"github.com/walwire/walwire/cdc"
)

// request is a client's frame: the members of all types.
type request struct {
	Type    string          `json:"type"`
	ID      uint64          `json:"id"`
	Token   string          `json:"token"`
	Company string          `json:"company"`
	Query   json.RawMessage `json:"query"`
	Events  *clientEvents   `json:"events"`
	Resume  *struct {
		Cursor string `json:"cursor"`
		Token  string `json:"token"`
	} `json:"resume"`
	LSN       string `json:"lsn"`
	TimeoutMS *int64 `json:"timeout_ms"`
}

// parseRequest reads a frame strictly: a misspelt member is an error.
func parseRequest(frame []byte) (*request, *Error) {
	var r request
	return &r, decodeStrictly("frame", frame, &r)
}

// decodeStrictly reads what a client sent, a frame or a body.
func decodeStrictly(what string, data []byte, into any) *Error {
	if !utf8.Valid(data) {
		return errorf(CodeInvalidArgument, "the %s is not valid UTF-8", what)
	}
	if err := checkMembers(data); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return errorf(CodeInvalidArgument, "the %s is not a JSON object of the protocol: %s", what, jsonProblem(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errorf(CodeInvalidArgument, "the %s holds more than one JSON value: send one", what)
	}
	return nil
}

// checkMembers refuses what encoding/json lets pass: a member that is written
// twice, or in other letters than the protocol's. What is no object at all is left to
// the decoder.
func checkMembers(object []byte) *Error {
	d := json.NewDecoder(bytes.NewReader(object))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil
	}
	seen := make(map[string]bool)
	for d.More() {
		token, err := d.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return nil
		}
		if seen[name] {
			return errorf(CodeInvalidArgument, "the member %q stands twice", name)
		}
		seen[name] = true
		if plain := strings.ToLower(name); plain != name && !mixedCase(name) {
			return errorf(CodeInvalidArgument, "unknown member %q: names are written as in the protocol, such as %q", name, plain)
		}
		if strings.ContainsFunc(name, func(r rune) bool { return r > unicode.MaxASCII }) {
			return errorf(CodeInvalidArgument, "unknown member %q", name) // encoding/json takes a long s for an s
		}
		var inner json.RawMessage
		if d.Decode(&inner) != nil {
			return nil
		}
		if name == "resume" || name == "events" {
			if err := checkMembers(inner); err != nil {
				return err
			}
		}
	}
	return nil
}

// mixedCase tells the protocol's members that are not all in lower case.
func mixedCase(name string) bool {
	switch name {
	case "orderBy", "limitToLast", "startAt", "startAfter", "endAt", "endBefore":
		return true
	}
	return false
}

// jsonProblem words a decoding error without Go's names.
func jsonProblem(err error) string {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Sprintf("%s at offset %d", syntax.Error(), syntax.Offset)
	case errors.As(err, &kind) && kind.Field == "":
		return "it is a JSON " + kind.Value
	case errors.As(err, &kind):
		return fmt.Sprintf("%q can't be a JSON %s", kind.Field, kind.Value)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it ends too early"
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

type errorAnswer struct {
	Type    string `json:"type"`
	ID      uint64 `json:"id,omitempty"`   // the subscription that has ended
	Wait    uint64 `json:"wait,omitempty"` // the wait that has ended
	Code    Code   `json:"code"`
	Message string `json:"message"`
	RetryMS int64  `json:"retry_ms,omitempty"` // not before so long
}

func errorFrame(id uint64, err *Error) errorAnswer {
	return errorAnswer{Type: "error", ID: id, Code: err.Code, Message: err.Message}
}

type idAnswer struct {
	Type string `json:"type"`
	ID   uint64 `json:"id,omitempty"`
}

func mustJSON(v any) []byte {
	frame, err := json.Marshal(v)
	if err != nil { // of our own structs: can't be
		return []byte(`{"type":"error","code":"internal","message":"the answer can't be encoded"}`)
	}
	return frame
}

func waitedFrame(id uint64, position cdc.LSN) []byte {
	return fmt.Appendf(nil, `{"type":"waited","id":%d,"position":"%s"}`, id, position)
}

// handle does what one frame asks. It runs in the transport's reader and blocks
// while the client does not take its answers.
func (s *session) handle(frame []byte) {
	s.awaitTurn()
	s.awaitRoom()
	r, err := parseRequest(frame)
	if err != nil {
		s.refuse(errorAnswer{}, err)
		return
	}
	switch r.Type {
	case "subscribe":
		s.subscribe(r)
	case "unsubscribe":
		s.unsubscribe(r)
	case "wait":
		if err := s.wait(r); err != nil {
			s.refuse(errorAnswer{Wait: r.ID}, err)
		}
	case "ping":
		s.say(idAnswer{Type: "pong", ID: r.ID})
	case "auth":
		if err := s.renew(r); err != nil {
			s.refuse(errorAnswer{}, err)
		}
	case "":
		s.refuse(errorAnswer{}, errorf(CodeInvalidArgument, "the frame has no type"))
	default:
		s.refuse(errorAnswer{}, errorf(CodeInvalidArgument, "unknown frame type %q: there are subscribe, unsubscribe, wait and ping", r.Type))
	}
}

// awaitTurn reads a client that sends faster than it may as slowly as it may: nothing
// is refused, and what it sends meanwhile waits in its own connection.
func (s *session) awaitTurn() {
	if s.pace == nil || s.pace.Allow() {
		return
	}
	s.server.hub.Metrics.Throttled.Inc()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.mu.Lock()
	s.unpace = cancel
	closed := s.closed
	s.mu.Unlock()
	if !closed {
		_ = s.pace.Wait(ctx) // an error is the session's end
	}
}

// refuse answers a request with an error. about says what it concerns: nothing of
// it where a subscription of that id goes on.
func (s *session) refuse(about errorAnswer, err *Error) {
	s.server.hub.Metrics.Errors.WithLabelValues(string(err.Code)).Inc()
	about.Type, about.Code, about.Message = "error", err.Code, err.Message
	s.say(about)
}

func (s *session) subscribe(r *request) {
	if r.ID == 0 {
		s.refuse(errorAnswer{}, errorf(CodeInvalidArgument, "subscribe needs an id: a positive integer"))
		return
	}
	s.mu.Lock()
	_, used := s.byID[r.ID]
	_, heard := s.listening[r.ID]
	n := len(s.byID) + len(s.listening)
	s.mu.Unlock()
	if used || heard {
		s.refuse(errorAnswer{}, errorf(CodeInvalidArgument, "subscription %d is already open on this connection, and goes on", r.ID))
		return
	}
	if most := s.server.options.Subscriptions; n >= most {
		s.refuse(errorAnswer{ID: r.ID}, errorf(CodeResourceExhausted, "the connection has %d subscriptions (limits.subscriptions): end one first", most))
		return
	}
	if r.Events != nil {
		if err := s.listen(r); err != nil {
			s.refuse(errorAnswer{ID: r.ID}, err)
		}
		return
	}
	q, err := s.query(r)
	if err != nil {
		s.refuse(errorAnswer{ID: r.ID}, err)
		return
	}
	select { // not faster than its snapshots are read, wanted or not
	case s.reading <- struct{}{}:
	case <-s.server.hub.done:
		return
	}
	sub := &subscription{id: r.ID, session: s, query: q, read: func() { <-s.reading }}
	if r.Resume != nil {
		sub.shown, sub.reset = true, true
		sub.resume = s.resumption(r.Resume.Cursor, r.Resume.Token)
	}
	s.mu.Lock()
	s.byID[r.ID] = sub
	s.mu.Unlock()
	s.company.call(func() { s.company.subscribe(sub) })
}

// resumption reads what a client says it has, and waits until the company has come
// to there; nil where it can't be gone on from.
func (s *session) resumption(text, token string) *resumption {
	hub := s.server.hub
	if hub.epoch.Load() == nil && !s.reach(1) { // nothing has come from the stream yet
		return nil
	}
	at, ok := hub.sealer.open(*hub.epoch.Load(), s.company.id, text)
	if !ok || !s.reach(at.position) || !hub.knows(at) {
		return nil
	}
	return &resumption{cursor: at, token: token}
}

// reach waits until the company has come to a position; false when that takes too
// long. All that a connection resumes waits no longer together: its queries have one
// cursor, and what a server never reaches it would wait for again and again.
func (s *session) reach(position cdc.LSN) bool {
	hub, begun := s.server.hub, time.Now()
	reached := make(chan struct{})
	patience := max(s.server.options.ResumePatience-s.waited, time.Millisecond)
	defer func() { s.waited += time.Since(begun) }()
	hub.awaitCompany(s.company, position, patience, s.gone, func() { close(reached) })
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-reached:
		return true
	case <-late.C:
	case <-hub.done:
	}
	return false
}

// listen opens a subscription to events.
func (s *session) listen(r *request) *Error {
	if len(r.Query) > 0 {
		return errorf(CodeInvalidArgument, "a subscribe asks for a query or for events, not both")
	}
	if err := r.Events.check(); err != nil {
		return err
	}
	l := &listener{id: r.ID, session: s, request: r.Events}
	var from *resumption
	if r.Resume != nil {
		from = s.resumption(r.Resume.Cursor, "")
	}
	since, _ := r.Events.since() // checked
	s.mu.Lock()
	s.listening[r.ID] = l
	s.mu.Unlock()
	err := errorf(CodeUnavailable, "the server stops: connect again")
	s.company.call(func() {
		err = s.company.listen(l, func() {
			switch {
			case from != nil:
				l.at, l.next = from.position, 0
			case r.Resume != nil:
				l.gaps = []gap{{to: l.at, because: "the cursor is not of this history"}}
			case since != 0:
				l.at, l.gaps = s.company.since(since)
				l.next = 0
			}
		})
	})
	if err != nil {
		s.mu.Lock()
		delete(s.listening, r.ID)
		s.mu.Unlock()
	}
	return err
}

// query compiles what a subscribe asks for.
func (s *session) query(r *request) (*query, *Error) {
	if len(r.Query) == 0 {
		return nil, errorf(CodeInvalidArgument, "subscribe needs a query, or events")
	}
	return s.server.compile(s.principal.Load(), r.Query)
}

// unsubscribe is never refused: a subscription that has just ended by itself may
// be named.
func (s *session) unsubscribe(r *request) {
	s.mu.Lock()
	sub, l := s.byID[r.ID], s.listening[r.ID]
	delete(s.byID, r.ID)
	delete(s.listening, r.ID)
	s.mu.Unlock()
	tell := func() { s.say(idAnswer{Type: "unsubscribed", ID: r.ID}) }
	switch {
	case l != nil:
		s.company.call(func() { s.company.unlisten(l, tell) })
		return
	case sub == nil:
		tell()
		return
	}
	s.company.call(func() { s.company.unsubscribe(sub, tell) })
}

// maxWaits bounds the waits of one connection.
const maxWaits = 100

func (s *session) wait(r *request) *Error {
	lsn, timeout, err := s.server.parseWait(r)
	if err != nil {
		return err
	}
	w := &wait{id: r.ID, lsn: lsn}
	s.mu.Lock()
	full := len(s.waits) >= maxWaits
	if !full && !s.closed {
		w.timer = time.AfterFunc(timeout, func() { s.expire(w, timeout) })
		s.asked++
		w.n = s.asked
		s.waits = append(s.waits, w)
	}
	s.mu.Unlock()
	if full {
		return errorf(CodeResourceExhausted, "the connection has %d waits already", maxWaits)
	}
	s.server.hub.awaitCompany(s.company, lsn, timeout, s.gone, s.kick)
	return nil
}

// parseWait reads what a wait asks for.
func (s *Server) parseWait(r *request) (cdc.LSN, time.Duration, *Error) {
	if r.LSN == "" {
		return 0, 0, errorf(CodeInvalidArgument, "wait needs an lsn: what SELECT pg_current_wal_insert_lsn() gives after COMMIT")
	}
	lsn, err := pglogrepl.ParseLSN(r.LSN)
	if err != nil || !isLSN(r.LSN) {
		return 0, 0, errorf(CodeInvalidArgument, "%q is not a position in the WAL: give it as PostgreSQL prints it, as in 0/19A4F30", r.LSN)
	}
	timeout := min(5*time.Second, s.options.WaitTimeout)
	if r.TimeoutMS != nil {
		timeout = time.Duration(*r.TimeoutMS) * time.Millisecond
		if *r.TimeoutMS <= 0 || timeout/time.Millisecond != time.Duration(*r.TimeoutMS) {
			return 0, 0, errorf(CodeInvalidArgument, "timeout_ms must be positive")
		}
	}
	if most := s.options.WaitTimeout; timeout > most {
		return 0, 0, errorf(CodeInvalidArgument, "timeout_ms is more than the %d allowed (limits.wait_timeout)", most.Milliseconds())
	}
	return lsn, timeout, nil
}

// isLSN tells a position from what only begins like one, which ParseLSN takes.
func isLSN(text string) bool {
	high, low, ok := strings.Cut(text, "/")
	const digits = "0123456789abcdefABCDEF"
	return ok && len(high) <= 8 && len(low) <= 8 && strings.Trim(high, digits) == "" && strings.Trim(low, digits) == ""
}

// expire answers a wait whose time is up.
func (s *session) expire(w *wait, timeout time.Duration) {
	s.mu.Lock()
	found := false
	for i := range s.waits {
		if s.waits[i] == w {
			s.waits = append(s.waits[:i:i], s.waits[i+1:]...)
			found = true
			break
		}
	}
	s.mu.Unlock()
	if found {
		s.refuse(errorAnswer{Wait: w.id}, errorf(CodeDeadlineExceeded, "%s has not been reached within %s", w.lsn, timeout))
	}
}

// takeWaits gives the waits that position satisfies, among the first asked ones: a
// later one may come after subscriptions of which the position says nothing.
func (s *session) takeWaits(position cdc.LSN, asked uint64) []*wait {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waits) == 0 {
		return nil
	}
	var done, left []*wait
	for _, w := range s.waits {
		if w.lsn <= position && w.n <= asked {
			w.timer.Stop()
			done = append(done, w)
		} else {
			left = append(left, w)
		}
	}
	s.waits = left
	return done
}

// awaitCompany calls fn once the company has published lsn.
func (h *Hub) awaitCompany(c *company, lsn cdc.LSN, patience time.Duration, gone func() bool, fn func()) {
	h.post(func() { h.awaitCompanyHere(c, lsn, patience, gone, fn) })
}

// awaitCompanyHere is awaitCompany in the hub's goroutine.
func (h *Hub) awaitCompanyHere(c *company, lsn cdc.LSN, patience time.Duration, gone func() bool, fn func()) {
	h.await(lsn, patience, gone, func(cdc.LSN) {
		h.deliver(c)
		here := h.here()
		c.inbox.push(message{do: func() {
			c.reached(here)
			c.publish()
			fn()
		}}, 0)
	})
}
