package stream_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/internal/pgtest"
)

// Enums as a column has them: itself, in an array, under a domain, in a composite, in a range.
const moodsSchema = `
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN temper AS mood CHECK (VALUE IS NOT NULL);
CREATE TYPE tone AS ENUM ('high'); -- in an array only
CREATE TYPE pair AS (a mood, n int);
CREATE TYPE hue AS ENUM ('dim', 'lit'); -- in a range only
CREATE TYPE hues AS RANGE (subtype = hue);
CREATE TABLE moods (id int PRIMARY KEY, company int NOT NULL, m mood NOT NULL, ms mood[] NOT NULL, d temper, p pair, tones tone[] NOT NULL DEFAULT '{}', h hues NOT NULL DEFAULT '[dim,lit]');
ALTER TABLE moods REPLICA IDENTITY FULL;
CREATE PUBLICATION walwire FOR TABLE moods;
INSERT INTO moods SELECT g, 1, (ARRAY['sad', 'ok', 'happy'])[1 + g % 3]::mood, ARRAY['ok', 'sad']::mood[], 'ok', ROW('ok', 1)::pair FROM generate_series(1, 20) g;`

const moodsConfig = `  moods: {table: public.moods, company: company, roles: {owner: {rows: true, columns: "*"}}}
`

const moodsLine = `SELECT id || '|' || m || '|' || to_jsonb(ms::text[])::text || '|' || d || '|' || p::text || '|' || h FROM moods WHERE company = 1`

var moodsColumns = []string{"id", "m", "ms", "d", "p", "h"}

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
	l.silent(`ALTER TYPE hue RENAME VALUE 'dim' TO 'dark'`)
	l.silent(`ALTER TYPE pair ADD ATTRIBUTE more text`)
	l.step(`UPDATE moods SET p = ROW('happy', 3, 'x') WHERE id = 3`)

	l.step(`ALTER TYPE tone ADD VALUE 'low'`, `UPDATE moods SET tones = '{low,high}' WHERE id = 2`)

	c := l.Connect(l.Owner("1")) // the new labels are known to filters, also in arrays
	for i, where := range []string{`["m","==","navy"]`, `["ms","array-contains","awful"]`} {
		if q := c.Open(i+1, `{"table":"moods","where":[`+where+`]}`); q.Err != nil {
			t.Errorf("%s: %s", where, q.Err)
		}
	}
	if q := openAgain(c, 9, `{"table":"moods","where":[["tones","array-contains","low"]]}`); len(q.Rows) != 1 {
		t.Errorf("%d rows have the new label", len(q.Rows))
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

// A commit that the stream has told and no snapshot sees yet, since a synchronous
// standby is away, is not lost when its table changes meanwhile.
func TestLifeUnseenThroughChange(t *testing.T) {
	server := pgtest.New(t, nil)
	o := lifeOptions(moodsSchema, moodsConfig, "moods")
	o.AdminURL = server.URL()
	l := startLife(t, o, moodsQueries)
	l.Exec(`SET synchronous_commit = local`)
	l.Exec(`ALTER SYSTEM SET synchronous_standby_names = 'nobody'`)
	l.Exec(`SELECT pg_reload_conf()`)
	writer, written := pgtest.MustConnect(t, l.AdminURL), make(chan error, 1)
	probe, probed := pgtest.MustConnect(t, l.AdminURL), make(chan error, 1)
	var hangs atomic.Bool
	go func() {
		var err error
		for err == nil && !hangs.Load() { // the last one waits
			_, err = probe.Exec(context.Background(), `SELECT pg_logical_emit_message(true, 'probe', '')`)
		}
		probed <- err
	}()
	for n := 0; n == 0; {
		l.Scan(&n, `SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`)
	}
	hangs.Store(true)
	go func() {
		_, err := writer.Exec(context.Background(), `INSERT INTO moods VALUES (0, 1, 'happy', '{}', 'ok', ROW('ok', 2))`)
		written <- err
	}()
	c := l.stays["owner"]
	for len(l.shown[0].Rows) == 20 {
		c.Read()
	}
	var seen int
	if l.Scan(&seen, `SELECT count(*) FROM moods`); seen != 20 {
		t.Error("the commit is visible")
	}
	l.Exec(`ALTER TYPE mood ADD VALUE 'great'`)
	for _, q := range l.shown {
		for q.Resets == 0 {
			c.Read()
		}
		if _, ok := q.Rows["[0]"]; !ok {
			t.Error("a row of a commit that snapshots don't see yet is gone")
		}
	}
	l.Exec(`ALTER SYSTEM RESET synchronous_standby_names`)
	l.Exec(`SELECT pg_reload_conf()`)
	if err := errors.Join(<-written, <-probed); err != nil {
		t.Fatal(err)
	}
	l.settle("visible", false)
}

// An enum's type has another name, which neither the stream nor the fingerprint says.
func TestEnumTypeIsRenamed(t *testing.T) {
	s := apptest.Start(t, lifeOptions(moodsSchema, moodsConfig, "moods"))
	s.Connect(s.Owner("1")).Open(1, `{"table":"moods","where":[["m","==","ok"]]}`)
	s.Exec(`ALTER TYPE mood RENAME TO feeling`)
	q := s.Connect(s.Owner("1")).Open(1, `{"table":"moods","where":[["m","==","happy"]]}`)
	var want int
	s.Scan(&want, `SELECT count(*) FROM moods WHERE m = 'happy'`)
	if len(q.Rows) != want || want == 0 {
		t.Errorf("%d rows, want %d", len(q.Rows), want)
	}
}
