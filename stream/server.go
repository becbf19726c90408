package stream

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/walwire/walwire/auth"
	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/mapping/predicate"
)

// errClosed ends the writing of frames to a connection that is gone.
var errClosed = errors.New("connection closed")

// maxPooledBuffer is the largest frame buffer that is kept for the next frame.
const maxPooledBuffer = 1 << 20

// Authenticator turns a token into a Principal. A refusal is an *auth.Error;
// any other error means that tokens can't be checked now.
type Authenticator interface {
	Authenticate(ctx context.Context, token, company string) (auth.Principal, error)
}

// ServerOptions bound what clients may take. Zero values mean the defaults named.
type ServerOptions struct {
	Authenticator Authenticator
	Limiter       Limiter       // nil: no limits on who connects
	RenewalNotice time.Duration // before a token's end that its client is told; 1 min
	TicketLife    time.Duration // 30 s
	Tickets       int           // unused ones of one user; 20
	// FramesPerSecond is how fast a client's frames are read, after a burst; 0: no limit.
	FramesPerSecond float64
	FramesBurst     int
	// ClientAddress gives the address of a request's client; nil: its peer's.
	ClientAddress func(r *http.Request) string
	// Viewers say who sees statistics; SetViewers changes them.
	Viewers Viewers
	// Behind gives how much WAL was written and not read yet, in octets, and for how long
	// it has waited; nil: not known.
	Behind func() (octets int64, late time.Duration)
	// Spread is how far apart clients are told to come back when the server stops; 5 s.
	Spread         time.Duration
	AuthDeadline   time.Duration // to the first valid token; 5 s
	WriteTimeout   time.Duration // of one frame to a client that does not read; 2 min
	PingInterval   time.Duration // between two pings to a client, which may take WriteTimeout to answer; 30 s
	ResumePatience time.Duration // for a position that a client has seen and this server has not; 15 s
	WaitTimeout    time.Duration // longest wait; 30 s
	FrameBytes     int64         // of a client's frame; 64 KiB
	DataFrameBytes int           // about where data frames are cut; 256 KiB
	Subscriptions  int           // of one connection; 100
	// Unmerged sends every commit of a live query in a frame of its own, for comparison.
	Unmerged bool
	Filter   predicate.Limits
	// Ready says why the server can't serve now, nil when it can.
	Ready func() error
	Log   *slog.Logger
}

// Server is the HTTP side: connections, waits and health.
type Server struct {
	hub     *Hub
	options ServerOptions
	mux     *http.ServeMux
	crew    *crew // readers and writers of connections
	writers *writers
	buffers sync.Pool
	tickets *auth.Tickets
	viewers atomic.Pointer[Viewers]

	usersRules atomic.Uint64 // how often users were to be looked up by other rules

	mu        sync.Mutex // protects following
	sessions  map[*session]struct{}
	keyed     map[string]keyed        // sessions by their key
	strangers map[*webSocket]struct{} // that have not shown who they are
	stopping  bool
	stopped   bool // who is still there is cut off
}

// NewServer makes a server for what hub follows.
func NewServer(hub *Hub, o ServerOptions) *Server {
	orDefault(&o.AuthDeadline, 5*time.Second)
	orDefault(&o.RenewalNotice, time.Minute)
	orDefault(&o.Spread, 5*time.Second)
	orDefault(&o.TicketLife, 30*time.Second)
	orDefault(&o.Tickets, 20)
	orDefault(&o.WriteTimeout, 2*time.Minute)
	orDefault(&o.PingInterval, 30*time.Second)
	orDefault(&o.ResumePatience, 15*time.Second)
	orDefault(&o.WaitTimeout, 30*time.Second)
	orDefault(&o.FrameBytes, 64<<10)
	orDefault(&o.DataFrameBytes, 256<<10)
	orDefault(&o.Subscriptions, 100)
	if o.Filter == (predicate.Limits{}) {
		o.Filter = predicate.DefaultLimits()
	}
	s := &Server{hub: hub, options: o, mux: http.NewServeMux(), crew: newCrew(), sessions: make(map[*session]struct{}), keyed: make(map[string]keyed),
		strangers: make(map[*webSocket]struct{})}
	s.writers = newWriters(s.crew)
	s.SetViewers(o.Viewers)
	s.tickets = auth.NewTickets(o.TicketLife, o.Tickets, nil)
	s.buffers.New = func() any { return new([]byte) }
	s.mux.HandleFunc("GET /v1/stream", s.stream)
	s.mux.HandleFunc("GET /v1/sse", s.sse)
	s.mux.HandleFunc("POST /v1/send", s.sendHTTP)
	s.mux.HandleFunc("POST /v1/poll", s.poll)
	s.mux.HandleFunc("POST /v1/query", s.queryHTTP)
	s.mux.HandleFunc("POST /v1/tickets", s.ticketHTTP)
	s.mux.HandleFunc("GET /v1/stats", s.statsHTTP)
	s.mux.HandleFunc("POST /v1/wait", s.waitHTTP)
	s.mux.HandleFunc("GET /healthz", s.healthz)
	s.mux.HandleFunc("GET /readyz", s.readyz)
	s.mux.HandleFunc("/", s.notFound)
	return s
}

func orDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// stopping is how a client learns that the server stops.
type stopping struct {
	Type    string `json:"type"`
	AfterMS int64  `json:"after_ms"`
}

// Drain lets nobody in any more and tells every client to connect again, each at another
// moment: all at once would be a burden to whoever takes over. It waits until their
// connections are done, at most until ctx ends; what is left then is cut off.
func (s *Server) Drain(ctx context.Context) error {
	s.mu.Lock()
	s.stopping = true
	for ss := range s.sessions {
		ss.say(stopping{"reconnect", mathrand.Int64N(s.options.Spread.Milliseconds() + 1)})
		ss.close(CloseStopping, "the server stops: connect again")
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		s.crew.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	s.stopped = true
	for t := range s.strangers {
		t.Cut()
	}
	for ss := range s.sessions {
		ss.transport.Cut()
	}
	s.mu.Unlock()
	<-done
	return ctx.Err()
}

// address names a request's client.
func (s *Server) address(r *http.Request) string {
	if s.options.ClientAddress != nil {
		return s.options.ClientAddress(r)
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

func (s *Server) waitHTTP(w http.ResponseWriter, r *http.Request) {
	p, no := s.authenticateOnce(r)
	if no != nil {
		writeRefusal(w, no)
		return
	}
	company, err := s.hub.companyOf(p)
	if err != nil {
		writeError(w, err)
		return
	}
	var body struct {
		LSN       string `json:"lsn"`
		TimeoutMS *int64 `json:"timeout_ms"`
	}
	if err := s.readBody(w, r, &body); err != nil {
		writeError(w, err)
		return
	}
	lsn, timeout, err := s.parseWait(&request{LSN: body.LSN, TimeoutMS: body.TimeoutMS})
	if err != nil {
		writeError(w, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	reached := make(chan struct{})
	s.hub.awaitServed(ctx, company, lsn, timeout, func() { close(reached) })
	select {
	case <-reached:
		writeJSON(w, http.StatusOK, map[string]string{"position": s.hub.Position().String()})
	case <-ctx.Done():
		writeError(w, errorf(CodeDeadlineExceeded, "%s has not been reached within %s", lsn, timeout))
	case <-s.hub.done:
		writeError(w, errorf(CodeUnavailable, "the server stops: try again"))
	}
}

// awaitServed calls fn once lsn has been handled for a company, connected or not.
func (h *Hub) awaitServed(ctx context.Context, id string, lsn cdc.LSN, patience time.Duration, fn func()) {
	gone := func() bool { return ctx.Err() != nil }
	h.postContext(ctx, func() {
		if c := h.companies[id]; c != nil {
			h.awaitCompanyHere(c, lsn, patience, gone, fn)
			return
		}
		h.await(lsn, patience, gone, func(cdc.LSN) { fn() })
	})
}

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	err := s.hub.readiness()
	s.mu.Lock()
	if s.stopping {
		err = errors.New("the server stops")
	}
	s.mu.Unlock()
	if err == nil && s.options.Ready != nil {
		err = s.options.Ready()
	}
	if err != nil {
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "not ready", "reason": err.Error()})
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ready", "position": s.hub.Position().String()})
}

func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	writeError(w, errorf(CodeNotFound, "nothing at %s %s: see docs/protocol.md", r.Method, r.URL.Path))
}

func writeRefusal(w http.ResponseWriter, no *refusal) {
	if no.after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(no.after.Seconds()))))
	}
	writeError(w, no.Error)
}

func writeError(w http.ResponseWriter, err *Error) { writeJSON(w, err.Code.HTTPStatus(), err) }

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}
