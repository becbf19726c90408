package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/auth"
	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/mapping"
	"github.com/walwire/walwire/mapping/predicate"
	"github.com/walwire/walwire/stream"
)

// Explainer tells what a configuration does with a database before clients see it. It
// reads as the server's role, in one snapshot of a read-only transaction, and changes
// nothing. For one goroutine.
type Explainer struct {
	cfg       *mapping.Config
	conn      *pgx.Conn
	schema    *stream.Schema
	rehearsal *stream.Rehearsal
	position  cdc.LSN   // of the snapshot, about
	now       time.Time // the database's
}

// NewExplainer connects. Findings about the configuration are a mapping.Errors.
func NewExplainer(ctx context.Context, cfg *mapping.Config, log *slog.Logger) (*Explainer, error) {
	conn, err := cdc.ConnectReader(ctx, cfg.DatabaseURL.Reveal(), cfg.DatabasePasswordFile)
	if err != nil {
		return nil, fmt.Errorf("the database can't be reached: %w", err)
	}
	e := &Explainer{cfg: cfg, conn: conn}
	if err := e.begin(ctx, log); err != nil {
		e.Close(ctx)
		return nil, err
	}
	return e, nil
}

// Close lets the database go.
func (e *Explainer) Close(ctx context.Context) { _ = e.conn.Close(context.WithoutCancel(ctx)) }

func (e *Explainer) begin(ctx context.Context, log *slog.Logger) error {
	var err error
	if e.schema, err = loadSchema(ctx, e.cfg, e.conn, ""); err != nil {
		return err
	}
	var broken []error
	for _, t := range e.cfg.Tables {
		if err := e.schema.Broken[t.Name]; err != nil && !slices.ContainsFunc(broken, func(other error) bool { return other.Error() == err.Error() }) {
			broken = append(broken, err)
		}
	}
	if err := errors.Join(broken...); err != nil {
		return err
	}
	for _, sql := range []string{
		"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
		fmt.Sprintf("SET LOCAL statement_timeout = %d", e.cfg.Limits.SnapshotTimeout.Milliseconds()),
	} {
		if _, err := e.conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("begin to read: %w", err)
		}
	}
	var position string
	if err := e.conn.QueryRow(ctx, "SELECT pg_current_wal_insert_lsn()::text, now()").Scan(&position, &e.now); err != nil {
		return fmt.Errorf("read the position of the WAL: %w", err)
	}
	if e.position, err = pglogrepl.ParseLSN(position); err != nil {
		return err
	}
	e.rehearsal, err = stream.NewRehearsal(e.schema, cursorKey(e.cfg), log, e.read)
	return err
}

// read runs one query, whose values come and go as text.
func (e *Explainer) read(ctx context.Context, q cdc.Select) error {
	args := make([][]byte, len(q.Args))
	for i, a := range q.Args {
		args[i] = []byte(a)
	}
	rows := e.conn.PgConn().ExecParams(ctx, q.SQL, args, nil, nil, nil)
	var err error
	for rows.NextRow() {
		if err == nil {
			err = q.Row(rows.Values())
		}
	}
	if _, closeErr := rows.Close(); closeErr != nil {
		return closeErr
	}
	return err
}

// Viewer is for whom something is explained: what a token would say.
type Viewer struct {
	Roles   []string
	ID      string // "": somebody with these roles of whom nothing else is known
	Company string // "": none
	Claims  auth.Claims
}

// Principal is who that is, by the rows of now too where the user is named. A user without
// access is a *stream.Error.
func (e *Explainer) Principal(ctx context.Context, v Viewer) (*auth.Principal, error) {
	for _, role := range v.Roles {
		if roles := e.Roles(); !slices.Contains(roles, role) {
			return nil, fmt.Errorf("no table has a rule for the role %q%s", role, mapping.DidYouMean(role, roles))
		}
	}
	paths, claims := auth.ClaimPaths(e.cfg.User.Claims), auth.Claims{}
	maps.Copy(claims, v.Claims)
	roles := make([]any, len(v.Roles))
	for i, role := range v.Roles {
		roles[i] = role
	}
	claims[paths[mapping.AttributeRoles]] = roles
	named := func(attribute, value string) bool {
		_, known := claims.Lookup(paths[attribute])
		if value != "" || !known {
			claims[paths[attribute]] = cmp.Or(value, "nobody")
		}
		return value != "" || known
	}
	user, company := named(mapping.AttributeID, v.ID), named(mapping.AttributeCompany, v.Company)
	p, err := paths.Principal(claims, auth.Choice{})
	if err != nil {
		return nil, err
	}
	if !company {
		p.Company = ""
		delete(p.Attributes, mapping.AttributeCompany)
	}
	if !user {
		p.ID = ""
		delete(p.Attributes, mapping.AttributeID)
		return &p, nil
	}
	if !company {
		return nil, errors.New("give the user's company too: rows of the company may say more of the user")
	}
	return e.rehearsal.Principal(ctx, &p)
}

// Roles gives the roles that some table has a rule for, in the configuration's order.
func (e *Explainer) Roles() []string {
	var roles []string
	for _, t := range e.cfg.Tables {
		for _, r := range t.Roles {
			if !slices.Contains(roles, r.Name) {
				roles = append(roles, r.Name)
			}
		}
	}
	return roles
}

// Tables gives the names of the mapped tables, in the configuration's order.
func (e *Explainer) Tables() []string {
	names := make([]string, len(e.cfg.Tables))
	for i, t := range e.cfg.Tables {
		names[i] = t.Name
	}
	return names
}

// table finds a mapped table and what the configuration says of it.
func (e *Explainer) table(name string) (*mapping.Table, *mapping.TableConfig, error) {
	t, ok := e.schema.Mapping.Table(name)
	cfg, _ := e.cfg.Table(name)
	if !ok || cfg == nil {
		return nil, nil, fmt.Errorf("no table is mapped as %q%s", name, mapping.DidYouMean(name, e.Tables()))
	}
	return t, cfg, nil
}

// where is a predicate as SQL, with its parameters.
func where(t *mapping.Table, node *predicate.Node) (string, []string) {
	sql, values := node.AppendSQL(nil, nil, t.Columns)
	args := make([]string, len(values))
	for i, v := range values {
		args[i], _ = v.(string) // always
	}
	return string(sql), args
}
