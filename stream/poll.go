package stream

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// maxPolled is about how many octets of frames wait for a poll; the session's writer
// stands still then, and merges what comes.
const maxPolled = 256 << 10

// farewell is how long a last frame waits for its poll.
const farewell = 2 * time.Second

// polling carries frames as answers to polls. Polls are numbered: one that comes again,
// because its answer was lost, is answered the same.
type polling struct {
	ready chan struct{} // capacity 1: there is something to take

	mu     sync.Mutex // protects following
	room   sync.Cond  // frames have been taken, or over
	frames [][]byte
	bytes  int
	over   bool // nothing more comes
	n      int64
	answer []byte          // to poll n
	begun  int             // counts the polls that came, also those that came again
	waits  context.Context // of the poll that waits; nil: none
	cancel context.CancelFunc
	idle   *time.Timer // ends the session when no poll comes
}

func newPolling() *polling {
	t := &polling{ready: make(chan struct{}, 1)}
	t.room.L = &t.mu
	return t
}

// Send implements transport.
func (t *polling) Send(frame []byte, w turn) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.bytes > maxPolled && !t.over {
		if w != nil {
			w.away()
		}
		t.room.Wait()
	}
	if t.over {
		return errClosed
	}
	t.addLocked(append([]byte(nil), frame...))
	return nil
}

func (t *polling) addLocked(frame []byte) {
	t.frames = append(t.frames, frame)
	t.bytes += len(frame)
	select {
	case t.ready <- struct{}{}:
	default:
	}
}

// Cut implements transport.
func (t *polling) Cut() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.endLocked()
	if t.cancel != nil {
		t.cancel()
	}
	if t.idle != nil { // else it is about to be entered
		t.idle.Reset(0)
	}
}

// Close implements transport. What waits can still be polled, until no poll comes.
func (t *polling) Close(code int, reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.over {
		t.addLocked(mustJSON(closeFrame{"close", code, reason}))
		t.endLocked()
		if t.cancel == nil { // between two polls, or gone
			t.idle.Reset(farewell)
		}
	}
}

func (t *polling) endLocked() {
	t.over = true
	t.room.Broadcast()
}

// begin makes ctx the poll that waits; the one before, if it still waits, has been given
// up by its client. known is the answer that poll n had already. at is for rest.
func (t *polling) begin(ctx context.Context, n int64) (poll context.Context, known []byte, at int, err *Error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begun++
	if t.cancel != nil {
		t.cancel()
	}
	t.idle.Stop()
	switch {
	case n == t.n && t.answer != nil:
		return nil, t.answer, t.begun, nil
	case n != t.n+1:
		return nil, nil, t.begun, errorf(CodeFailedPrecondition, "poll %d does not follow %d: connect again", n, t.n)
	}
	t.waits, t.cancel = context.WithCancel(ctx)
	return t.waits, nil, t.begun, nil
}

// take makes what waits the answer to poll n; false when another poll has come.
func (t *polling) take(poll context.Context, n int64) ([]byte, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if poll != t.waits || poll.Err() != nil {
		return nil, false
	}
	answer := []byte(`{"frames":[`)
	for i, frame := range t.frames {
		if i > 0 {
			answer = append(answer, ',')
		}
		answer = append(answer, frame...)
	}
	clear(t.frames)
	t.frames, t.bytes = t.frames[:0], 0
	t.n, t.answer = n, append(answer, "]}\n"...)
	select { // what was waiting is taken
	case <-t.ready:
	default:
	}
	t.room.Broadcast()
	return t.answer, true
}

// rest waits for the next poll, at most so long, unless one has begun since at.
func (t *polling) rest(at int, patience time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.begun != at {
		return
	}
	if t.cancel != nil {
		t.cancel()
	}
	t.waits, t.cancel = nil, nil
	if t.over && t.bytes == 0 { // told all
		patience = 0
	}
	t.idle.Reset(patience)
}

// polled is the body of POST /v1/poll.
type polled struct {
	Key    string `json:"key"`
	Poll   int64  `json:"poll"`
	WaitMS *int64 `json:"wait_ms"`
}

// maxPollWait bounds how long a poll waits: what lies between cuts off longer ones.
const maxPollWait = 25 * time.Second

// poll is POST /v1/poll: without a key it connects and is answered by the welcome, with
// one it waits for what there is to say. The client's frames come by POST /v1/send.
func (s *Server) poll(w http.ResponseWriter, r *http.Request) {
	var body polled
	if err := s.readBody(w, r, &body); err != nil {
		writeError(w, err)
		return
	}
	wait := maxPollWait
	if body.WaitMS != nil {
		if wait = time.Duration(*body.WaitMS) * time.Millisecond; *body.WaitMS < 0 || *body.WaitMS > maxPollWait.Milliseconds() {
			writeError(w, errorf(CodeInvalidArgument, "wait_ms must be 0 to %d", maxPollWait.Milliseconds()))
			return
		}
	}
	if body.Key == "" {
		if body.Poll != 0 {
			writeError(w, errorf(CodeInvalidArgument, "poll is numbered from 1 on, which is the one that connects, without a key; its answer holds the key"))
			return
		}
		key, ok := s.connectPolling(w, r)
		if !ok {
			return
		}
		body.Key, body.Poll = key, 1
	}
	k, ok := s.keyedBy(body.Key)
	if !ok || k.polling == nil {
		writeError(w, errUnknownKey())
		return
	}
	s.answerPoll(w, r, k, &body, wait)
}

func (s *Server) answerPoll(w http.ResponseWriter, r *http.Request, k keyed, body *polled, wait time.Duration) {
	t := k.polling
	poll, answer, at, err := t.begin(r.Context(), body.Poll)
	if err != nil {
		k.session.close(ClosePollOrder, err.Message)
		t.rest(at, s.options.PingInterval)
		writeError(w, err)
		return
	}
	if poll != nil {
		late := time.NewTimer(wait)
		defer late.Stop()
		t.mu.Lock()
		waiting := t.bytes == 0 && !t.over
		t.mu.Unlock()
		if waiting {
			select {
			case <-t.ready:
			case <-late.C:
			case <-poll.Done():
			}
		}
		var ok bool
		if answer, ok = t.take(poll, body.Poll); !ok {
			if r.Context().Err() == nil { // another one has come instead
				writeError(w, errorf(CodeFailedPrecondition, "another poll of this connection has come"))
			} else {
				t.rest(at, s.options.PingInterval)
			}
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(answer) // a lost one is asked for again
	t.rest(at, s.options.PingInterval)
}

// connectPolling opens a session that is polled and gives its key.
func (s *Server) connectPolling(w http.ResponseWriter, r *http.Request) (key string, ok bool) {
	shown, known, err := credentialsOf(r)
	if err == nil && !known {
		err = errorf(CodeUnauthenticated, "send a token as Authorization: Bearer ..., or ?ticket= of POST /v1/tickets")
	}
	if err != nil {
		writeError(w, err)
		return "", false
	}
	release, ok := s.open(w, r)
	if !ok {
		return "", false
	}
	t := newPolling()
	ss, no := s.admit(r.Context(), admission{credentials: shown, transport: t, via: viaPoll, address: s.address(r)})
	if no != nil {
		release()
		writeRefusal(w, no)
		return "", false
	}
	ss.key = newKey()
	if !s.enter(ss) {
		ss.leave()
		release()
		writeError(w, errorf(CodeUnavailable, "the server stops: connect again"))
		return "", false
	}
	var once sync.Once
	t.mu.Lock()
	t.idle = time.AfterFunc(s.options.PingInterval, func() {
		once.Do(func() {
			s.lock(ss)
			t.mu.Lock()
			t.endLocked()
			t.mu.Unlock()
			s.exit(ss)
			ss.leave()
			release()
		})
	})
	t.mu.Unlock()
	s.unlock(ss, t)
	ss.begin()
	return ss.key, true
}
