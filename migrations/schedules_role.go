package migrations

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// schedulesRights are what the reference configuration's schedules need.
// docs/operations.md has them too.
func schedulesRights() []string {
	return []string{
		"SELECT (id, company_id, client_id, service_type, status, starts_at) ON public.appointments",
		"SELECT (id, company_id, user_id) ON public.clients",
		"INSERT (company_id, user_id, kind, title, body, data, dedupe_key) ON public.notifications",
	}
}

// SchedulesRole makes the role that the reference configuration's schedules run as, or
// gives an existing one another password: LOGIN, the columns that they read and those
// that they write, and nothing else. It needs a role that may make roles and grant these.
func SchedulesRole(ctx context.Context, url, name, password string) error {
	verifier, err := scramVerifier(password)
	if err != nil {
		return fmt.Errorf("role %s: %w", name, err)
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("role %s: %w", name, err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := ensureRole(ctx, tx, name, "LOGIN", verifier); err != nil {
			return err
		}
		for _, right := range schedulesRights() {
			if _, err := tx.Exec(ctx, "GRANT "+right+" TO "+pgx.Identifier{name}.Sanitize()); err != nil {
				return fmt.Errorf("grant %s: %w", right, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("role %s: %w", name, err)
	}
	return nil
}
