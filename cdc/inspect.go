package cdc

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// InspectOptions says what walwire is going to do with the database.
type InspectOptions struct {
	Tables      []TableName
	Publication string
	Slot        string
	// User is the role that walwire will serve as. Empty means the role that
	// inspects.
	User string
	// DatabaseURL, where set, is tried for a replication connection. It should
	// be the one that walwire will use.
	DatabaseURL string
	// Manage says that walwire sets publication and replica identity itself, at
	// start: where they are not as they should be, that is then no more than
	// information.
	Manage bool
	// CompanyColumns names each table's company column.
	CompanyColumns map[TableName]string
	// Columns names the other columns that the config speaks of.
	Columns map[TableName][]string
}

// Inspect looks whether the database is fit for walwire: it changes nothing,
// holds no locks and needs no rights beyond a login. Each thing looked at gives
// at least one finding, SeverityOK where all is well, in the order in which they
// are best mended. A check that can't be made is a finding too; the error is for
// a database that can't be asked at all.
//
// q is not in a transaction: one failed check would end all that follow.
func Inspect(ctx context.Context, q CatalogQuerier, opts InspectOptions) ([]Finding, error) {
	in := &inspection{q: q, opts: opts}
	if err := in.readServer(ctx); err != nil {
		return nil, fmt.Errorf("inspect database: %w", err)
	}
	for _, c := range in.checks() {
		found, err := c.run(ctx)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("inspect database: %w", ctx.Err())
		}
		in.findings = append(in.findings, found...)
		switch {
		case err != nil:
			in.findings = append(in.findings, Finding{Severity: SeverityWarning, Code: CodeInspection, Subject: c.code,
				Message: fmt.Sprintf("could not look at this: %s", err)})
		case len(found) == 0:
			in.findings = append(in.findings, Finding{Severity: SeverityOK, Code: c.code, Message: c.ok})
		}
	}
	return in.findings, nil
}

// inspection is one run of Inspect.
type inspection struct {
	q        CatalogQuerier
	opts     InspectOptions
	server   serverFacts
	role     *roleFacts // nil when there is no such role
	catalog  *catalog   // nil when it could not be read
	findings []Finding
}

// check is one thing to look at. ok is its message when nothing is found.
type check struct {
	code string
	ok   string
	run  func(context.Context) ([]Finding, error)
}

func (in *inspection) checks() []check {
	return []check{
		{CodeServerVersion, "the server's version is supported", in.version},
		{CodeStandby, "the server is a primary", in.standby},
		{CodeWALLevel, "wal_level is logical", in.walLevel},
		{CodePooler, "no connection pooler is in the way", in.pooler},
		{CodeSynchronousStandby, "synchronous_standby_names leaves walwire out", in.synchronousStandby},
		{CodeKeepSizeUnbounded, "the WAL that slots retain is bounded", in.keepSize},
		{CodeSenderTimeoutOff, "dead replication connections are noticed", in.senderTimeout},
		{CodeIdleSlotTimeout, "idle slots are kept", in.idleSlotTimeout},
		{CodeRoleMissing, "the role has the rights it needs", in.roleRights},
		{CodeReplicationConnect, "a replication connection can be made, or was not tried", in.replicationConnection},
		{CodeTable, "all tables exist and can be mapped", in.tablesExist},
		{CodeColumnMissing, "all mapped columns exist", in.columnsExist},
		{CodeSelectRight, "the role may read the tables", in.tableRights},
		{CodeRowSecurity, "no row-level security hides rows from the role", in.rowSecurity},
		{CodeKeyMissing, "every table has a key", in.keys},
		{CodeOtherColumnList, "no other publication makes REPLICA IDENTITY FULL unsafe", in.hazards},
		{CodeReplicaIdentity, "every table writes its old rows to the WAL", in.replicaIdentities},
		{CodePublication, "the publication sends all changes of the tables", in.publication},
		{CodeSlotsFull, "a replication slot is free, or ours exists", in.slotsLeft},
		{CodeSendersFull, "a WAL sender is free", in.sendersLeft},
		{CodeSlot, "the slot can be used, or will be made", in.slot},
	}
}

// tables are those that could be read, in the order of the options.
func (in *inspection) tables() []*Table {
	if in.catalog == nil {
		return nil
	}
	var tables []*Table
	for _, name := range in.catalog.names {
		if t := in.catalog.tables[name]; t != nil {
			tables = append(tables, t)
		}
	}
	return tables
}

// managed softens a finding about what walwire sets at start.
func (in *inspection) managed(f Finding) Finding {
	if in.opts.Manage && f.Severity == SeverityFatal {
		f.Severity = SeverityInfo
		f.Hint = "With manage: true walwire sets this at start."
	}
	return f
}

// queryOne reads a single row into a struct, by position.
func queryOne[T any](ctx context.Context, q CatalogQuerier, sql string, args ...any) (T, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		var zero T
		return zero, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[T])
}

// queryAll reads all rows, as queryOne does one.
func queryAll[T any](ctx context.Context, q CatalogQuerier, sql string, args ...any) ([]T, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[T])
}
