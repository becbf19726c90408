package cdc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/walwire/walwire/cdc/pgvalue"
)

// ApplicationName is what walwire's connections call themselves.
const ApplicationName = "walwire"

// readBuffer is how much of the stream one read takes from the socket, in
// octets. A walsender flushes every message, so a small buffer means a system
// call for every few rows.
const readBuffer = 256 << 10

func connectConfig(url string) (*pgconn.Config, error) {
	cfg, err := pgconn.ParseConfig(url)
	if err != nil {
		return nil, errFatal{fmt.Errorf("parse database_url: %w", err)}
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 10 * time.Second
	}
	cfg.RuntimeParams["application_name"] = ApplicationName
	for _, s := range pgvalue.Settings() {
		cfg.RuntimeParams[s.Name] = s.Value
	}
	// Of several hosts the primary counts: a pool would keep what it has to a standby.
	for _, other := range cfg.Fallbacks { // of one host there is one without TLS
		if cfg.ValidateConnect == nil && (other.Host != cfg.Host || other.Port != cfg.Port) {
			cfg.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsPrimary
		}
	}
	// Row-level security would silently cut a snapshot, while the stream carries
	// every row: off means that such a SELECT is refused.
	cfg.RuntimeParams["row_security"] = "off"
	return cfg, nil
}

func connectReplication(ctx context.Context, url string) (*pgconn.PgConn, error) {
	cfg, err := connectConfig(url)
	if err != nil {
		return nil, err
	}
	cfg.RuntimeParams["replication"] = "database"
	// Since PostgreSQL 18, that the publication is missing comes as a warning:
	// see skippedPublication.
	cfg.RuntimeParams["client_min_messages"] = "warning"
	cfg.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		return pgproto3.NewFrontend(bufio.NewReaderSize(r, readBuffer), w)
	}
	return pgconn.ConnectConfig(ctx, cfg)
}

func connectSQL(ctx context.Context, url string) (*pgconn.PgConn, error) {
	cfg, err := connectConfig(url)
	if err != nil {
		return nil, err
	}
	return pgconn.ConnectConfig(ctx, cfg)
}

// explainConnect turns a refused replication connection into what to do.
func explainConnect(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return fmt.Errorf("connect for replication: %w", err)
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
