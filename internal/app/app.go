package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/walwire/walwire/auth"
	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/internal/edge"
	"github.com/walwire/walwire/internal/schedule"
	"github.com/walwire/walwire/mapping"
	"github.com/walwire/walwire/mapping/predicate"
	"github.com/walwire/walwire/stream"
)

// feedBytes bounds what was read from the WAL and not yet routed, in octets.
const feedBytes = 8 << 20

// App is one server.
type App struct {
	cfg      *mapping.Config                // of the start
	live     atomic.Pointer[mapping.Config] // cfg, with what has been reloaded
	reload   reload
	log      *slog.Logger
	tuning   Tuning
	registry *prometheus.Registry
	auth     *authentications
	jwks     *auth.JWKS                   // nil: no keys are fetched
	site     http.Handler                 // nil: none
	schedule *schedule.Runner             // nil: nothing is run
	edge     atomic.Pointer[http.Handler] // serveHTTP behind the policy for the public
	listener net.Listener                 // nil: embedded in another program's server
	admin    net.Listener                 // nil: off
	cert     *edge.Certificate            // nil: plain HTTP
	limits   *edge.Connections
	proxies  edge.Proxies
	managing *semaphore.Weighted // of one: the publication is being changed
	entry    sync.Mutex          // held while server is set, and while it is brought to another configuration
	server   atomic.Pointer[stream.Server]
	parts    atomic.Pointer[parts]
	kind     atomic.Pointer[string] // see companyKind
	phase    atomic.Pointer[error]  // why it does not serve yet
	ready    chan struct{}          // closed when it first serves

	announced sync.Once                      // closes ready
	health    atomic.Pointer[cdc.SlotHealth] // nil: not known
	lagging   lag
}

// parts are what exists once the database has been reached.
type parts struct {
	consumer    *cdc.Consumer
	snapshotter *cdc.Snapshotter
	hub         *stream.Hub
}

// companyKind is what companies are in the tables served last, "" where none has been.
func (a *App) companyKind() string {
	if kind := a.kind.Load(); kind != nil {
		return *kind
	}
	return ""
}

// New checks the configuration as far as it can be without the database, and
// opens the listening sockets.
func New(cfg *mapping.Config, log *slog.Logger) (*App, error) {
	a, err := Embed(cfg, log)
	if err != nil {
		return nil, err
	}
	if cfg.TLS.Enabled() {
		if a.cert, err = edge.LoadCertificate(cfg.TLS.CertFile, cfg.TLS.KeyFile, log); err != nil {
			return nil, err
		}
		if err := a.registry.Register(a.cert); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	if a.listener, err = listen(cfg.Listen); err != nil {
		return nil, fmt.Errorf("listen on %s: %w: choose another address (listen, --listen or WALWIRE_LISTEN)", cfg.Listen, err)
	}
	if !cfg.Admin.Enabled() {
		return a, nil
	}
	if a.admin, err = net.Listen("tcp", cfg.Admin.Listen); err != nil {
		_ = a.listener.Close()
		return nil, fmt.Errorf("admin.listen: listen on %s: %w: choose another address (admin.listen or WALWIRE_ADMIN_LISTEN), or off", cfg.Admin.Listen, err)
	}
	return a, nil
}

// Embed is New without sockets, for a program that serves Handler itself.
func Embed(cfg *mapping.Config, log *slog.Logger) (*App, error) {
	if cfg.DatabaseURL.IsZero() {
		return nil, errors.New("database_url is not set: give it in the config file, or as WALWIRE_DATABASE_URL")
	}
	a := &App{cfg: cfg, log: log, registry: prometheus.NewRegistry(), ready: make(chan struct{}), managing: semaphore.NewWeighted(1)}
	a.starting(errors.New("starting"))
	a.inForce(cfg)
	var err error
	if a.jwks, err = NewJWKS(cfg, log); err != nil {
		return nil, err
	}
	if err := a.registerJWKS(); err != nil {
		return nil, err
	}
	checker, err := authenticator(cfg, a.jwks)
	if err != nil {
		return nil, err
	}
	a.auth = newAuthentications(checker)
	if err := a.registry.Register(a.auth.total); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	if a.schedule, err = a.newSchedules(); err != nil {
		return nil, err
	}
	if err := a.guard(); err != nil {
		return nil, err
	}
	return a, nil
}

// guard makes what stands between the public and the server.
func (a *App) guard() error {
	var err error
	if a.proxies, err = edge.ParseProxies(a.cfg.TrustedProxies); err != nil {
		return fmt.Errorf("trusted_proxies: %w", err)
	}
	l := a.cfg.Limits
	a.limits = edge.NewConnections(edge.Limits{
		AttemptsPerSecond: l.ConnectionAttemptsPerSecond, AttemptsBurst: l.ConnectionAttemptsBurst,
		PerAddress: l.ConnectionsPerAddress, PerUser: l.ConnectionsPerUser, PerCompany: l.ConnectionsPerCompany,
	})
	if err := a.registry.Register(a.limits); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	return a.allow(a.cfg)
}

// allow puts the origins of a configuration in force.
func (a *App) allow(cfg *mapping.Config) error {
	origins, err := edge.ParseOrigins(cfg.Origins)
	if err != nil {
		return fmt.Errorf("origins: %w", err)
	}
	refused := func(origin string) {
		a.log.Info("a page may not connect: where it should, add its origin to origins", "origin", origin)
	}
	h := edge.Handler(edge.Policy{BasePath: a.cfg.BasePath, Origins: origins, Refused: refused}, http.HandlerFunc(a.serveHTTP))
	a.edge.Store(&h)
	return nil
}

// Handler is the public side, for a program that serves it itself. It answers from the
// start, and serves once Run does.
func (a *App) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*a.edge.Load()).ServeHTTP(w, r) })
}

func (a *App) starting(why error) { a.phase.Store(&why) }

// AdminHandler is what operators see, for a program that serves it itself. It asks for
// the configured token, and without one for nothing.
func (a *App) AdminHandler() http.Handler {
	if a.cfg.Admin.Token.IsZero() {
		return a.adminHandler()
	}
	return a.adminGuard(a.adminHandler())
}

// URL is where the server listens, as http://host:port with the base path, or https;
// "" where it does not listen itself.
func (a *App) URL() string {
	switch {
	case a.listener == nil:
		return ""
	case a.cert != nil:
		return "https://" + a.listener.Addr().String() + a.cfg.BasePath
	}
	return "http://" + a.listener.Addr().String() + a.cfg.BasePath
}

// AdminURL is where operators look in, as http://host:port; "" where that is off.
func (a *App) AdminURL() string {
	if a.admin == nil {
		return ""
	}
	return "http://" + a.admin.Addr().String()
}

// Ready is closed when the server first serves.
func (a *App) Ready() <-chan struct{} { return a.ready }

// Hub gives what follows the WAL, nil before Ready.
func (a *App) Hub() *stream.Hub {
	if p := a.parts.Load(); p != nil {
		return p.hub
	}
	return nil
}

// Run serves until ctx ends, which is not an error, or something can't go on.
func (a *App) Run(ctx context.Context) error {
	group, inner := errgroup.WithContext(ctx)
	public, admin := a.httpServer(a.Handler()), a.httpServer(a.adminGuard(a.adminHandler()))
	public.WriteTimeout = a.answerTimeout()
	if a.listener != nil {
		group.Go(func() error { return a.serve(public, a.listener) })
	}
	if a.admin != nil {
		group.Go(func() error { return closedIsFine(admin.Serve(a.admin)) })
	}
	group.Go(func() error { return a.follow(inner) })
	group.Go(func() error { return a.watchConfig(inner) })
	if a.jwks != nil {
		group.Go(func() error { return a.jwks.Run(inner) })
	}
	if a.schedule != nil {
		group.Go(func() error { return a.schedule.Run(inner) })
	}
	group.Go(func() error {
		<-inner.Done()
		stop, cancel := context.WithTimeout(context.Background(), a.cfg.Drain.Time)
		defer cancel()
		if s := a.server.Load(); s != nil {
			_ = s.Drain(stop) // what is left then has been cut off
		}
		err := public.Shutdown(stop)
		return errors.Join(err, admin.Close()) // last, so that operators can watch
	})
	err := group.Wait()
	if ctx.Err() != nil {
		a.log.Info("stopped")
		return nil
	}
	return err
}

// serve is the public side.
func (a *App) serve(s *http.Server, l net.Listener) error {
	if a.cert == nil {
		return closedIsFine(s.Serve(l))
	}
	s.TLSConfig = a.cert.Config()
	return closedIsFine(s.ServeTLS(l, "", ""))
}

func closedIsFine(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve HTTP: %w", err)
}

// requestTimeout is how long a request's header may take to come, and its body again.
const requestTimeout = 10 * time.Second

// answerTimeout is how long an answer may take in all, with what it waits for: a client
// that does not read it would hold it for good. Server-sent events have deadlines of
// their own, and WebSockets.
func (a *App) answerTimeout() time.Duration {
	toWrite := 2 * time.Minute
	if a.tuning.WriteTimeout > 0 {
		toWrite = a.tuning.WriteTimeout
	}
	return max(a.cfg.Limits.WaitTimeout, a.cfg.Limits.SnapshotTimeout) + toWrite
}

func (a *App) httpServer(handler http.Handler) *http.Server {
	timeout := requestTimeout
	if a.tuning.RequestTimeout > 0 {
		timeout = a.tuning.RequestTimeout
	}
	return &http.Server{
		Handler:           edge.Bodies(timeout, handler),
		ReadHeaderTimeout: timeout,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          log.New(httpErrors{a.log}, "", 0),
	}
}

// httpErrors takes what net/http has to say: clients that break off are of no interest
// to an operator, a panic of ours is.
type httpErrors struct{ log *slog.Logger }

func (w httpErrors) Write(line []byte) (int, error) {
	level := slog.LevelDebug
	if bytes.Contains(line, []byte(": panic serving ")) { // by http or http2
		level = slog.LevelError
	}
	w.log.Log(context.Background(), level, strings.TrimSpace(string(line)))
	return len(line), nil
}

// Site makes the public side answer with h what is neither the API's nor health's.
// Call it before Run.
func (a *App) Site(h http.Handler) { a.site = h }

func (a *App) serveHTTP(w http.ResponseWriter, r *http.Request) {
	if a.site != nil && r.URL.Path != "/healthz" && r.URL.Path != "/readyz" && r.URL.Path != "/v1" && !strings.HasPrefix(r.URL.Path, "/v1/") {
		a.site.ServeHTTP(w, r)
		return
	}
	if s := a.server.Load(); s != nil {
		if r.URL.Path == "/readyz" {
			a.readyz(w, r, s)
		} else {
			s.ServeHTTP(w, r)
		}
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == "/healthz" {
		_, _ = w.Write([]byte(`{"status":"ok"}` + "\n"))
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = fmt.Fprintf(w, `{"code":"unavailable","message":%q,"status":"not ready","reason":%q}`+"\n", "the server is starting, or stands by: try again", a.notYet())
}

// notYet says why nobody is let in yet.
func (a *App) notYet() error {
	if p := a.parts.Load(); p != nil {
		if err := p.consumer.Status().Err; err != nil {
			return err
		}
	}
	return *a.phase.Load()
}

func (a *App) newServer(hub *stream.Hub, consumer *cdc.Consumer) *stream.Server {
	l := a.cfg.Limits
	return stream.NewServer(hub, stream.ServerOptions{
		Authenticator:   a.auth,
		AuthDeadline:    l.AuthDeadline,
		WaitTimeout:     l.WaitTimeout,
		FrameBytes:      int64(l.FrameBytes),
		DataFrameBytes:  a.tuning.DataFrameBytes,
		Unmerged:        a.tuning.Unmerged,
		WriteTimeout:    a.tuning.WriteTimeout,
		PingInterval:    a.tuning.PingInterval,
		ResumePatience:  a.tuning.ResumePatience,
		Subscriptions:   l.Subscriptions,
		Filter:          predicate.Limits{Depth: l.FilterDepth, Nodes: l.FilterNodes, Values: l.FilterValues},
		Limiter:         limiter{a.limits, a.proxies},
		ClientAddress:   func(r *http.Request) string { return a.proxies.Client(r).String() },
		FramesPerSecond: float64(l.FramesPerSecond), FramesBurst: l.FramesBurst,
		Tickets: l.TicketsPerUser,
		Spread:  max(a.cfg.Drain.Spread, 1), // zero is the default's
		Log:     a.log,
		Viewers: viewers(a.live.Load()),
		Behind: func() (int64, time.Duration) {
			if h := a.health.Load(); h != nil { // who asks is served, so it is read
				return int64(a.lag(h)), time.Duration(a.lagSeconds(h) * float64(time.Second))
			}
			return 0, 0
		},
		Ready: func() error {
			if s := consumer.Status(); !s.Connected {
				return fmt.Errorf("the WAL is not followed: %w", s.Err)
			}
			return nil
		},
	})
}

// cursorKey is the configured one, else what the secrets of tokens make; nil where
// there are none: then cursors do not outlive the process.
func cursorKey(cfg *mapping.Config) []byte {
	if !cfg.CursorKey.IsZero() {
		return []byte(cfg.CursorKey.Reveal())
	}
	var secrets []byte
	for _, k := range cfg.Auth.Keys {
		secrets = append(secrets, k.Secret.Reveal()...)
	}
	return secrets
}

// authenticator builds the token check from the configuration and the fetched keys,
// which may be nil.
func authenticator(cfg *mapping.Config, jwks *auth.JWKS) (*auth.Authenticator, error) {
	keys, err := keySource(cfg, jwks)
	if err != nil {
		return nil, err
	}
	verifier, err := auth.NewVerifier(auth.VerifierConfig{
		Issuer: cfg.Auth.Issuer, Audience: cfg.Auth.Audience, Skew: cfg.Auth.ClockSkew, Keys: keys, MaxBytes: int(cfg.Limits.TokenBytes),
	})
	if err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	return auth.NewAuthenticator(verifier, auth.ClaimPaths(cfg.User.Claims), cfg.User.Operators...)
}
