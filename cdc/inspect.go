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
	// PasswordFile holds the password in place of one in DatabaseURL; "" is none.
	PasswordFile string
	// Manage says that walwire sets publication and replica identity itself, at
	// start: where they are not as they should be, that is then no more than
	// information.
	Manage bool
	// Following says that the WAL is followed already: it needs no other connection.
	Following bool
	// RecreateLostSlot and FailoverSlot are ConsumerOptions'.
	RecreateLostSlot bool
	FailoverSlot     bool
	// CompanyColumns names each table's company column.
	CompanyColumns map[TableName]string
	// Columns names the other columns that the config speaks of.
	Columns map[TableName][]string
}

// Inspect looks whether the database is fit for walwire: it changes nothing,
// holds no locks and needs no rights beyond a login. Each thing looked at gives
// at least one finding, SeverityOK where all is well, in the order in which they
// are best mended; what there is nothing to look at for, such as the keys of
// tables that are not there, gives none. A check that fails is a finding too; the
// error is for a database that can't be asked at all.
//
// q is not in a transaction: one failed check would end all that follow.
func Inspect(ctx context.Context, q CatalogQuerier, opts InspectOptions) ([]Finding, error) {
	in := &inspection{q: q, opts: opts}
	if err := in.readServer(ctx); err != nil {
		return nil, fmt.Errorf("inspect database: %w", err)
	}
	for _, c := range in.checks() {
		if c.ofTables && len(in.tables()) == 0 {
			continue
		}
		found, err := c.run(ctx)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("inspect database: %w", ctx.Err())
		}
		in.findings = append(in.findings, found...)
		switch {
		case err != nil:
			in.findings = append(in.findings, Finding{Severity: SeverityWarning, Code: CodeInspection, Subject: c.code,
				Message: fmt.Sprintf("could not look at this: %s", err)})
		case len(found) == 0 && c.ok != "":
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

// check is one thing to look at.
type check struct {
	code     string
	ok       string // its message when nothing is found; empty: run says what is well
	ofTables bool   // left out when no table could be read
	run      func(context.Context) ([]Finding, error)
}

func (in *inspection) checks() []check {
	return []check{
		{CodeServerVersion, "the server is PostgreSQL " + in.server.VersionText, false, in.version},
		{CodeStandby, "the server is a primary", false, in.standby},
		{CodeEncoding, "", false, in.encoding},
		{CodeWALLevel, "wal_level is logical", false, in.walLevel},
		{CodePooler, "", false, in.pooler},
		{CodeSynchronousStandby, "synchronous_standby_names leaves walwire out: no commit waits for it", false, in.synchronousStandby},
		{CodeKeepSizeUnbounded, "max_slot_wal_keep_size is " + in.server.KeepSize + ": the WAL that a slot retains is bounded", false, in.keepSize},
		{CodeSenderTimeoutOff, "wal_sender_timeout is " + in.server.SenderTimeout + ": dead replication connections are noticed", false, in.senderTimeout},
		{CodeIdleSlotTimeout, "idle slots are kept", false, in.idleSlotTimeout},
		{CodeRoleMissing, "", false, in.roleRights},
		{CodeReplicationConnect, "", false, in.replicationConnection},
		{CodeTable, "every table of the config is there and can be mapped", false, in.tablesExist},
		{CodeColumnMissing, "every column of the config is in its table", true, in.columnsExist},
		{CodeSelectRight, "", true, in.tableRights},
		{CodeRowSecurity, "", true, in.rowSecurity},
		{CodeKeyMissing, "every table found has a key", true, in.keys},
		{CodeGenerated, "no table found has generated columns", true, in.generatedColumns},
		{CodeOtherColumnList, "no other publication makes REPLICA IDENTITY FULL unsafe", true, in.hazards},
		{CodeReplicaIdentity, "every table found has a replica identity that is enough", true, in.replicaIdentities},
		{CodePublication, "", false, in.publication},
		{CodeSlotsFull, "", false, in.slotsLeft},
		{CodeSendersFull, fmt.Sprintf("%d of %d WAL senders are in use", in.server.UsedSenders, in.server.MaxSenders), false, in.sendersLeft},
		{CodeSlot, "", false, in.slot},
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

// fine is what a check says where all is well, and more than one thing can be.
func fine(code, format string, args ...any) []Finding {
	return []Finding{{Severity: SeverityOK, Code: code, Message: fmt.Sprintf(format, args...)}}
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
