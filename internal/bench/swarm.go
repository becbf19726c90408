package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// protocol is what the clients of a swarm say and take. Its methods are called by
// the swarm's loop alone.
type protocol interface {
	// request is what a client says first, to be answered by HTTP's 101; nil: nothing,
	// and the client is ready.
	request(c *client) []byte
	// opened is what it says after that.
	opened(c *client) []byte
	// text takes a message, which is valid until it returns.
	text(s *swarm, c *client, message []byte) error
}

type phase uint8

const (
	phaseNone phase = iota
	phaseDialing
	phaseUpgrading
	phaseOpen
)

// client is one connection of a swarm.
type client struct {
	number int
	fd     int
	phase  phase
	ready  bool
	rest   []byte // of a message that has not come whole

	// What the protocol keeps.
	shown         int    // live queries that show their rows
	next          int    // the change that is to come
	resetting     bool   // all rows are being told again
	newest, fresh int    // of these: the last change, and how many had not been told
	exact         bool   // it has come back, and has what was committed before
	cursor        string // of the last frame
	token         string // of its query
	bytes         int64  // of changes' frames
	frames        int
}

// swarm is many WebSocket clients that cost little: one goroutine reads them all, by
// epoll, into one buffer, so that a measurement on one machine is one of the
// server. They come from several loopback addresses, as one has too few ports.
type swarm struct {
	protocol protocol
	clients  []*client
	// lost is called when a connection ends; nil: that is an error.
	lost func(c *client)
	// refused is called when an upgrade is answered otherwise; nil: that is an error.
	refused func(c *client, status int)

	poller poller
	byFD   map[int]*client
	buffer []byte
	target netip.AddrPort
	window int // clients that may be on their way at once
	coming int
	begun  int // clients that were dialled a first time
	nReady int
	redial []*client

	mu    sync.Mutex
	queue []func()
	ended chan struct{} // closed when the loop ends
	err   error         // of the loop; read it after ended
}

const (
	// addressClients is how many connections one loopback address has.
	addressClients = 8_000
	tick           = 10 * time.Millisecond
	redialPace     = 250 * time.Millisecond
	readBuffer     = 1 << 20
)

// newSwarm makes n clients and starts the loop; close ends it.
func newSwarm(n int, p protocol) (*swarm, error) {
	s := &swarm{protocol: p, clients: make([]*client, n), byFD: make(map[int]*client, n), buffer: make([]byte, readBuffer),
		ended: make(chan struct{})}
	for i := range s.clients {
		s.clients[i] = &client{number: i, fd: -1}
	}
	var err error
	if s.poller, err = newPoller(); err != nil {
		return nil, err
	}
	go s.loop()
	return s, nil
}

// do has the loop call f, and waits for it.
func (s *swarm) do(f func()) error {
	done := make(chan struct{})
	s.mu.Lock()
	s.queue = append(s.queue, func() { f(); close(done) })
	s.mu.Unlock()
	s.poller.wake()
	select {
	case <-done:
		return nil
	case <-s.ended:
		return s.failure()
	}
}

// ask has the loop call f, and gives what f does.
func (s *swarm) ask(f func() error) error {
	var err error
	if doErr := s.do(func() { err = f() }); doErr != nil {
		return doErr
	}
	return err
}

// until returns when done can be received from; when that takes too long, late says what
// is missing.
func (s *swarm) until(ctx context.Context, done <-chan struct{}, late func() error) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ended:
		return s.failure()
	case <-time.After(stall):
		return s.ask(late)
	}
}

func (s *swarm) failure() error {
	if s.err != nil {
		return s.err
	}
	return errors.New("the clients have ended")
}

// connect connects all clients to a server at host:port, so many at a time, and returns
// when all are ready.
func (s *swarm) connect(ctx context.Context, target string, window int) error {
	address, err := netip.ParseAddrPort(target)
	if err != nil {
		return fmt.Errorf("connect clients: %w", err)
	}
	if err := s.do(func() {
		s.target, s.window = address, window
		s.dialMore()
	}); err != nil {
		return err
	}
	return s.await(ctx, func() bool { return s.nReady == len(s.clients) })
}

// await returns when done does, which the loop asks at every tick of the clock.
func (s *swarm) await(ctx context.Context, done func() bool) error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		var is bool
		if err := s.do(func() { is = done() }); err != nil {
			return err
		}
		if is {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		case <-s.ended:
			return s.failure()
		}
	}
}

// close ends all connections and the loop. Safe to call again.
func (s *swarm) close() {
	_ = s.do(func() { s.fail(errStop) }) // it may have ended already
	<-s.ended
}

var errStop = errors.New("stop")

func (s *swarm) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

func (s *swarm) loop() {
	defer close(s.ended)
	defer s.poller.close()
	defer func() {
		for _, c := range s.clients {
			s.drop(c)
		}
		if s.err == errStop {
			s.err = nil
		}
	}()
	for next := time.Now(); s.err == nil; {
		err := s.poller.wait(tick, s.handle)
		if err != nil {
			s.fail(err)
		}
		s.mu.Lock()
		queue := s.queue
		s.queue = nil
		s.mu.Unlock()
		for _, f := range queue {
			f()
		}
		if now := time.Now(); now.After(next) && len(s.redial) > 0 {
			next = now.Add(redialPace)
			again := s.redial
			s.redial = nil
			for _, c := range again {
				s.dial(c)
			}
		}
	}
}

// handle is told that a connection can be read or, while it is made, written.
func (s *swarm) handle(fd int) {
	c := s.byFD[fd]
	if c == nil || s.err != nil {
		return
	}
	var err error
	if c.phase == phaseDialing {
		err = s.dialled(c)
	} else {
		err = s.read(c)
	}
	if err == nil {
		return
	}
	s.drop(c)
	if gone := new(goneError); errors.As(err, &gone) && s.lost != nil {
		s.lost(c)
		return
	}
	s.fail(fmt.Errorf("client %d: %w", c.number, err))
}

// goneError says that a connection could not be made, or has ended.
type goneError struct{ cause error }

func (e *goneError) Error() string { return "the connection is gone: " + e.cause.Error() }
func (e *goneError) Unwrap() error { return e.cause }

func (s *swarm) dialMore() {
	for s.begun < len(s.clients) && s.coming < s.window {
		c := s.clients[s.begun]
		s.begun++
		s.coming++
		s.dial(c)
	}
}

// dial begins a connection.
func (s *swarm) dial(c *client) {
	from := netip.AddrFrom4([4]byte{127, 0, 0, byte(2 + c.number/addressClients)})
	fd, err := s.poller.dial(from, s.target)
	if err != nil {
		s.fail(fmt.Errorf("client %d: connect: %w", c.number, err))
		return
	}
	c.fd, c.phase, c.ready, c.shown, c.rest = fd, phaseDialing, false, 0, nil
	s.byFD[fd] = c
}

func (s *swarm) dialled(c *client) error {
	if err := s.poller.dialled(c.fd); err != nil {
		return &goneError{err}
	}
	request := s.protocol.request(c)
	if request == nil {
		c.phase = phaseOpen
		s.isReady(c)
		return nil
	}
	c.phase = phaseUpgrading
	return s.write(c, request)
}

func (s *swarm) read(c *client) error {
	// What is left of a message that is not whole stands before what comes now.
	if cap(c.rest) > len(c.rest) {
		n, err := s.poller.read(c.fd, c.rest[len(c.rest):cap(c.rest)])
		if err != nil {
			return &goneError{err}
		}
		c.rest = c.rest[:len(c.rest)+n]
		rest := c.rest
		c.rest = nil
		return s.take(c, rest)
	}
	n, err := s.poller.read(c.fd, s.buffer)
	if err != nil {
		return &goneError{err}
	}
	return s.take(c, s.buffer[:n:n])
}

// write writes little to a connection; what does not go out at once is an error.
func (s *swarm) write(c *client, b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if err := s.poller.write(c.fd, b); err != nil {
		return &goneError{err}
	}
	return nil
}

// say sends a text frame of a client's.
func (s *swarm) say(c *client, message []byte) error {
	return s.write(c, appendMasked(nil, opText, message))
}

// isReady notes that a client has what it was connected for.
func (s *swarm) isReady(c *client) {
	if c.ready {
		return
	}
	c.ready = true
	s.nReady++
	s.coming--
	s.dialMore()
}

// drop closes a connection.
func (s *swarm) drop(c *client) {
	if c.fd < 0 {
		return
	}
	delete(s.byFD, c.fd)
	s.poller.hangUp(c.fd)
	if c.ready {
		s.nReady--
		s.coming++ // until it is back
	}
	c.fd, c.phase, c.ready, c.rest = -1, phaseNone, false, nil
}

// again has a client dial once more, soon.
func (s *swarm) again(c *client) { s.redial = append(s.redial, c) }
