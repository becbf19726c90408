package cdc

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// alterLockTimeout bounds how long an ALTER of ours queues for its lock:
	// while it waits, every later reader and writer of the table waits behind it.
	alterLockTimeout = 3 * time.Second
	// alterAttempts and alterPause: between two tries the queue drains.
	alterAttempts = 5
	alterPause    = 2 * time.Second
)

// EnsurePublication makes the publication send all changes of the tables, with
// whole old rows: it sets REPLICA IDENTITY FULL on leaves that have neither FULL
// nor an index, creates the publication or adds the missing leaves. conn belongs
// to the owner of the tables (`manage: true`), and is not in a transaction.
//
// Before the first change it checks all that would make the application's own
// writes fail afterwards, and our publication's own properties; anything found
// is a *RefusedError. It returns the tables that were not sent before: serve
// them only after WaitAdded.
//
// Rows larger than maxIdentityRow are looked for where a table has as much data
// in its TOAST table; that reads the table once.
func EnsurePublication(ctx context.Context, conn *pgx.Conn, name string, tables []*Table) (added []TableName, err error) {
	state, err := readPublication(ctx, conn, name)
	if err != nil {
		return nil, err
	}
	if err := refusePublication(ctx, conn, name, state, tables); err != nil {
		return nil, err
	}
	for _, t := range tables {
		for _, leaf := range t.Leaves {
			if err := setIdentityFull(ctx, conn, name, t, leaf); err != nil {
				return nil, err
			}
		}
	}
	if state == nil {
		return createPublication(ctx, conn, name, tables)
	}
	for _, t := range tables {
		missing := state.lacking(t)
		if len(missing) == 0 {
			continue
		}
		sql := fmt.Sprintf("ALTER PUBLICATION %s ADD TABLE %s", quoteIdent(name), onlyLeaves(missing))
		if err := alterLeaves(ctx, conn, missing, sql, nil); err != nil {
			return added, fmt.Errorf("add table %s to publication %s: %w", t.TableName, quoteIdent(name), err)
		}
		added = append(added, t.TableName)
	}
	return added, nil
}

// refusePublication returns a *RefusedError when the publication must not be touched.
func refusePublication(ctx context.Context, conn *pgx.Conn, name string, state *publicationState, tables []*Table) error {
	var findings []Finding
	if state != nil {
		all, err := allTablesFindings(ctx, conn, state)
		if err != nil {
			return err
		}
		findings = append(state.faults(tables), all...)
	}
	found, err := identityHazards(ctx, conn, name, tables, nil)
	if err != nil {
		return err
	}
	fatal := func(f Finding) bool { return f.Severity == SeverityFatal }
	findings = append(findings, found...)
	if !slices.ContainsFunc(findings, fatal) { // it reads the tables
		if found, err = largeRows(ctx, conn, tables); err != nil {
			return err
		}
		findings = append(findings, found...)
	}
	findings = slices.DeleteFunc(findings, func(f Finding) bool { return !fatal(f) })
	if len(findings) == 0 {
		return nil
	}
	return &RefusedError{Operation: "publishing the tables in " + quoteIdent(name), Findings: findings}
}

// setIdentityFull leaves an index identity as it is: somebody chose it.
func setIdentityFull(ctx context.Context, conn *pgx.Conn, publication string, t *Table, leaf Leaf) error {
	if leaf.Identity == 'f' || leaf.indexed() {
		return nil
	}
	// Looked for once more under the lock, with which nobody can add a list.
	check := func(tx pgx.Tx) error {
		one := *t
		one.Leaves = []Leaf{leaf}
		found, err := identityHazards(ctx, tx, publication, []*Table{&one}, nil)
		if err == nil && len(found) > 0 {
			err = &RefusedError{Operation: "setting the replica identity of " + leaf.String(), Findings: found}
		}
		return err
	}
	if err := alterLeaves(ctx, conn, []Leaf{leaf}, fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY FULL", leaf), check); err != nil {
		return fmt.Errorf("set replica identity of %s: %w", leaf, err)
	}
	return nil
}

func createPublication(ctx context.Context, conn *pgx.Conn, name string, tables []*Table) ([]TableName, error) {
	version, err := serverVersion(ctx, conn)
	if err != nil {
		return nil, err
	}
	var leaves []Leaf
	var names []TableName
	for _, t := range tables {
		leaves = append(leaves, t.Leaves...)
		names = append(names, t.TableName)
	}
	sql := createPublicationSQL(name, leaves, version)
	if err := alterLeaves(ctx, conn, leaves, sql, nil); err != nil {
		return nil, fmt.Errorf("create publication %s: %w", quoteIdent(name), err)
	}
	return names, nil
}

func createPublicationSQL(name string, leaves []Leaf, version int) string {
	options := fmt.Sprintf("publish = '%s', publish_via_partition_root = false", publicationOperations)
	if version >= 180000 {
		options += ", publish_generated_columns = stored" // else FULL makes writes fail where there are any
	}
	var tables string
	if len(leaves) > 0 {
		tables = " FOR TABLE " + onlyLeaves(leaves)
	}
	return fmt.Sprintf("CREATE PUBLICATION %s%s WITH (%s)", quoteIdent(name), tables, options)
}

func onlyLeaves(leaves []Leaf) string {
	names := make([]string, len(leaves))
	for i, leaf := range leaves {
		names[i] = "ONLY " + leaf.String()
	}
	return strings.Join(names, ", ")
}

// alterLeaves runs one DDL statement and then check in a transaction of their own,
// queueing for locks only briefly, again and again.
func alterLeaves(ctx context.Context, conn *pgx.Conn, leaves []Leaf, sql string, check func(pgx.Tx) error) error {
	for attempt := 1; ; attempt++ {
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d", alterLockTimeout.Milliseconds())); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
			if check == nil {
				return nil
			}
			return check(tx)
		})
		if !isLocked(err) {
			return err
		}
		if attempt == alterAttempts {
			return fmt.Errorf("%w (tried %d times; held by %s)", err, attempt, lockHolders(ctx, conn, leaves))
		}
		select {
		case <-time.After(alterPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

const lockHoldersSQL = `
SELECT DISTINCT format('pid %s (user %s, application %s, state %s, transaction since %s)',
	l.pid, a.usename, a.application_name, a.state, a.xact_start)
FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.granted AND l.relation = ANY ($1::oid[])
AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
AND l.pid <> pg_backend_pid()
LIMIT 5`

func lockHolders(ctx context.Context, conn *pgx.Conn, leaves []Leaf) string {
	oids := make([]uint32, len(leaves))
	for i, leaf := range leaves {
		oids[i] = leaf.OID
	}
	rows, err := conn.Query(ctx, lockHoldersSQL, oids)
	if err != nil {
		return "unknown"
	}
	holders, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(holders) == 0 {
		return "a session that has ended since"
	}
	return strings.Join(holders, "; ")
}
