package cdc

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/walwire/walwire/cdc/pgvalue"
)

// ApplicationName is what walwire's connections call themselves.
const ApplicationName = "walwire"

// readBuffer is how much of the stream one read takes from the socket, in
// octets. A walsender flushes every message, so a small buffer means a system
// call for every few rows.
const readBuffer = 256 << 10

// login is how PostgreSQL is reached. It is read anew for each connection: the files
// that the URL names (sslrootcert, sslcert, sslkey, passfile) and the password's may
// change while walwire runs.
type login struct {
	url string
	// passwordFile holds the password, in place of one in the URL; "" is none.
	passwordFile string
}

// loginError is a URL that can't be read, or a file that it needs.
type loginError struct{ error }

func (e *loginError) Unwrap() error { return e.error }

// config reads the login.
func (l login) config() (*pgxpool.Config, error) {
	pool, err := pgxpool.ParseConfig(l.url)
	if err != nil {
		return nil, &loginError{fmt.Errorf("parse database_url: %w", err)}
	}
	cfg := &pool.ConnConfig.Config
	if err := l.readPassword(cfg); err != nil {
		return nil, err
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 10 * time.Second
	}
	// What is asked of the catalogue looks costly to PostgreSQL, and is not: compiling it
	// takes 50 times as long as running it.
	cfg.RuntimeParams["jit"] = "off"
	// Of several hosts the primary counts: a pool would keep what it has to a standby.
	for _, other := range cfg.Fallbacks { // of one host there is one without TLS
		if cfg.ValidateConnect == nil && (other.Host != cfg.Host || other.Port != cfg.Port) {
			cfg.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsPrimary
		}
	}
	return pool, nil
}

func (l login) readPassword(cfg *pgconn.Config) error {
	if l.passwordFile == "" {
		return nil
	}
	text, err := os.ReadFile(l.passwordFile)
	if err != nil {
		return &loginError{fmt.Errorf("read database_password_file: %w", err)}
	}
	if cfg.Password = strings.TrimRight(string(text), "\r\n"); cfg.Password == "" {
		return &loginError{fmt.Errorf("read database_password_file: %s is empty: put the password there", l.passwordFile)}
	}
	return nil
}

// session is config for walwire's own sessions, whose settings are fixed.
func (l login) session() (*pgxpool.Config, error) {
	pool, err := l.config()
	if err != nil {
		return nil, err
	}
	params := pool.ConnConfig.RuntimeParams
	params["application_name"] = ApplicationName
	for _, s := range pgvalue.Settings() {
		params[s.Name] = s.Value
	}
	// Row-level security would silently cut a snapshot, while the stream carries
	// every row: off means that such a SELECT is refused.
	params["row_security"] = "off"
	return pool, nil
}

// Connect opens a connection as walwire does, without its settings: for commands that
// look at the database. passwordFile holds the password in place of one in the URL;
// "" is none.
func Connect(ctx context.Context, url, passwordFile string) (*pgx.Conn, error) {
	cfg, err := login{url, passwordFile}.config()
	if err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, cfg.ConnConfig)
	return conn, explainTLS(err)
}

// ConnectReader is Connect with the settings by which walwire reads rows: their text is
// that of the log.
func ConnectReader(ctx context.Context, url, passwordFile string) (*pgx.Conn, error) {
	cfg, err := login{url, passwordFile}.session()
	if err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, cfg.ConnConfig)
	return conn, explainTLS(err)
}

func connectReplication(ctx context.Context, l login) (*pgconn.PgConn, error) {
	pool, err := l.session()
	if err != nil {
		return nil, err
	}
	cfg := &pool.ConnConfig.Config
	cfg.RuntimeParams["replication"] = "database"
	// Since PostgreSQL 18, that the publication is missing comes as a warning:
	// see skippedPublication.
	cfg.RuntimeParams["client_min_messages"] = "warning"
	cfg.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		return pgproto3.NewFrontend(bufio.NewReaderSize(r, readBuffer), w)
	}
	return pgconn.ConnectConfig(ctx, cfg)
}

func connectSQL(ctx context.Context, l login) (*pgconn.PgConn, error) {
	cfg, err := l.session()
	if err != nil {
		return nil, err
	}
	return pgconn.ConnectConfig(ctx, &cfg.ConnConfig.Config)
}

// explainTLS says what to do about a server that is not the one that database_url
// asks for. nil stays nil.
func explainTLS(err error) error {
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &authority):
		return fmt.Errorf("the database's certificate is not signed by an authority that database_url trusts: let sslrootcert name the file of the one that signed it: %w", err)
	case errors.As(err, &host):
		return fmt.Errorf("the database's certificate is for other names than database_url's host: connect by a name that it carries, or have it made for this one: %w", err)
	case errors.As(err, &invalid):
		return fmt.Errorf("the database's certificate is not valid: %w", err)
	}
	return err
}

// explainConnect turns a refused replication connection into what to do.
func explainConnect(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return fmt.Errorf("connect for replication: %w", explainTLS(err))
	}
	switch {
	case pg.Code == "42501" || strings.Contains(pg.Message, "must be superuser or replication role"):
		return errFatal{fmt.Errorf("connect for replication: the role may not replicate: run ALTER ROLE name REPLICATION as a superuser: %w", err)}
	case pg.Code == "08P01" || strings.Contains(pg.Message, "unsupported startup parameter"):
		return errFatal{fmt.Errorf("connect for replication: a connection pooler such as PgBouncer stands in the way: point database_url at PostgreSQL itself: %w", err)}
	case strings.Contains(pg.Message, "pg_hba.conf"):
		return fmt.Errorf("connect for replication: pg_hba.conf does not let this role in: %w", err)
	}
	return fmt.Errorf("connect for replication: %w", err)
}

// simpleQuery runs one statement by the simple protocol, which a replication
// connection needs, and returns its rows as text; NULL is "".
func simpleQuery(ctx context.Context, conn *pgconn.PgConn, sql string) ([][]string, error) {
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(results) == 0 {
		return nil, nil
	}
	rows := make([][]string, 0, len(results[0].Rows))
	for _, r := range results[0].Rows {
		row := make([]string, len(r))
		for i, v := range r {
			row[i] = string(v)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func quoteIdent(s string) string   { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
func quoteLiteral(s string) string { return `'` + strings.ReplaceAll(s, `'`, `''`) + `'` }
