package cdc

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// pooler compares the process id that came with the connection's cancel key with
// the one the backend says it has. A pooler hands out keys of its own, since the
// backend behind a connection may change.
func (in *inspection) pooler(ctx context.Context) ([]Finding, error) {
	conn := connOf(in.q)
	if conn == nil {
		return nil, nil
	}
	backend, err := queryOne[struct{ PID int32 }](ctx, conn, "SELECT pg_backend_pid()")
	if err != nil {
		return nil, fmt.Errorf("read backend's process id: %w", err)
	}
	if uint32(backend.PID) == conn.PgConn().PID() {
		return fine(CodePooler, "the connection ends at PostgreSQL itself, not at a pooler"), nil
	}
	return []Finding{poolerFinding("the connection does not end at the backend that answers")}, nil
}

func poolerFinding(why string) Finding {
	return Finding{Severity: SeverityFatal, Code: CodePooler, Subject: "database_url",
		Message: "a connection pooler such as PgBouncer is in the way: " + why,
		Hint:    "Replication needs a connection to PostgreSQL itself: let database_url name its host and port, not the pooler's."}
}

// connOf finds the connection under a *pgx.Conn or a transaction; nil otherwise.
func connOf(q CatalogQuerier) *pgx.Conn {
	switch q := q.(type) {
	case *pgx.Conn:
		return q
	case interface{ Conn() *pgx.Conn }:
		return q.Conn()
	}
	return nil
}

// replicationConnection tries what the consumer will do first.
func (in *inspection) replicationConnection(ctx context.Context) ([]Finding, error) {
	if in.opts.DatabaseURL == "" || in.opts.Following {
		return nil, nil
	}
	conn, err := connectReplication(ctx, login{in.opts.DatabaseURL, in.opts.PasswordFile})
	if err == nil {
		defer closeConn(conn)
		_, err = pglogrepl.IdentifySystem(ctx, conn)
	}
	if err == nil {
		return fine(CodeReplicationConnect, "a replication connection was made"), nil
	}
	var pgErr *pgconn.PgError
	switch {
	case errors.As(err, &pgErr) && in.role != nil && !in.role.Super && !in.role.Replication:
		return nil, nil // reported as a missing right
	case errors.As(err, &pgErr) && (pgErr.Code == "08P01" || strings.Contains(pgErr.Message, "unsupported startup parameter")):
		return []Finding{poolerFinding(pgErr.Message)}, nil
	}
	return []Finding{{Severity: SeverityFatal, Code: CodeReplicationConnect, Subject: "database_url",
		Message: explainConnect(err).Error(), Err: err,
		Hint: "pg_hba.conf treats a logical replication connection as one to its database; max_wal_senders bounds their number."}}, nil
}
