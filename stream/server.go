package stream

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

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
	Authenticate(ctx context.Context, token string) (auth.Principal, error)
}

// ServerOptions bound what clients may take. Zero values mean the defaults named.
type ServerOptions struct {
	Authenticator  Authenticator
	AuthDeadline   time.Duration // to the first valid token; 5 s
	WriteTimeout   time.Duration // of one frame to a client that does not read; 2 min
	PingInterval   time.Duration // between two pings to a client, which may take WriteTimeout to answer; 30 s
	ResumePatience time.Duration // for a position that a client has seen and this server has not; 15 s
	WaitTimeout    time.Duration // longest wait; 30 s
	FrameBytes     int64         // of a client's frame; 64 KiB
	DataFrameBytes int           // about where data frames are cut; 256 KiB
	Subscriptions  int           // of one connection; 100
	Filter         predicate.Limits
	// Origins are the web origins that may connect beside the server's own; "*" is any.
	Origins []string
	// Gatherer gives the metrics for GET /metrics; nil: none.
	Gatherer prometheus.Gatherer
	// Ready says why the server can't serve now, nil when it can.
	Ready func() error
	Log   *slog.Logger
}

// Server is the HTTP side: connections, waits and health.
type Server struct {
	hub     *Hub
	options ServerOptions
	mux     *http.ServeMux
	writers sync.WaitGroup
	readers sync.WaitGroup
	buffers sync.Pool

	mu       sync.Mutex // protects following
	sessions map[*session]struct{}
	stopping bool
}

// NewServer makes a server for what hub follows.
func NewServer(hub *Hub, o ServerOptions) *Server {
	orDefault(&o.AuthDeadline, 5*time.Second)
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
	s := &Server{hub: hub, options: o, mux: http.NewServeMux(), sessions: make(map[*session]struct{})}
	s.buffers.New = func() any { return new([]byte) }
	s.mux.HandleFunc("GET /v1/stream", s.stream)
	s.mux.HandleFunc("POST /v1/wait", s.waitHTTP)
	s.mux.HandleFunc("GET /healthz", s.healthz)
	s.mux.HandleFunc("GET /readyz", s.readyz)
	if o.Gatherer != nil {
		s.mux.Handle("GET /metrics", promhttp.HandlerFor(o.Gatherer, promhttp.HandlerOpts{}))
	}
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

// Close tells every client to reconnect and waits until their connections are
// done, at most until ctx ends.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	s.stopping = true
	for ss := range s.sessions {
		ss.close(CloseStopping, "the server stops: connect again")
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		s.readers.Wait()
		s.writers.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	for ss := range s.sessions {
		ss.transport.Close(CloseStopping, "the server stops: connect again")
	}
	s.mu.Unlock()
	<-done
	return ctx.Err()
}

// authenticate checks a token and words the refusal.
func (s *Server) authenticate(ctx context.Context, token string) (*auth.Principal, *Error) {
	p, err := s.options.Authenticator.Authenticate(ctx, token)
	var refused *auth.Error
	switch {
	case err == nil:
		return &p, nil
	case errors.As(err, &refused):
		s.options.Log.Info("token refused", "error", err)
		return nil, &Error{Code: CodeUnauthenticated, Message: refused.Message}
	}
	s.options.Log.Info("token not checked", "error", err) // the source of keys tells of its outage, once
	return nil, errorf(CodeUnavailable, "tokens can't be checked now: try again")
}

// bearer gives the token of the Authorization header, "" without one.
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// refuseURLToken reports whether the URL carries a token, which ends in logs and
// referrers, and refuses the request then.
func refuseURLToken(w http.ResponseWriter, r *http.Request) bool {
	query := r.URL.Query()
	for _, name := range []string{"token", "access_token", "jwt", "auth", "authorization"} {
		if query.Has(name) {
			writeError(w, errorf(CodeInvalidArgument, "a token in the URL is refused: send it in the auth frame or the Authorization header"))
			return true
		}
	}
	return false
}

func (s *Server) waitHTTP(w http.ResponseWriter, r *http.Request) {
	if refuseURLToken(w, r) {
		return
	}
	p, err := s.authenticate(r.Context(), bearer(r))
	if err != nil {
		writeError(w, err)
		return
	}
	var body struct {
		LSN       string `json:"lsn"`
		TimeoutMS *int64 `json:"timeout_ms"`
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, s.options.FrameBytes))
	d.DisallowUnknownFields()
	if jsonErr := d.Decode(&body); jsonErr != nil {
		writeError(w, errorf(CodeInvalidArgument, "the body is not a JSON object of the protocol: %s", jsonProblem(jsonErr)))
		return
	}
	if _, jsonErr := d.Token(); !errors.Is(jsonErr, io.EOF) {
		writeError(w, errorf(CodeInvalidArgument, "the body holds more than one JSON value"))
		return
	}
	lsn, timeout, err := s.parseWait(&request{LSN: body.LSN, TimeoutMS: body.TimeoutMS})
	if err != nil {
		writeError(w, err)
		return
	}
	company, err := s.companyOf(p)
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

func writeError(w http.ResponseWriter, err *Error) { writeJSON(w, err.Code.HTTPStatus(), err) }

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}
