package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/walwire/walwire/cdc"
)

type errorAnswer struct {
	Type    string `json:"type"`
	ID      uint64 `json:"id,omitempty"`   // the subscription that has ended
	Wait    uint64 `json:"wait,omitempty"` // the wait that has ended
	Code    Code   `json:"code"`
	Message string `json:"message"`
	RetryMS int64  `json:"retry_ms,omitempty"` // not before so long
}

func errorFrame(id uint64, err *Error) errorAnswer {
	return errorAnswer{Type: "error", ID: id, Code: err.Code, Message: err.Message, RetryMS: err.after.Milliseconds()}
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
	about.Type, about.Code, about.Message, about.RetryMS = "error", err.Code, err.Message, err.after.Milliseconds()
	s.say(about)
}

func (s *session) subscribe(r *request) {
	if r.ID == 0 {
		s.refuse(errorAnswer{}, errorf(CodeInvalidArgument, "subscribe needs an id: a positive integer"))
		return
	}
	s.mu.Lock()
	used := s.queries.find(r.ID) != nil
	_, heard := s.listening[r.ID]
	n := len(s.queries) + len(s.listening)
	s.mu.Unlock()
	if used || heard {
		s.refuse(errorAnswer{}, errorf(CodeInvalidArgument, "subscription %d is already open on this connection, and goes on", r.ID))
		return
	}
	if most := s.server.options.Subscriptions; n >= most {
		full := errorf(CodeResourceExhausted, "the connection has %d subscriptions (limits.subscriptions): end one first", most)
		full.after = time.Second
		s.refuse(errorAnswer{ID: r.ID}, full)
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
	if !s.awaitReads() {
		return
	}
	sub := &subscription{id: r.ID, session: s, query: q, read: func() { <-s.reading }}
	if r.Resume != nil {
		sub.shown, sub.reset = true, true
		sub.resume = s.resumption(r.Resume.Cursor, r.Resume.Token)
	}
	s.mu.Lock()
	s.queries = append(s.queries, sub)
	s.mu.Unlock()
	s.company.call(func() { s.company.subscribe(sub) })
}

// pulse is how often a client whose frames wait hears that somebody is there: a ping
// waits behind them, and silence would be taken for a lost connection.
const pulse = 5 * time.Second

// awaitReads lets a client ask not faster than its snapshots are read, wanted or not;
// false when the hub ends, or the client has gone.
func (s *session) awaitReads() bool {
	select {
	case s.reading <- struct{}{}:
		return true
	default:
	}
	beat := time.NewTicker(pulse)
	defer beat.Stop()
	for {
		select {
		case s.reading <- struct{}{}:
			if s.gone() {
				<-s.reading
				return false
			}
			return true
		case <-s.server.hub.done:
			return false
		case <-beat.C:
			if s.gone() {
				return false
			}
			s.say(idAnswer{Type: "pong"})
		}
	}
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
	late, beat := time.NewTimer(patience), time.NewTicker(pulse)
	defer late.Stop()
	defer beat.Stop()
	for {
		select {
		case <-reached:
			return true
		case <-late.C:
			return false
		case <-hub.done:
			return false
		case <-beat.C:
			s.say(idAnswer{Type: "pong"})
		}
	}
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
	if s.listening == nil {
		s.listening = make(map[uint64]*listener)
	}
	s.listening[r.ID] = l
	s.mu.Unlock()
	err := errorf(CodeUnavailable, "the server stops: connect again")
	s.company.call(func() {
		err = s.company.listen(l, func() {
			served := s.company.served
			switch {
			case from != nil:
				l.at, l.next = from.position, 0
				l.gaps = s.company.missing(l.channel.query, from.cursor)
				return
			case r.Resume != nil:
				l.gaps = []gap{{to: l.at, because: "the cursor is not of this history"}}
			case since != 0:
				l.at, l.gaps = s.company.since(since)
				l.next = 0
				if since <= served.begunAt { // a cursor would tell by its life whether that is so
					l.gaps = startGap(served, since, l.gaps)
				} else if s.company.floorTime == 0 && s.company.floor != 0 && s.company.floor <= served.begun { // the log has let go of nothing
					l.gaps = nil
				}
			}
			l.gaps = append(l.gaps, served.holesOf(l.channel.query, l.at, served.lives[served.life], since)...)
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
	sub, l := s.queries.find(r.ID), s.listening[r.ID]
	s.queries.remove(sub)
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
