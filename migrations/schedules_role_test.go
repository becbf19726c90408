package migrations_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/internal/pgtest"
	"github.com/walwire/walwire/migrations"
)

// rights are what a role may do, and how it may log in.
func rights(t *testing.T, conn *pgx.Conn, role string) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), `
		SELECT format('super %s, createrole %s, createdb %s, bypassrls %s, replication %s, login %s', rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolreplication, rolcanlogin)
		FROM pg_roles WHERE rolname = $1
		UNION ALL SELECT format('%s (%s) ON %s', privilege_type, column_name, table_name) FROM information_schema.column_privileges WHERE grantee = $1
		UNION ALL SELECT format('%s ON %s', privilege_type, table_name) FROM information_schema.table_privileges WHERE grantee = $1
		ORDER BY 1`, role)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// The schedules' role has the rights that the documentation gives it.
func TestSchedulesRole(t *testing.T) {
	url := pgtest.Database(t)
	mustUp(t, url)
	conn := pgtest.MustConnect(t, url)
	made, documented := pgtest.Unique("Schedules"), pgtest.Unique("documented")
	for range 2 { // the second time it gets another password
		if err := migrations.SchedulesRole(t.Context(), url, made, "secret"); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { dropRole(t, url, made) })
	pgtest.MustConnect(t, pgtest.WithUser(t, url, made, "secret"))

	text, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	sql := regexp.MustCompile(`(?s)(CREATE ROLE walwire_schedules .*?)` + "```").FindSubmatch(text)
	if sql == nil {
		t.Fatal("the documentation has no SQL for the role")
	}
	pgtest.MustExec(t, conn, strings.ReplaceAll(string(sql[1]), "walwire_schedules", documented))
	t.Cleanup(func() { dropRole(t, url, documented) })
	got := rights(t, conn, made)
	equal(t, rights(t, conn, documented), got)
	if len(got) != 17 || got[len(got)-1] != "super f, createrole f, createdb f, bypassrls f, replication f, login t" {
		t.Errorf("rights %q", got)
	}
}
