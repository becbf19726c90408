package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/walwire/walwire/auth"
	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/mapping"
	"github.com/walwire/walwire/mapping/predicate"
	"github.com/walwire/walwire/stream"
)

const (
	// feedBytes bounds what was read from the WAL and not yet routed, in octets.
	feedBytes = 8 << 20
	// drainTime bounds the end of the connections at a stop.
	drainTime = 10 * time.Second
)

// App is one server.
type App struct {
	cfg      *mapping.Config
	log      *slog.Logger
	tuning   Tuning
	registry *prometheus.Registry
	auth     *auth.Authenticator
	jwks     *auth.JWKS // nil: no keys are fetched
	listener net.Listener
	server   atomic.Pointer[stream.Server]
	parts    atomic.Pointer[parts]
	phase    atomic.Pointer[error] // why it does not serve yet
	ready    chan struct{}         // closed when it first serves

	announced sync.Once                      // closes ready
	health    atomic.Pointer[cdc.SlotHealth] // nil: not known
}

// parts are what exists once the database has been reached.
type parts struct {
	consumer *cdc.Consumer
	hub      *stream.Hub
}

// New checks the configuration as far as it can be without the database, and
// opens the listening socket.
func New(cfg *mapping.Config, log *slog.Logger) (*App, error) {
	if cfg.DatabaseURL.IsZero() {
		return nil, errors.New("database_url is not set: give it in the config file, or as WALWIRE_DATABASE_URL")
	}
	a := &App{cfg: cfg, log: log, registry: prometheus.NewRegistry(), ready: make(chan struct{})}
	a.starting(errors.New("starting"))
	var err error
	if a.jwks, err = NewJWKS(cfg, log); err != nil {
		return nil, err
	}
	if a.auth, err = authenticator(cfg, a.jwks); err != nil {
		return nil, err
	}
	if err := a.registerJWKS(); err != nil {
		return nil, err
	}
	if a.listener, err = net.Listen("tcp", cfg.Listen); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", cfg.Listen, err)
	}
	return a, nil
}

func (a *App) starting(why error) { a.phase.Store(&why) }

// URL is where the server listens, as http://host:port.
func (a *App) URL() string { return "http://" + a.listener.Addr().String() }

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
	web := &http.Server{
		Handler:           http.HandlerFunc(a.serveHTTP),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	group, inner := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := web.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve HTTP: %w", err)
		}
		return nil
	})
	group.Go(func() error { return a.follow(inner) })
	if a.jwks != nil {
		group.Go(func() error { return a.jwks.Run(inner) })
	}
	group.Go(func() error {
		<-inner.Done()
		stop, cancel := context.WithTimeout(context.Background(), drainTime)
		defer cancel()
		if s := a.server.Load(); s != nil {
			_ = s.Close(stop) // what is left then has been cut off
		}
		return web.Shutdown(stop)
	})
	err := group.Wait()
	if ctx.Err() != nil {
		a.log.Info("stopped")
		return nil
	}
	return err
}

func (a *App) serveHTTP(w http.ResponseWriter, r *http.Request) {
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
	_, _ = fmt.Fprintf(w, `{"code":"unavailable","message":%q,"status":"not ready","reason":%q}`+"\n", "the server is starting: try again", *a.phase.Load())
}

func (a *App) newServer(hub *stream.Hub, consumer *cdc.Consumer) *stream.Server {
	l := a.cfg.Limits
	return stream.NewServer(hub, stream.ServerOptions{
		Authenticator:  a.auth,
		AuthDeadline:   l.AuthDeadline,
		WaitTimeout:    l.WaitTimeout,
		FrameBytes:     int64(l.FrameBytes),
		DataFrameBytes: a.tuning.DataFrameBytes,
		WriteTimeout:   a.tuning.WriteTimeout,
		PingInterval:   a.tuning.PingInterval,
		ResumePatience: a.tuning.ResumePatience,
		Subscriptions:  l.Subscriptions,
		Filter:         predicate.Limits{Depth: l.FilterDepth, Nodes: l.FilterNodes, Values: l.FilterValues},
		Origins:        a.cfg.Origins,
		Gatherer:       a.registry,
		Log:            a.log,
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
	return auth.NewAuthenticator(verifier, auth.ClaimPaths(cfg.User.Claims))
}
