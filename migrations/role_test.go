package migrations_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/walwire/walwire/internal/pgtest"
	"github.com/walwire/walwire/migrations"
)

// mustRole makes a role with a name of its own, which is dropped at the end,
// and returns the URL to log in with it.
func mustRole(tb testing.TB, url string) (name, roleURL string) {
	tb.Helper()
	const password = `it's "secret"`
	name = pgtest.Unique("Walwire") // a name that needs quotes
	tb.Cleanup(func() { dropRole(tb, url, name) })
	if err := migrations.Role(tb.Context(), url, name, password, migrations.MappedTables()); err != nil {
		tb.Fatal(err)
	}
	return name, pgtest.WithUser(tb, url, name, password)
}

func dropRole(tb testing.TB, url, name string) {
	tb.Helper()
	ctx := context.Background() // the test's own has ended
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		tb.Error(err)
		return
	}
	defer func() { _ = conn.Close(ctx) }()
	role := pgx.Identifier{name}.Sanitize()
	if _, err := conn.Exec(ctx, "DROP OWNED BY "+role+"; DROP ROLE "+role); err != nil {
		tb.Error(err)
	}
}

func TestRole(t *testing.T) {
	url := pgtest.Database(t)
	mustUp(t, url)
	name, roleURL := mustRole(t, url)
	admin := pgtest.MustConnect(t, url)

	t.Run("ExactRights", func(t *testing.T) {
		var attributes, tables, columns []string
		err := admin.QueryRow(t.Context(), `
			SELECT array_remove(ARRAY[CASE WHEN rolsuper THEN 'super' END, CASE WHEN rolcreaterole THEN 'createrole' END,
				CASE WHEN rolcreatedb THEN 'createdb' END, CASE WHEN rolbypassrls THEN 'bypassrls' END,
				CASE WHEN rolreplication THEN 'replication' END, CASE WHEN rolcanlogin THEN 'login' END], NULL),
			(SELECT array_agg(table_name || ' ' || privilege_type ORDER BY table_name, privilege_type) FROM information_schema.table_privileges
				WHERE grantee = rolname),
			(SELECT array_agg(DISTINCT privilege_type::text) FROM information_schema.column_privileges WHERE grantee = rolname)
			FROM pg_roles WHERE rolname = $1`, name).Scan(&attributes, &tables, &columns)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, []string{"replication", "login"}, attributes)
		equal(t, []string{"appointments SELECT", "clients SELECT", "notifications SELECT", "staff SELECT"}, tables)
		equal(t, []string{"SELECT"}, columns)
	})

	conn := pgtest.MustConnect(t, roleURL)
	for _, table := range migrations.MappedTables() {
		pgtest.MustExec(t, conn, "SELECT FROM "+table.Sanitize())
	}
	for what, sql := range map[string]string{
		"ErrCompanies": "SELECT FROM companies",
		"ErrBranches":  "SELECT FROM branches",
		"ErrRecord":    "SELECT FROM walwire_migrations",
		"ErrInsert":    "INSERT INTO notifications (title) VALUES ('x')",
		"ErrUpdate":    "UPDATE clients SET name = 'x'",
		"ErrDelete":    "DELETE FROM appointments",
		"ErrTruncate":  "TRUNCATE staff",
	} {
		t.Run(what, func(t *testing.T) {
			_, err := conn.Exec(t.Context(), sql)
			const insufficientPrivilege = "42501"
			var pgErr *pgconn.PgError
			if !errors.As(err, &pgErr) || pgErr.Code != insufficientPrivilege {
				t.Errorf("%s: %v, want that it is not allowed", sql, err)
			}
		})
	}
	pgtest.MustExec(t, conn, "SELECT pg_logical_emit_message(true, 'walwire', '')") // the heartbeat
}

func TestRoleReplicates(t *testing.T) {
	url := pgtest.Database(t)
	mustUp(t, url)
	_, roleURL := mustRole(t, url)
	slot := pgtest.Unique("slot")
	cfg, err := pgx.ParseConfig(roleURL)
	if err != nil {
		t.Fatal(err)
	}
	cfg.RuntimeParams["replication"] = "database"
	cfg.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	pgtest.MustExec(t, conn, "CREATE_REPLICATION_SLOT "+slot+" LOGICAL pgoutput")
}

func TestRoleAgain(t *testing.T) {
	url := pgtest.Database(t)
	mustUp(t, url)
	name, _ := mustRole(t, url)
	if err := migrations.Role(t.Context(), url, name, "changed", migrations.MappedTables()); err != nil {
		t.Fatal(err)
	}
	pgtest.MustConnect(t, pgtest.WithUser(t, url, name, "changed"))
}

func TestRoleErrors(t *testing.T) {
	url := pgtest.Database(t)
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ role, password string }{
		"ErrSuperuser":  {cfg.User, "x"},
		"ErrNoPassword": {"walwire", ""},
		"ErrNotASCII":   {"walwire", "pässword"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := migrations.Role(t.Context(), url, c.role, c.password, nil); err == nil {
				t.Error("no error")
			}
		})
	}
}

// Since 16 the owner of the database, with CREATEROLE and REPLICATION, is enough
// to make the role; before, that takes a superuser.
func TestRoleByOwner(t *testing.T) {
	url := pgtest.Database(t)
	admin := pgtest.MustConnect(t, url)
	owner, name := pgtest.Unique("owner"), pgtest.Unique("walwire")
	pgtest.MustExec(t, admin, `CREATE ROLE `+owner+` LOGIN CREATEROLE REPLICATION PASSWORD 'x'`)
	t.Cleanup(func() {
		ctx := context.Background() // the test's own has ended
		sql := "REASSIGN OWNED BY " + owner + " TO CURRENT_USER; DROP OWNED BY " + owner + "; DROP ROLE " + owner
		if _, err := admin.Exec(ctx, sql); err != nil {
			t.Error(err)
		}
	})
	pgtest.MustExec(t, admin, `ALTER DATABASE `+admin.Config().Database+` OWNER TO `+owner)
	ownerURL := pgtest.WithUser(t, url, owner, "x")
	pgtest.MustExec(t, admin, `CREATE TABLE notes (id int PRIMARY KEY); ALTER TABLE notes OWNER TO `+owner)

	err := migrations.Role(t.Context(), ownerURL, name, "secret", []pgx.Identifier{{"public", "notes"}})
	if pgtest.Version(t) < 160000 {
		if err == nil || !strings.Contains(err.Error(), "must be superuser to create replication users") {
			t.Errorf("error = %v, want that it takes a superuser", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dropRole(t, url, name) })
	pgtest.MustExec(t, pgtest.MustConnect(t, pgtest.WithUser(t, url, name, "secret")), `SELECT FROM notes`)
}
