package schedule

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/cdc"
)

// The codes of findings.
const (
	CodeRole      = "schedules_role"
	CodeDatabase  = "schedules_database"
	CodeStatement = "schedule"
)

const roleSQL = `
SELECT current_user::text, rolsuper, rolreplication, pg_is_in_recovery(), pg_backend_pid(),
	array(SELECT c.oid::regclass::text FROM pg_class c
		WHERE c.oid = ANY (SELECT to_regclass(t) FROM unnest($1::text[]) t) AND pg_has_role(c.relowner, 'USAGE') ORDER BY 1)
FROM pg_roles WHERE rolname = current_user`

// Inspect looks at the role that the statements run as, and has PostgreSQL plan each of
// them, which finds what is missing and what the role may not. It changes nothing.
// tables are those whose owner the role should not be. Nothing is fatal: a server starts
// with statements that fail.
func Inspect(ctx context.Context, o Options, tables []pgx.Identifier) ([]cdc.Finding, error) {
	conn, err := cdc.Connect(ctx, o.DatabaseURL, o.PasswordFile)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	found, err := inspectRole(ctx, conn, tables)
	if err != nil {
		return nil, err
	}
	for _, s := range o.Statements {
		found = append(found, s.inspect(ctx, conn))
	}
	return found, nil
}

func inspectRole(ctx context.Context, conn *pgx.Conn, tables []pgx.Identifier) ([]cdc.Finding, error) {
	names := make([]string, len(tables))
	for i, t := range tables {
		names[i] = t.Sanitize()
	}
	var role string
	var super, replicates, recovers bool
	var pid uint32
	var owned []string
	err := conn.QueryRow(ctx, roleSQL, names).Scan(&role, &super, &replicates, &recovers, &pid, &owned)
	if err != nil {
		return nil, fmt.Errorf("read the role of the schedules: %w", err)
	}
	var found []cdc.Finding
	warn := func(code, message, hint string) {
		found = append(found, cdc.Finding{Severity: cdc.SeverityWarning, Code: code, Subject: "schedules.database_url", Message: message, Hint: hint})
	}
	const own = "Make a role of its own with the rights that the statements need: docs/operations.md has the SQL."
	switch {
	case super:
		warn(CodeRole, fmt.Sprintf("the role %s is a superuser: the schedules may do anything", role), own)
	case len(owned) > 0:
		warn(CodeRole, fmt.Sprintf("the role %s owns %s: the schedules may do anything to that", role, strings.Join(owned, ", ")), own)
	case replicates:
		warn(CodeRole, fmt.Sprintf("the role %s may replicate, and so read every table: the schedules don't need that", role), own)
	}
	if recovers {
		warn(CodeDatabase, "it leads to a standby, where nothing can be written", "Let it lead to the primary.")
	}
	if pid != conn.PgConn().PID() {
		warn(CodeDatabase, "a connection pooler such as PgBouncer is in the way: which server runs the schedules is a lock of the session", "Let it name PostgreSQL's own host and port.")
	}
	return found, nil
}

// inspect has the statement planned, in a transaction that can't write.
func (s Statement) inspect(ctx context.Context, conn *pgx.Conn) cdc.Finding {
	f := cdc.Finding{Severity: cdc.SeverityOK, Code: CodeStatement, Subject: "schedules.statements." + s.Name,
		Message: fmt.Sprintf("PostgreSQL takes the statement; it runs every %s", s.Every)}
	err := pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(pgx.Tx) error {
		_, err := execute(ctx, conn, "EXPLAIN "+s.SQL)
		return err
	})
	if err != nil {
		f.Severity, f.Message = cdc.SeverityWarning, "the statement would fail: "+explain(err).Error()
		f.Hint = "Correct it, or grant what it needs to the role of schedules.database_url. Until then each run fails, and is logged and counted; nothing else is touched."
	}
	return f
}
