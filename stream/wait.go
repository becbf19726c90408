package stream

import (
	"strings"
	"time"

	"github.com/jackc/pglogrepl"

	"github.com/walwire/walwire/cdc"
)

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
