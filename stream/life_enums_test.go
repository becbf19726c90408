package stream_test

import (
	"testing"
)

// Enums as a column has them: itself, in an array, under a domain, in a composite.
const moodsSchema = `
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN temper AS mood CHECK (VALUE IS NOT NULL);
CREATE TYPE pair AS (a mood, n int);
CREATE TABLE moods (id int PRIMARY KEY, company int NOT NULL, m mood NOT NULL, ms mood[] NOT NULL, d temper, p pair);
ALTER TABLE moods REPLICA IDENTITY FULL;
CREATE PUBLICATION walwire FOR TABLE moods;
INSERT INTO moods SELECT g, 1, (ARRAY['sad', 'ok', 'happy'])[1 + g % 3]::mood, ARRAY['ok', 'sad']::mood[], 'ok', ROW('ok', 1)::pair FROM generate_series(1, 20) g;`

const moodsConfig = `  moods: {table: public.moods, company: company, roles: {owner: {rows: true, columns: "*"}}}
`

const moodsLine = `SELECT id || '|' || m || '|' || to_jsonb(ms::text[])::text || '|' || d || '|' || p::text FROM moods WHERE company = 1`

var moodsColumns = []string{"id", "m", "ms", "d", "p"}

var moodsQueries = []lifeQuery{
	{"owner", `{"table":"moods"}`, moodsColumns, moodsLine},
	{"owner", `{"table":"moods","where":[["m","!=","ok"]]}`, moodsColumns, moodsLine + ` AND m::text <> 'ok'`},
	{"owner", `{"table":"moods","orderBy":["id"],"limit":3}`, moodsColumns, moodsLine + ` ORDER BY id LIMIT 3`},
}

func init() {
	for i := range moodsQueries {
		q := &moodsQueries[i]
		q.sql = "SELECT replace(x, '\", \"', '\",\"') FROM (" + q.sql + ") AS y(x)"
	}
}

// An enum gets labels, and others are renamed, which says nothing in the stream.
func TestLifeEnums(t *testing.T) {
	l := startLife(t, lifeOptions(moodsSchema, moodsConfig, "moods"), moodsQueries)
	l.step(`ALTER TYPE mood ADD VALUE 'great'`, `UPDATE moods SET m = 'great', ms = '{great,ok}' WHERE id % 2 = 0`)
	l.step(`ALTER TYPE mood ADD VALUE 'awful' BEFORE 'sad'`, `INSERT INTO moods VALUES (30, 1, 'awful', '{awful}', 'awful', ROW('awful', 2))`)
	l.silent(`ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'`)
	l.step(`UPDATE moods SET m = 'blue' WHERE id < 5`)
	l.silent(`UPDATE moods SET m = 'blue', d = 'blue' WHERE id % 3 = 0`, `ALTER TYPE mood RENAME VALUE 'blue' TO 'navy'`, `UPDATE moods SET m = 'navy' WHERE id % 5 = 0`)
	l.silent(`ALTER TABLE moods ALTER m TYPE mood USING 'happy'::mood`)
	l.silent(`ALTER TYPE pair ADD ATTRIBUTE more text`)
	l.step(`UPDATE moods SET p = ROW('happy', 3, 'x') WHERE id = 3`)

	c := l.Connect(l.Owner("1")) // the new labels are known to filters, also in arrays
	for i, where := range []string{`["m","==","navy"]`, `["ms","array-contains","awful"]`} {
		if q := c.Open(i+1, `{"table":"moods","where":[`+where+`]}`); q.Err != nil {
			t.Errorf("%s: %s", where, q.Err)
		}
	}
}

// A label that was renamed and renamed back looks as before; what was written
// between carries the other one in the log.
func TestLifeEnumRenamedBack(t *testing.T) {
	l := startLife(t, lifeOptions(moodsSchema, moodsConfig, "moods"), moodsQueries)
	for range 3 {
		l.silent(`ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'`, `UPDATE moods SET m = 'blue', ms = '{blue,ok}' WHERE id % 2 = 0`, `ALTER TYPE mood RENAME VALUE 'blue' TO 'sad'`)
	}
	// Also when each step has been noticed.
	for _, sql := range []string{`ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'`, `UPDATE moods SET m = 'blue', d = 'blue' WHERE id % 3 = 0`, `ALTER TYPE mood RENAME VALUE 'blue' TO 'sad'`} {
		l.Exec(sql)
		l.check(l.stays, l.shown, sql, true)
	}
	l.settle("renamed back", false)
}
