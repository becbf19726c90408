package cdc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// maxIdentityRow is the stored size in octets above which a row is too large for
// FULL: an UPDATE writes the whole old row into one WAL record, which fails above
// 1020 MB, and the stream then carries the old and the new row as text, up to
// twice as long each, in a buffer of 1 GB.
const maxIdentityRow = 256 << 20

// rowScanTimeout bounds the search for large rows in one table.
const rowScanTimeout = time.Minute

const toastSQL = `
SELECT c.oid, pg_catalog.pg_relation_size(c.reltoastrelid),
	array(SELECT a.attname::text FROM pg_catalog.pg_attribute a
		WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		AND a.attlen = -1 AND a.attstorage <> 'p' ORDER BY a.attnum)
FROM pg_catalog.pg_class c
WHERE c.oid = ANY ($1::oid[]) AND c.reltoastrelid <> 0`

type toastState struct {
	OID     uint32
	Size    int64 // of the TOAST table, in octets
	Columns []string
}

// toasts reads how much the leaves hold out of line. No row can be larger than
// all of them together.
func toasts(ctx context.Context, q CatalogQuerier, tables []*Table) (map[uint32]toastState, error) {
	var oids []uint32
	for _, t := range tables {
		for _, leaf := range t.Leaves {
			oids = append(oids, leaf.OID)
		}
	}
	rows, err := q.Query(ctx, toastSQL, oids)
	if err != nil {
		return nil, fmt.Errorf("read sizes: %w", err)
	}
	states, err := pgx.CollectRows(rows, pgx.RowToStructByPos[toastState])
	if err != nil {
		return nil, fmt.Errorf("read sizes: %w", err)
	}
	byOID := make(map[uint32]toastState, len(states))
	for _, s := range states {
		byOID[s.OID] = s
	}
	return byOID, nil
}

// largeRows looks for rows above maxIdentityRow in leaves that will be set to FULL.
func largeRows(ctx context.Context, conn *pgx.Conn, tables []*Table) ([]Finding, error) {
	states, err := toasts(ctx, conn, tables)
	if err != nil {
		return nil, err
	}
	var findings []Finding
	for _, t := range tables {
		for _, leaf := range t.Leaves {
			state := states[leaf.OID]
			if leaf.Identity == 'f' || leaf.indexed() || state.Size < maxIdentityRow {
				continue
			}
			large, err := hasLargeRow(ctx, conn, leaf, state.Columns)
			if err != nil {
				return nil, fmt.Errorf("look for large rows in %s: %w", leaf, err)
			}
			if large {
				findings = append(findings, Finding{Severity: SeverityFatal, Code: CodeLargeRows, Subject: leaf.String(),
					Message: fmt.Sprintf("table %s has rows of more than %d MB: with REPLICA IDENTITY FULL an UPDATE or DELETE of such a row can fail",
						leaf, maxIdentityRow>>20),
					Hint: "Move the large column to a table of its own that is not mapped."})
			}
		}
	}
	return findings, nil
}

// hasLargeRow reads stored sizes, not the values. A search that takes too long
// counts as finding none: it has then seen a large part of the table.
func hasLargeRow(ctx context.Context, conn *pgx.Conn, leaf Leaf, columns []string) (bool, error) {
	sizes := make([]string, len(columns))
	for i, c := range columns {
		sizes[i] = fmt.Sprintf("coalesce(pg_catalog.pg_column_size(%s), 0)::int8", quoteIdent(c))
	}
	var large bool
	err := pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL statement_timeout = %d", rowScanTimeout.Milliseconds())); err != nil {
			return err
		}
		sql := fmt.Sprintf("SELECT EXISTS (SELECT FROM ONLY %s WHERE %s > $1)", leaf, strings.Join(sizes, " + "))
		return tx.QueryRow(ctx, sql, int64(maxIdentityRow)).Scan(&large)
	})
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.Code == "57014" && ctx.Err() == nil { // query_canceled, by the timeout
		return false, nil
	}
	return large, err
}

func quoteList(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = quoteIdent(n)
	}
	return strings.Join(quoted, ", ")
}

func serverVersion(ctx context.Context, q CatalogQuerier) (int, error) {
	rows, err := q.Query(ctx, "SELECT current_setting('server_version_num')::int4")
	if err != nil {
		return 0, fmt.Errorf("read server version: %w", err)
	}
	version, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[int32])
	if err != nil {
		return 0, fmt.Errorf("read server version: %w", err)
	}
	return int(version), nil
}
