package app_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/internal/pgtest"
	"github.com/walwire/walwire/mapping"
)

// A server that has served begins again without a table that can't be, or can be only at
// a higher cost, as it would go on without it.
func TestStartsWithoutTable(t *testing.T) {
	for name, alter := range map[string]string{
		"company of another kind": `ALTER TABLE more ALTER company TYPE text`,
		"no company":              `ALTER TABLE more DROP company`,
		"no key":                  `ALTER TABLE more DROP CONSTRAINT more_pkey`,
		"no table":                `DROP TABLE more`,
		"no rights":               `REVOKE SELECT ON more FROM PUBLIC; DO $$ BEGIN EXECUTE (SELECT string_agg('REVOKE SELECT ON more FROM ' || quote_ident(grantee), ';') FROM information_schema.role_table_grants WHERE table_name = 'more' AND grantee <> 'PUBLIC' AND grantee <> grantor); END $$`,
		"row security":            `ALTER TABLE more ENABLE ROW LEVEL SECURITY`,
		"not published":           `ALTER PUBLICATION walwire DROP TABLE more`,
		"deferrable key":          `ALTER TABLE more DROP CONSTRAINT more_pkey, ADD PRIMARY KEY (id) DEFERRABLE`,
		"row filter":              `ALTER PUBLICATION walwire SET TABLE notes, more WHERE (id > 5)`,
		"key as identity":         `ALTER TABLE more REPLICA IDENTITY DEFAULT`,
	} {
		if name == "row filter" && pgtest.Version(t) < 150000 {
			continue
		}
		for _, manage := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", managed"}[manage], func(t *testing.T) {
				admin := pgtest.Database(t)
				s := apptest.Start(t, apptest.Options{
					AdminURL: admin, Tables: []pgx.Identifier{{"public", "notes"}, {"public", "more"}},
					Schema: `CREATE TABLE more (id int PRIMARY KEY, company int NOT NULL); ALTER TABLE more REPLICA IDENTITY FULL; INSERT INTO more VALUES (1, 1);` + notesSchema + `, more`,
					Config: notesConfig + "  more: {table: public.more, company: company, roles: {owner: {rows: true, columns: [id]}}}\n",
					Edit: func(c *mapping.Config) {
						if c.Manage = manage; manage {
							c.AdminDatabaseURL = mapping.NewSecret(admin)
						}
					},
				})
				s.Stop()
				s.Exec(alter)
				s.Exec(`INSERT INTO notes VALUES (1, 1, 'a')`)
				s.Run()
				c := s.Connect(s.Owner("1"))
				if q := c.Open(1, `{"table":"notes"}`); len(q.Rows) != 1 {
					t.Errorf("the other table shows %v", q.Rows)
				}
				served := name == "key as identity" || manage && name == "not published"
				if ready := get(t, s.URL()+"/readyz"); served == strings.Contains(ready, "more can't be served") {
					t.Errorf("/readyz says %s", ready)
				}
				if err := s.Reload(func(*mapping.Config) {}); err != nil && !served {
					t.Errorf("a reload meanwhile: %v", err)
				}
			})
		}
	}
}

// A partition that comes to a managed table is published as well.
func TestManagedPartition(t *testing.T) {
	admin := pgtest.Database(t)
	s := apptest.Start(t, apptest.Options{
		AdminURL: admin, Tables: []pgx.Identifier{{"public", "notes"}}, Config: notesConfig,
		Schema: `CREATE TABLE notes (id int PRIMARY KEY, company int NOT NULL, text text) PARTITION BY RANGE (id); CREATE TABLE notes_1 PARTITION OF notes FOR VALUES FROM (0) TO (10)`,
		Edit:   func(c *mapping.Config) { c.Manage, c.AdminDatabaseURL = true, mapping.NewSecret(admin) },
	})
	s.Exec(`CREATE TABLE notes_2 PARTITION OF notes FOR VALUES FROM (10) TO (20); INSERT INTO notes VALUES (11, 1, 'a')`)
	await(t, "the table to be served with its partition", func() bool {
		var published bool
		s.Scan(&published, `SELECT EXISTS (SELECT FROM pg_publication_tables WHERE tablename = 'notes_2')`)
		return published && strings.Contains(get(t, s.URL()+"/readyz"), `"ready"`)
	})
	c := s.Connect(s.Owner("1"))
	q := c.Open(1, `{"table":"notes"}`)
	s.Exec(`UPDATE notes SET text = 'b' WHERE id = 11; INSERT INTO notes VALUES (12, 1, 'c')`)
	s.Wait(c)
	if len(q.Rows) != 2 || q.Rows["[11]"]["text"] != "b" {
		t.Errorf("rows %v", q.Rows)
	}
}
