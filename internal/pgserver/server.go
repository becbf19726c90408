package pgserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"sync"

	"github.com/jackc/pgx/v5"
)

// MinVersion is the oldest server_version_num that walwire works with.
const MinVersion = 140000

// The superuser and the database that every private server has.
const (
	superuser = "postgres"
	database  = "walwire"
)

// StopMode says how PostgreSQL is to go down.
type StopMode int

const (
	// Fast rolls open transactions back, ends connections and writes a checkpoint.
	Fast StopMode = iota
	// Immediate ends at once, as in a crash: the next start replays the WAL.
	Immediate
)

// backend is a source's running server.
type backend interface {
	// endpoint is where it listens and the superuser's password.
	endpoint() endpoint
	// restart stops and starts it; the endpoint stays.
	restart(ctx context.Context, mode StopMode) error
	// stop ends it and removes what is temporary. Safe to call again.
	stop(ctx context.Context) error
}

// endpoint is where a server listens.
type endpoint struct {
	host     string
	port     int
	password string
}

// url is the superuser's connection URL for a database.
func (e endpoint) url(db string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(superuser, e.password),
		Host:     net.JoinHostPort(e.host, strconv.Itoa(e.port)),
		Path:     "/" + db,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Server is a running private server. Its methods are safe for concurrent use,
// but Restart and Stop must not overlap with each other.
type Server struct {
	backend backend
	local   *cluster // nil when the server runs in a container
	version int

	stopOnce sync.Once
	stopErr  error
}

// Start runs a private server as the package's documentation describes. It
// returns once the server answers queries.
func Start(ctx context.Context, opts Options) (*Server, error) {
	s, err := startSource(ctx, opts)
	if err != nil {
		return nil, err
	}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, s.Stop(context.WithoutCancel(ctx)))
	}
	opts.log().Info("private PostgreSQL is ready", "version", s.version, "port", s.backend.endpoint().port)
	return s, nil
}

// prepare reads the version and makes the database unless it exists.
func (s *Server) prepare(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.backend.endpoint().url("postgres"))
	if err != nil {
		return fmt.Errorf("connect to the private PostgreSQL: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var exists bool
	err = conn.QueryRow(ctx,
		`SELECT current_setting('server_version_num')::int, EXISTS (SELECT FROM pg_database WHERE datname = $1)`,
		database).Scan(&s.version, &exists)
	if err != nil {
		return fmt.Errorf("read the server's version: %w", err)
	}
	if s.version < MinVersion {
		return fmt.Errorf("the private PostgreSQL has version %d: %d or newer is needed", s.version, MinVersion)
	}
	if exists {
		return nil
	}
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{database}.Sanitize()); err != nil {
		return fmt.Errorf("create database %s: %w", database, err)
	}
	return nil
}

// URL is the superuser's connection URL for the database "walwire".
func (s *Server) URL() string { return s.backend.endpoint().url(database) }

// Port is the TCP port on 127.0.0.1.
func (s *Server) Port() int { return s.backend.endpoint().port }

// Version is the server's server_version_num, such as 150018.
func (s *Server) Version() int { return s.version }

// BinDir is the directory of the server's binaries, or "" when it runs in a container.
func (s *Server) BinDir() string {
	if s.local == nil {
		return ""
	}
	return s.local.bin.dir
}

// DataDir is PostgreSQL's own data directory, or "" when it runs in a container.
func (s *Server) DataDir() string {
	if s.local == nil {
		return ""
	}
	return s.local.dir.data()
}

// LogFile is the file of PostgreSQL's log, or "" when it runs in a container.
func (s *Server) LogFile() string {
	if s.local == nil {
		return ""
	}
	return s.local.dir.log()
}

// Pid is the postmaster's process id, or 0 when it runs in a container or has stopped.
func (s *Server) Pid() int {
	if s.local == nil {
		return 0
	}
	return s.local.pid()
}

// Restart stops the server and starts it on the same port.
func (s *Server) Restart(ctx context.Context, mode StopMode) error {
	return s.backend.restart(ctx, mode)
}

// Stop ends the server and removes a temporary directory. Further calls wait
// for the first and return what it returned.
func (s *Server) Stop(ctx context.Context) error {
	s.stopOnce.Do(func() { s.stopErr = s.backend.stop(ctx) })
	return s.stopErr
}
