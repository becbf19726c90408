package cdc

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	waitAddedPoll = 50 * time.Millisecond
	waitAddedLog  = 10 * time.Second // and once after the first second
)

// WaitAdded waits until the stream carries every later commit of tables that
// were added to the publication before the call. A transaction that wrote to a
// table before the ADD committed has those rows left out of the stream, so a
// snapshot must see all of it: WaitAdded takes a transaction id, above all that
// were given out so far, and waits until no snapshot has one up to it in progress. The
// xmax of a snapshot would not do: it lies below open transactions that are
// younger than the last one that ended, and one of them may have written to the
// table between the ADD and its commit.
//
// What holds it back is logged. A transaction anywhere in the server counts, also
// in another database. It may be called for tables that were there before; it
// then waits for the transactions open at the moment, to no harm. q is not in a
// transaction: that would wait for itself.
func WaitAdded(ctx context.Context, q CatalogQuerier, log *slog.Logger, tables []TableName) error {
	return WatchAdded(ctx, q, log, tables, func(uint32) {})
}

// WatchAdded is WaitAdded, and tells of each time that some of those transactions have
// ended, the first time at once: last is the newest id that any of them can have.
func WatchAdded(ctx context.Context, q CatalogQuerier, log *slog.Logger, tables []TableName, ended func(last uint32)) error {
	last, err := readXID(ctx, q, "SELECT pg_current_xact_id()::text::int8")
	if err != nil {
		return fmt.Errorf("wait for open transactions: %w", err)
	}
	open := int64(math.MaxInt64)
	ticker := time.NewTicker(waitAddedPoll)
	defer ticker.Stop()
	nextLog := time.Now().Add(time.Second)
	for {
		still, err := readXID(ctx, q, "SELECT count(*) FROM pg_snapshot_xip(pg_current_snapshot()) AS x(id) WHERE x.id::text::int8 <= $1", last)
		if err != nil {
			return fmt.Errorf("wait for open transactions: %w", err)
		}
		if still == 0 {
			return nil
		}
		if still < open {
			open = still
			ended(uint32(last))
		}
		if time.Now().After(nextLog) {
			nextLog = time.Now().Add(waitAddedLog)
			holders, err := transactionsBelow(ctx, q, last)
			if err != nil {
				return fmt.Errorf("list open transactions: %w", err)
			}
			log.Warn("tables new in the publication wait for transactions that were open when they were added",
				"tables", fmt.Sprint(tables), "transactions", holders)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for open transactions: %w", ctx.Err())
		}
	}
}

// readXID reads one transaction id, 64 bits wide, or a count of them.
func readXID(ctx context.Context, q CatalogQuerier, sql string, args ...any) (int64, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return 0, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
}

// transactionsBelowSQL lists sessions and prepared transactions that have an xid
// below $1. Their xids have 32 bits: those behind it on the circle are below.
const transactionsBelowSQL = `
SELECT format('pid %s (user %s, database %s, application %s, since %s)',
	pid, usename, datname, application_name, coalesce(xact_start::text, 'unknown'))
FROM pg_catalog.pg_stat_activity
WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()
AND ((backend_xid::text::int8 - $1::int8) & 4294967295) >= 2147483648
UNION ALL
SELECT format('prepared transaction %L (owner %s, database %s, since %s)', gid, owner, database, prepared)
FROM pg_catalog.pg_prepared_xacts
WHERE ((transaction::text::int8 - $1::int8) & 4294967295) >= 2147483648
LIMIT 10`

func transactionsBelow(ctx context.Context, q CatalogQuerier, xid int64) ([]string, error) {
	rows, err := q.Query(ctx, transactionsBelowSQL, xid)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

var joiningSQL = `
SELECT DISTINCT w.s, w.n
FROM unnest($1::text[], $2::text[]) AS w(s, n)
JOIN pg_catalog.pg_namespace ns ON ns.nspname = w.s
JOIN pg_catalog.pg_class c ON c.relnamespace = ns.oid AND c.relname = w.n
JOIN pg_catalog.pg_publication p ON p.pubname = $3
CROSS JOIN LATERAL (
	SELECT array_agg(t.oid) AS oids FROM (
		SELECT oid FROM ` + partitionsSQL("c.oid") + ` below
		UNION SELECT relid FROM pg_partition_ancestors(c.oid) AS above(relid)) t
) part
CROSS JOIN LATERAL (
	SELECT r.xmin FROM pg_catalog.pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = ANY(part.oids)
	UNION ALL SELECT p.xmin WHERE p.puballtables
	UNION ALL
	SELECT d.xmin
	FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_depend s ON s.classid = d.classid AND s.objid = d.objid
	WHERE d.refclassid = 'pg_catalog.pg_publication'::regclass AND d.refobjid = p.oid
	AND s.refclassid = 'pg_catalog.pg_namespace'::regclass
	AND s.refobjid IN (SELECT relnamespace FROM pg_catalog.pg_class WHERE oid = ANY(part.oids))
) entry
WHERE age(entry.xmin) <= age(pg_snapshot_xmin(pg_current_snapshot())::xid)`

// Joining names those of the tables that joined the publication while a transaction
// was open that still is: WaitAdded is for them. Nobody has to have watched it. An ADD
// that was itself in a long transaction can hide a younger one from it.
func Joining(ctx context.Context, q CatalogQuerier, publication string, tables []TableName) ([]TableName, error) {
	schemas, names := make([]string, len(tables)), make([]string, len(tables))
	for i, t := range tables {
		schemas[i], names[i] = t.Schema, t.Name
	}
	rows, err := q.Query(ctx, joiningSQL, schemas, names, publication)
	if err != nil {
		return nil, fmt.Errorf("look for tables new in the publication: %w", err)
	}
	joining, err := pgx.CollectRows(rows, pgx.RowToStructByPos[TableName])
	if err != nil {
		return nil, fmt.Errorf("look for tables new in the publication: %w", err)
	}
	return joining, nil
}
