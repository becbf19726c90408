package stream

import (
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/walwire/walwire/auth"
	"github.com/walwire/walwire/cdc"
)

// transport carries frames to one client.
type transport interface {
	// Send writes one frame; it blocks while the client does not read, within the
	// server's write timeout, and tells w before, unless that is nil. The frame is not kept.
	Send(frame []byte, w turn) error
	// Close ends the connection with one of the close codes. Send returns soon after.
	Close(code int, reason string)
	// Cut ends the connection without a word.
	Cut()
}

// The writer of a session runs only while there is something to write.
const (
	writerIdle int32 = iota
	writerRunning
	writerAgain // running, and there is more than it has looked at
)

// session is one authenticated connection: its subscriptions' cursors, and what
// waits to be said. The reader (the transport's) calls handle; one of the server's writers
// sees to it while the client is behind.
type session struct {
	id        string
	server    *Server
	company   *company
	principal atomic.Pointer[auth.Principal] // with the rights of now; the company writes it once the session has a user
	user      *user                          // the company's; nil before it is known
	transport transport
	writer    atomic.Int32
	absent    bool // the writer's: it has waited for its client
	left      bool // the company's: nothing of it is to begin any more
	via       string
	since     time.Time
	address   string
	key       string        // of a session whose client's frames come by other requests
	release   func()        // gives back what it counts for; nil: nothing
	pace      *rate.Limiter // of the client's frames; nil: none
	reading   chan struct{} // a place for each snapshot being read for this session
	waited    time.Duration // the reader's: for positions of cursors, until now
	said      cdc.LSN       // the writer's: where the client was last told to be
	rules     uint64        // Server.usersRules when its user was first looked up
	identity  sync.Mutex    // held while its user is looked up again

	// The following are guarded by company.mu.
	subscriptions []*subscription
	listeners     []*listener
	rebasing      bool     // the company has been asked to begin what is behind anew; the writer sets it
	paused        bool     // subscriptions are being made anew
	revoked       *closing // the session is to end before it is told anything more

	mu        sync.Mutex // protects following
	room      sync.Cond  // control has been taken
	control   [][]byte
	waits     []*wait
	asked     uint64 // waits so far
	queries   openQueries
	listening map[uint64]*listener // by id; made with the first
	closing   *closing
	begun     bool // the welcome is the first that is said
	closed    bool
	clock     *time.Timer // of the token's end
	unpace    func()      // ends the reader's wait for its turn; nil: none
}

type closing struct {
	code   int
	reason string
}

// wait is a client's wait for a position.
type wait struct {
	id    uint64
	n     uint64 // the session's n-th
	lsn   cdc.LSN
	timer *time.Timer
}

// maxReading bounds the snapshots that one session has read at once.
const maxReading = 16

// maxControl bounds the answers that wait for a client that does not read; its
// reader stands still meanwhile.
const maxControl = 256

func newSession(s *Server, id string, p *auth.Principal, t transport) *session {
	ss := &session{id: id, server: s, since: time.Now(), transport: t, reading: make(chan struct{}, maxReading)}
	ss.principal.Store(p)
	if s.options.FramesPerSecond > 0 {
		ss.pace = rate.NewLimiter(rate.Limit(s.options.FramesPerSecond), s.options.FramesBurst)
	}
	ss.room.L = &ss.mu
	return ss
}

// kick makes sure that the writer looks at the session. Safe for concurrent use.
func (s *session) kick() {
	if s.writer.Swap(writerAgain) == writerIdle {
		s.server.writers.add(s)
	}
}

// write writes what there is to say now; again says that there is more meanwhile, waited
// that the session has been away.
func (s *session) write() (again, waited bool) {
	s.writer.Store(writerRunning)
	s.flush()
	waited, s.absent = s.absent, false
	return !s.writer.CompareAndSwap(writerRunning, writerIdle), waited
}

// away implements turn, for the session's writer.
func (s *session) away() {
	if !s.absent {
		s.absent = true
		s.server.writers.away()
	}
}

// flush writes all there is to say: answers first, then one commit's state of
// all subscriptions, then the waits which that satisfies.
func (s *session) flush() {
	if s.silent() {
		return
	}
	closing := s.ending() // before: what was said before it goes out before it
	cut, ok := s.collect()
	for _, frame := range cut.control {
		if !s.send(frame) {
			return
		}
	}
	if cut.revoked != nil && closing == nil {
		closing = cut.revoked
	}
	if closing != nil {
		s.shut()
		s.server.hub.Metrics.Closes.WithLabelValues(strconv.Itoa(closing.code)).Inc()
		s.away()
		s.transport.Close(closing.code, closing.reason)
		return
	}
	if !ok {
		return
	}
	if cut.cursor != "" && !s.sendData(&cut) {
		return
	}
	if cut.loading {
		return // what is waited for may be in rows that have not come yet
	}
	for _, w := range s.takeWaits(cut.position, cut.asked) {
		if !s.send(waitedFrame(w.id, cut.position)) {
			return
		}
	}
}

func (s *session) send(frame []byte) bool {
	if err := s.transport.Send(frame, s); err != nil {
		s.shut()
		return false
	}
	m := s.server.hub.Metrics
	m.FramesOut.Inc()
	m.BytesOut.Add(float64(len(frame)))
	return true
}

// cut is the state of all subscriptions at one position, as far as the client
// does not know it, with the answers that it has to have before.
type cut struct {
	control  [][]byte
	asked    uint64 // see takeControl
	position cdc.LSN
	time     int64
	updates  []update
	loading  bool     // a subscription has no rows to show yet
	revoked  *closing // the session is to end, after the answers
	cursor   string   // "" where there is nothing to send
}

// changed reports whether it tells of the commit itself, and not of rows that were there.
func (c *cut) changed() bool {
	return slices.ContainsFunc(c.updates, func(u update) bool { return len(u.entries) > 0 && !u.snapshot && !u.resumed })
}

// collect takes the answers, and advances every cursor to the company's published
// position. It returns false while a subscription can't go there yet: the others wait
// with it.
func (s *session) collect() (out cut, ok bool) {
	c := s.company
	c.mu.RLock()
	defer c.mu.RUnlock()
	out.control, out.asked = s.takeControl()
	if s.revoked != nil {
		out.revoked = s.revoked
		return out, false
	}
	if s.paused || c.hub.epoch.Load() == nil { // before the stream has begun there is no cursor
		return out, false
	}
	out.position, out.time = c.published, c.stamp
	behind := false
	for _, sub := range s.subscriptions {
		if sub.held {
			return out, false
		}
		behind = behind || sub.attached && sub.behind()
	}
	if behind {
		if !s.rebasing {
			s.rebasing = true
			c.inbox.push(message{do: func() { c.rebase(s) }}, 0)
		}
		return out, false
	}
	for _, sub := range s.subscriptions {
		out.loading = out.loading || !sub.attached
		if sub.blank != nil {
			out.updates = append(out.updates, update{id: sub.id, base: base{head: sub.blank}, snapshot: true, reset: true, loading: true, token: noToken})
			sub.blank = nil
		}
		if !sub.attached || sub.watch != nil {
			continue
		}
		entries, _ := sub.view.chain.since(sub.next)
		if len(entries) == 0 && sub.base == nil && !sub.resumed {
			continue
		}
		if len(entries) > 1 {
			s.server.hub.Metrics.Merges.Inc()
		}
		out.updates = append(out.updates, sub.update(entries))
	}
	s.collectEvents(&out)
	if len(out.updates) > 0 || s.said < c.marked && len(s.subscriptions)+len(s.listeners) > 0 {
		out.cursor, s.said = c.cursor(), c.published
	}
	return out, true
}

// noToken stands where there is nothing to go on from.
const noToken = "-"

// update takes what there is to say of a subscription. company.mu is held.
func (sub *subscription) update(entries []*entry) update {
	u := update{id: sub.id, resumed: sub.resumed}
	if sub.base != nil {
		u.snapshot, u.base, u.token, u.reset = true, *sub.base, sub.token, sub.reset
		sub.shown = true
	}
	if sub.missed != nil {
		u.entries = slices.Concat(sub.missed.entries, entries)
		sub.miss(nil)
	} else {
		u.entries = slices.Clone(entries) // the chain's own lets go of them
	}
	sub.base, sub.reset, sub.resumed = nil, false, false
	sub.next = sub.view.chain.end()
	return u
}

// silent reports whether nothing can be written yet, or any more.
func (s *session) silent() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.begun || s.closed
}

// gone reports whether nothing can be written any more.
func (s *session) gone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// forget takes a subscription out. company.mu is held.
func (s *session) forget(sub *subscription) {
	s.subscriptions = slices.DeleteFunc(s.subscriptions, func(other *subscription) bool { return other == sub })
}

// revoke ends the session because its rights may be others now.
func (s *session) revoke() { s.close(CloseRightsChanged, "rights changed: connect again") }

// close ends the session after what has been said already.
func (s *session) close(code int, reason string) {
	s.end(code, reason)
	s.kick()
}

// end makes the writer close the connection; the first reason counts.
func (s *session) end(code int, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing == nil {
		s.closing = &closing{code: code, reason: reason}
	}
}

// ending says why the writer is to close, nil while it is not or has.
func (s *session) ending() *closing {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	return s.closing
}

// shut stops all writing: the connection is gone.
func (s *session) shut() {
	s.mu.Lock()
	s.closed = true
	s.control = nil
	s.stopClockLocked()
	if s.unpace != nil {
		s.unpace()
	}
	for _, w := range s.waits {
		w.timer.Stop()
	}
	s.waits = nil
	s.room.Broadcast()
	s.mu.Unlock()
}

// say queues an answer; the reader waits while too many are queued.
func (s *session) say(v any) {
	frame := mustJSON(v)
	s.mu.Lock()
	if !s.closed {
		s.control = append(s.control, frame)
	}
	s.mu.Unlock()
	s.kick()
}

// awaitRoom blocks the reader while the client does not take its answers.
func (s *session) awaitRoom() {
	s.mu.Lock()
	for len(s.control) >= maxControl && !s.closed {
		s.room.Wait()
	}
	s.mu.Unlock()
}

// takeControl takes the answers that wait, and says how many waits had been asked for.
func (s *session) takeControl() (control [][]byte, asked uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	control = s.control
	s.control = nil
	s.room.Broadcast()
	return control, s.asked
}

// ended tells the client that one subscription has ended.
func (s *session) ended(sub *subscription, err *Error) {
	s.mu.Lock()
	s.queries.remove(sub)
	s.mu.Unlock()
	s.say(errorFrame(sub.id, err))
}

// openQueries are a session's, at most ServerOptions.Subscriptions: few enough to look
// through, and most have one.
type openQueries []*subscription

// find gives the one of an id, nil where there is none.
func (o openQueries) find(id uint64) *subscription {
	if i := slices.IndexFunc(o, func(sub *subscription) bool { return sub.id == id }); i >= 0 {
		return o[i]
	}
	return nil
}

func (o *openQueries) remove(sub *subscription) {
	*o = slices.DeleteFunc(*o, func(other *subscription) bool { return other == sub })
}
