package migrations

import (
	"context"

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
	return makeRole(ctx, url, name, "LOGIN", password, func(tx pgx.Tx) error { return grantEach(ctx, tx, name, schedulesRights()) })
}
