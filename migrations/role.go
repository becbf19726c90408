package migrations

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Role makes the role that the server runs as, or brings an existing one up to
// date: LOGIN and REPLICATION, CONNECT on the database, USAGE on the tables'
// schemas and SELECT on the tables, and nothing else. It needs a superuser, or
// since PostgreSQL 16 a role with CREATEROLE and REPLICATION that may grant
// these. The password reaches the server as a SCRAM verifier, so that no log
// of statements holds it.
func Role(ctx context.Context, url, name, password string, tables []pgx.Identifier) error {
	return makeRole(ctx, url, name, "LOGIN REPLICATION", password, func(tx pgx.Tx) error { return grant(ctx, tx, name, tables) })
}

// makeRole makes a role, or brings it up to date, and gives it rights: all of it or nothing.
func makeRole(ctx context.Context, url, name, attributes, password string, rights func(tx pgx.Tx) error) error {
	err := func() error {
		verifier, err := scramVerifier(password)
		if err != nil {
			return err
		}
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if err := ensureRole(ctx, tx, name, attributes, verifier); err != nil {
				return err
			}
			return rights(tx)
		})
	}()
	if err != nil {
		return fmt.Errorf("role %s: %w", name, err)
	}
	return nil
}

// ensureRole creates or alters the role.
func ensureRole(ctx context.Context, tx pgx.Tx, name, attributes, verifier string) error {
	verb := "ALTER"
	var superuser bool
	err := tx.QueryRow(ctx, `SELECT rolsuper FROM pg_roles WHERE rolname = $1`, name).Scan(&superuser)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		verb = "CREATE"
	case err != nil:
		return fmt.Errorf("look it up: %w", err)
	case superuser:
		return errors.New("it exists and is a superuser: walwire must not run as one, choose another name")
	}
	// A verifier has no quotes: base64, digits and punctuation.
	sql := fmt.Sprintf("%s ROLE %s %s PASSWORD '%s'", verb, pgx.Identifier{name}.Sanitize(), attributes, verifier)
	if _, err := tx.Exec(ctx, sql); err != nil {
		return fmt.Errorf("%s role: %w", verb, err)
	}
	return nil
}

// grant gives the rights.
func grant(ctx context.Context, tx pgx.Tx, name string, tables []pgx.Identifier) error {
	var database string
	if err := tx.QueryRow(ctx, `SELECT current_database()`).Scan(&database); err != nil {
		return fmt.Errorf("read the database's name: %w", err)
	}
	rights := []string{"CONNECT ON DATABASE " + pgx.Identifier{database}.Sanitize()}
	for _, t := range tables {
		// A GRANT of what there is would alter the table's catalogue, and so reset all
		// clients that are away.
		var uses, selects bool
		err := tx.QueryRow(ctx, `SELECT has_schema_privilege($1, relnamespace, 'USAGE'), has_table_privilege($1, oid, 'SELECT')
			FROM pg_class WHERE oid = $2::text::regclass`, name, t.Sanitize()).Scan(&uses, &selects)
		if err != nil {
			return fmt.Errorf("read the rights on %s: %w", t.Sanitize(), err)
		}
		if !uses && len(t) > 1 {
			rights = append(rights, "USAGE ON SCHEMA "+t[:1].Sanitize())
		}
		if !selects {
			rights = append(rights, "SELECT ON TABLE "+t.Sanitize())
		}
	}
	return grantEach(ctx, tx, name, rights)
}

func grantEach(ctx context.Context, tx pgx.Tx, name string, rights []string) error {
	for _, right := range rights {
		if _, err := tx.Exec(ctx, "GRANT "+right+" TO "+pgx.Identifier{name}.Sanitize()); err != nil {
			return fmt.Errorf("grant %s: %w", right, err)
		}
	}
	return nil
}
