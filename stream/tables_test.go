package stream_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/internal/apptest"
)

// Tables as applications have them: every kind of key and company column, names
// that need quotes, partitions, and an index as replica identity.
const tablesSQL = `
CREATE TABLE ints (id int PRIMARY KEY, company int, v int NOT NULL);
CREATE TABLE bigs (company bigint, id bigint PRIMARY KEY, v int NOT NULL);
CREATE TABLE uuids (id uuid PRIMARY KEY, company int, v int NOT NULL);
CREATE SCHEMA "Sales";
CREATE TABLE "Sales"."Order Lines" ("Firm" smallint, "Line ""No""" bigint, "order" text, "V" int NOT NULL, PRIMARY KEY ("order", "Line ""No"""));
CREATE TABLE parts (id int, company int, region text, v int NOT NULL, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE parts_a PARTITION OF parts FOR VALUES IN ('a');
CREATE TABLE parts_b (v int NOT NULL, gone text, region text NOT NULL, company int, id int NOT NULL);
ALTER TABLE parts_b DROP COLUMN gone;
ALTER TABLE parts_b ADD PRIMARY KEY (id, region);
ALTER TABLE parts ATTACH PARTITION parts_b FOR VALUES IN ('b');
CREATE TABLE identities (id int NOT NULL PRIMARY KEY, company int NOT NULL, v int NOT NULL, big text NOT NULL);
ALTER TABLE identities ALTER big SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX identities_identity ON identities (company, id);
ALTER TABLE ints REPLICA IDENTITY FULL;
ALTER TABLE bigs REPLICA IDENTITY FULL;
ALTER TABLE uuids REPLICA IDENTITY FULL;
ALTER TABLE "Sales"."Order Lines" REPLICA IDENTITY FULL;
ALTER TABLE parts_a REPLICA IDENTITY FULL;
ALTER TABLE parts_b REPLICA IDENTITY FULL;
ALTER TABLE identities REPLICA IDENTITY USING INDEX identities_identity;
CREATE PUBLICATION walwire FOR TABLE ints, bigs, uuids, "Sales"."Order Lines", parts_a, parts_b, identities;`

const tablesConfig = `  ints: {table: public.ints, company: company, roles: {owner: {rows: true, columns: "*"}}}
  bigs: {table: bigs, company: company, roles: {owner: {rows: true, columns: "*"}}}
  uuids: {table: public.uuids, company: company, roles: {owner: {rows: true, columns: "*"}}}
  lines: {table: '"Sales"."Order Lines"', company: Firm, roles: {owner: {rows: row.V < 1000, columns: [V]}}}
  parts: {table: public.parts, company: company, roles: {owner: {rows: true, columns: "*"}}}
  identities: {table: public.identities, company: company, roles: {owner: {rows: true, columns: [v, big]}}}
`

// tableStates give what company 7's queries must show, as key and value.
var tableStates = map[string]string{
	"ints":       `SELECT id::text, v::text FROM ints WHERE company = 7`,
	"bigs":       `SELECT id::text, v::text FROM bigs WHERE company = 7`,
	"uuids":      `SELECT id::text, v::text FROM uuids WHERE company = 7`,
	"lines":      `SELECT "order" || '|' || "Line ""No""", "V"::text FROM "Sales"."Order Lines" WHERE "Firm" = 7 AND "V" < 1000`,
	"parts":      `SELECT id || '|' || region, v::text FROM parts WHERE company = 7`,
	"identities": `SELECT id::text, v || md5(big) FROM identities WHERE company = 7`,
}

// tableSteps are commits, each followed by a look.
var tableSteps = []string{
	`INSERT INTO ints SELECT g, 7 + g % 2, g FROM generate_series(1, 20) g; INSERT INTO ints VALUES (100, NULL, 1), (101, NULL, 2)`,
	`UPDATE ints SET company = NULL WHERE id = 2; UPDATE ints SET company = 7 WHERE id = 100`,
	`UPDATE ints SET v = v + 1; DELETE FROM ints WHERE id IN (4, 101)`,
	`UPDATE ints SET id = -id WHERE company = 7`,
	`INSERT INTO bigs SELECT 7 + g % 2, 9007199254740990 + g, g FROM generate_series(1, 20) g`,
	`UPDATE bigs SET v = v + 1, company = 15 - company; DELETE FROM bigs WHERE v % 3 = 0`,
	`INSERT INTO uuids SELECT ('00000000-0000-0000-0000-' || lpad(g::text, 12, '0'))::uuid, 7 + g % 2, g FROM generate_series(1, 20) g`,
	`UPDATE uuids SET v = -v; DELETE FROM uuids WHERE v < -15`,
	`INSERT INTO "Sales"."Order Lines" SELECT 7 + g % 2, g / 3, 'o|' || g % 3, g FROM generate_series(1, 30) g`,
	`INSERT INTO "Sales"."Order Lines" VALUES (7, 1, 'a', 1), (7, 11, '', 2), (7, 1, '1', 3)`,
	`UPDATE "Sales"."Order Lines" SET "V" = "V" + 980; UPDATE "Sales"."Order Lines" SET "V" = "V" - 980 WHERE "Line ""No""" > 5`,
	`UPDATE "Sales"."Order Lines" SET "order" = "order" || '''"' WHERE "V" < 1000; DELETE FROM "Sales"."Order Lines" WHERE "order" LIKE 'o|1%'`,
	`INSERT INTO parts SELECT g, 7 + g % 2, CASE WHEN g % 3 = 0 THEN 'a' ELSE 'b' END, g FROM generate_series(1, 20) g`,
	`UPDATE parts SET region = CASE region WHEN 'a' THEN 'b' ELSE 'a' END`,
	`UPDATE parts SET v = v + 1 WHERE region = 'b'; UPDATE parts SET company = 15 - company WHERE id < 10; DELETE FROM parts WHERE id = 14`,
	`INSERT INTO identities SELECT g, 7 + g % 2, g, repeat(md5(g::text), 500) FROM generate_series(1, 20) g`,
	`UPDATE identities SET v = v + 1`, // does not repeat big
	`UPDATE identities SET v = v + 1, company = 15 - company WHERE id < 10`,
	`UPDATE identities SET id = id + 1000 WHERE company = 7; UPDATE identities SET big = big || 'x' WHERE id % 2 = 0; DELETE FROM identities WHERE v % 5 = 0`,
	`BEGIN; DELETE FROM identities WHERE company = 7 OR id < 3; INSERT INTO identities VALUES (1, 7, 5, 'small'), (2, 8, 5, repeat('y', 9000)); UPDATE identities SET company = 7, v = 6 WHERE id = 2; COMMIT`,
	`TRUNCATE identities, ints; INSERT INTO ints VALUES (1, 7, 1)`,
	`BEGIN; TRUNCATE parts_b; INSERT INTO parts VALUES (50, 7, 'b', 1), (51, 7, 'a', 2); COMMIT`,
	`TRUNCATE parts; INSERT INTO parts VALUES (60, 7, 'b', 1), (61, 7, 'a', 2)`,
}

func TestTables(t *testing.T) {
	config := itemsConfig[:strings.Index(itemsConfig, "  items:")] + tablesConfig
	s := apptest.Start(t, apptest.Options{Schema: tablesSQL, Config: config, Tables: []pgx.Identifier{
		{"public", "ints"}, {"public", "bigs"}, {"public", "uuids"}, {"Sales", "Order Lines"}, {"public", "parts"}, {"public", "identities"},
	}})
	live, stranger := s.Connect(s.Owner("7")), s.Connect(s.Owner("9"))
	open := func(c *apptest.Client) map[string]*apptest.Query {
		queries := make(map[string]*apptest.Query)
		for name := range tableStates {
			queries[name] = c.Open(len(queries)+1, fmt.Sprintf(`{"table":%q}`, name))
		}
		return queries
	}
	queries, nothing := open(live), open(stranger)
	for i, step := range tableSteps {
		s.Exec(step)
		s.Wait(live)
		for name, q := range queries {
			mustShow(t, s, shown(q), tableStates[name])
		}
		if i%7 != 6 {
			continue
		}
		late := s.Connect(s.Owner("7")) // shares the views
		for name, q := range open(late) {
			mustShow(t, s, shown(q), tableStates[name])
		}
		late.Close()
	}
	s.Wait(stranger)
	for name, q := range nothing {
		if len(q.Rows) > 0 || q.Resets > 0 {
			t.Errorf("a stranger sees %d rows of %s", len(q.Rows), name)
		}
	}
}

// shown gives each row its value under the name v, as tableStates does.
func shown(q *apptest.Query) *apptest.Query {
	like := &apptest.Query{Key: q.Key, Rows: make(map[string]apptest.Row)}
	for k, r := range q.Rows {
		row := apptest.Row{"v": r["v"]}
		for _, name := range q.Key {
			row[name] = r[name]
		}
		if v, ok := r["V"]; ok {
			row["v"] = v
		}
		if big, ok := r["big"].(string); ok {
			row["v"] = fmt.Sprint(r["v"], md5Hex(big))
		}
		like.Rows[k] = row
	}
	return like
}
