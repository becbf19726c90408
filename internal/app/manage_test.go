package app_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/internal/pgtest"
	"github.com/walwire/walwire/mapping"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const notesConfig = `
version: 1
database_url: ${WALWIRE_DATABASE_URL}
listen: ${WALWIRE_LISTEN}
auth: {issuer: "${WALWIRE_ISSUER}", audience: "${WALWIRE_AUDIENCE}", keys: [{id: main, alg: HS256, secret: "${WALWIRE_TOKEN_SECRET}"}]}
user: {claims: {id: sub, company: company_id, roles: roles}}
tables:
  notes: {table: public.notes, company: company, roles: {owner: {rows: true, columns: "*"}}}
`

// With manage, a table that nobody has prepared is served: the publication and the
// replica identity are set by the second connection, and everything else runs as
// the role with few rights.
func TestManage(t *testing.T) {
	admin := pgtest.Database(t)
	s := apptest.Start(t, apptest.Options{
		AdminURL: admin,
		Schema:   `CREATE TABLE notes (id int PRIMARY KEY, company int NOT NULL, text text); INSERT INTO notes VALUES (1, 1, 'a'), (2, 2, 'b')`,
		Tables:   []pgx.Identifier{{"public", "notes"}},
		Config:   notesConfig,
		Edit: func(c *mapping.Config) {
			c.Manage, c.AdminDatabaseURL = true, mapping.NewSecret(admin)
		},
	})
	c := s.Connect(s.Owner("1"))
	q := c.Open(1, `{"table":"notes"}`)
	s.Exec(`UPDATE notes SET text = 'c' WHERE id = 1; DELETE FROM notes WHERE id = 2; INSERT INTO notes VALUES (3, 1, 'd')`)
	s.Wait(c)
	if len(q.Rows) != 2 || q.Rows["[1]"]["text"] != "c" || q.Rows["[3]"]["text"] != "d" {
		t.Errorf("rows %v", q.Rows)
	}
	var identity string
	s.Scan(&identity, `SELECT relreplident::text FROM pg_class WHERE relname = 'notes'`)
	if identity != "f" {
		t.Errorf("replica identity is %q, want f", identity)
	}
}

// Generated columns are left out, whether the publication sends them (18) or not,
// and the application's writes go on.
func TestManageGenerated(t *testing.T) {
	admin := pgtest.Database(t)
	s := apptest.Start(t, apptest.Options{
		AdminURL: admin,
		Schema: `CREATE TABLE notes (id int PRIMARY KEY, company int NOT NULL, length int GENERATED ALWAYS AS (char_length(text)) STORED, text text);
			INSERT INTO notes VALUES (1, 1, DEFAULT, 'a')`,
		Tables: []pgx.Identifier{{"public", "notes"}},
		Config: notesConfig,
		Edit: func(c *mapping.Config) {
			c.Manage, c.AdminDatabaseURL = true, mapping.NewSecret(admin)
		},
	})
	c := s.Connect(s.Owner("1"))
	q := c.Open(1, `{"table":"notes"}`)
	s.Exec(`UPDATE notes SET text = 'ccc' WHERE id = 1; INSERT INTO notes VALUES (3, 1, DEFAULT, 'dd')`)
	s.Wait(c)
	if len(q.Rows) != 2 || q.Rows["[1]"]["text"] != "ccc" || q.Rows["[3]"]["text"] != "dd" {
		t.Errorf("rows %v", q.Rows)
	}
	for key, row := range q.Rows {
		if _, shown := row["length"]; shown {
			t.Errorf("row %s shows its generated column: %v", key, row)
		}
	}
	s.Exec(`DELETE FROM notes WHERE id = 1`)
	s.Wait(c)
	if len(q.Rows) != 1 {
		t.Errorf("after a DELETE: rows %v", q.Rows)
	}
}
