package apptest

import (
	"context"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/auth"
	"github.com/walwire/walwire/internal/app"
	"github.com/walwire/walwire/internal/pgtest"
	"github.com/walwire/walwire/mapping"
	"github.com/walwire/walwire/migrations"
)

const (
	secret   = "a secret for tests only, of 32 octets or more"
	issuer   = "https://issuer.test"
	audience = "walwire-test"
)

// Server is a running walwire on a database of its own.
type Server struct {
	*app.App
	TB testing.TB
	// AdminURL connects to the database as a superuser.
	AdminURL string
	// Config is what it runs with.
	Config *mapping.Config
	DB     *pgx.Conn // as a superuser
	tuning app.Tuning
	log    *slog.Logger
	stop   func()
	load   func() *mapping.Config
	ws     atomic.Value // see WS
}

// Options change what Start sets up. The zero value is the reference schema
// with the example's configuration, run as a role with no more than its rights.
type Options struct {
	// Schema is SQL run instead of the reference migrations. It makes the
	// publication walwire itself.
	Schema string
	// Tables are what the server's role may read, when Schema is set.
	Tables []pgx.Identifier
	// Config is the YAML, "" for the example. ${WALWIRE_DATABASE_URL} and the
	// other variables of the example are set.
	Config string
	// AdminURL is a database made already; "" makes one.
	AdminURL string
	// Edit changes the loaded configuration.
	Edit func(*mapping.Config)
	// Tuning makes bounds small that have no place in the configuration.
	Tuning app.Tuning
	// Log takes the server's log instead of the test's.
	Log *slog.Logger
}

// Start runs a server until the test ends.
func Start(tb testing.TB, o Options) *Server {
	tb.Helper()
	s := Prepare(tb, o)
	s.Run()
	return s
}

// Prepare sets everything up but does not run the server.
func Prepare(tb testing.TB, o Options) *Server {
	tb.Helper()
	ctx := tb.Context()
	s := &Server{TB: tb, AdminURL: o.AdminURL, tuning: o.Tuning, log: o.Log}
	if s.log == nil {
		s.log = Logger(tb)
	}
	if s.AdminURL == "" {
		s.AdminURL = pgtest.Database(tb)
	}
	s.DB = pgtest.MustConnect(tb, s.AdminURL)
	tables := o.Tables
	if o.Schema == "" {
		if err := migrations.Up(ctx, s.AdminURL, Logger(tb)); err != nil {
			tb.Fatalf("migrate: %v", err)
		}
		tables = migrations.MappedTables()
	} else {
		pgtest.MustExec(tb, s.DB, o.Schema)
	}
	role := pgtest.Unique("walwire")
	if err := migrations.Role(ctx, s.AdminURL, role, "secret", tables); err != nil {
		tb.Fatalf("make role: %v", err)
	}
	tb.Cleanup(func() { s.dropRole(role) })
	env := map[string]string{
		"WALWIRE_DATABASE_URL": pgtest.WithUser(tb, s.AdminURL, role, "secret"),
		"WALWIRE_LISTEN":       "127.0.0.1:0",
		"WALWIRE_TOKEN_SECRET": secret,
		"WALWIRE_ISSUER":       issuer,
		"WALWIRE_AUDIENCE":     audience,
	}
	text := o.Config
	if text == "" {
		text = example(tb)
	}
	slot := pgtest.Unique("slot")
	s.load = func() *mapping.Config {
		cfg, err := mapping.Parse("test.yaml", []byte(text), func(name string) (string, bool) { v, ok := env[name]; return v, ok })
		if err != nil {
			tb.Fatalf("config: %v", err)
		}
		cfg.Slot = slot
		// Tests are many clients of few users at one address.
		cfg.Limits.ConnectionsPerUser, cfg.Limits.ConnectionsPerAddress = 20_000, 20_000
		cfg.Limits.ConnectionAttemptsPerSecond, cfg.Limits.ConnectionAttemptsBurst = 20_000, 20_000
		cfg.Limits.FramesPerSecond, cfg.Limits.FramesBurst = 10_000, 10_000
		// Machines may stand still for seconds, and be slow.
		cfg.Limits.AuthDeadline, cfg.Retention.Age = time.Minute, time.Hour
		cfg.Admin.Listen = "127.0.0.1:0" // see App.AdminURL; AdminURL here is the database's
		if o.Edit != nil {
			o.Edit(cfg)
		}
		return cfg
	}
	s.Config = s.load()
	return s
}

// Reload puts the configuration of the start in force, edited.
func (s *Server) Reload(edit func(*mapping.Config)) error {
	cfg := s.load()
	edit(cfg)
	return s.App.Reload(s.TB.Context(), cfg)
}

func (s *Server) dropRole(role string) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.AdminURL)
	if err != nil {
		return // the whole server is gone
	}
	defer func() { _ = conn.Close(ctx) }()
	name := pgx.Identifier{role}.Sanitize()
	if _, err := conn.Exec(ctx, "DROP OWNED BY "+name+"; DROP ROLE "+name); err != nil {
		s.TB.Errorf("drop role: %v", err)
	}
}

func example(tb testing.TB) string {
	tb.Helper()
	_, file, _, _ := runtime.Caller(0)
	text, err := os.ReadFile(filepath.Join(filepath.Dir(file), "..", "..", "walwire.example.yaml"))
	if err != nil {
		tb.Fatalf("read the example: %v", err)
	}
	return string(text)
}

// SetLog is where the next start's log goes.
func (s *Server) SetLog(log *slog.Logger) { s.log = log }

// Run starts the server and waits until it serves.
func (s *Server) Run() {
	s.TB.Helper()
	done, stop := s.Launch()
	s.stop = stop
	s.TB.Cleanup(s.Stop)
	select {
	case <-s.Ready():
	case err := <-done:
		s.TB.Fatalf("server ended before it was ready: %v", err)
	case <-time.After(60 * time.Second):
		s.TB.Fatal("server not ready after a minute")
	}
}

// Launch starts the server; its end comes on done. stop ends it and waits.
func (s *Server) Launch() (done <-chan error, stop func()) {
	s.TB.Helper()
	a, err := app.New(s.Config, s.log)
	if err != nil {
		s.TB.Fatalf("make server: %v", err)
	}
	a.Tune(s.tuning)
	s.App = a
	s.ws.Store("ws" + strings.TrimPrefix(a.URL(), "http") + "/v1/stream")
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	joined := make(chan struct{})
	go func() {
		ended <- a.Run(ctx)
		close(joined)
	}()
	return ended, func() {
		cancel()
		<-joined
	}
}

// Stop ends the server; the test's end does it too.
func (s *Server) Stop() {
	if s.stop != nil {
		s.stop()
		s.stop = nil
	}
}

// Claims are a token's, with issuer and audience filled in where missing.
type Claims = map[string]any

// Token signs a token that the server accepts.
func (s *Server) Token(claims Claims) string {
	s.TB.Helper()
	full := auth.Claims{"iss": issuer, "aud": audience}
	maps.Copy(full, claims)
	key, err := auth.NewSecretKey("main", []byte(secret))
	if err != nil {
		s.TB.Fatal(err)
	}
	token, err := auth.Sign(key, full, time.Hour)
	if err != nil {
		s.TB.Fatal(err)
	}
	return token
}

// Owner is a token that sees all of a company.
func (s *Server) Owner(company string) string {
	return s.Token(Claims{"sub": "owner of " + company, "company_id": company, "roles": []string{"owner"}})
}

// WS is the WebSocket address of the latest start. Safe for concurrent use.
func (s *Server) WS() string { return s.ws.Load().(string) }

// Exec runs SQL as a superuser.
func (s *Server) Exec(sql string, args ...any) {
	s.TB.Helper()
	pgtest.MustExec(s.TB, s.DB, sql, args...)
}

// Scan runs a query of one row.
func (s *Server) Scan(to any, sql string, args ...any) {
	s.TB.Helper()
	if err := s.DB.QueryRow(s.TB.Context(), sql, args...).Scan(to); err != nil {
		s.TB.Fatalf("%s: %v", sql, err)
	}
}

// Logger writes to the test's log.
func Logger(tb testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
}
