package stream_test

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/internal/app"
	"github.com/walwire/walwire/internal/apptest"
)

const lotsSchema = `
CREATE TABLE lots (id int, company int NOT NULL, region text, v int NOT NULL, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE lots_a PARTITION OF lots FOR VALUES IN ('a');
CREATE TABLE lots_b PARTITION OF lots FOR VALUES IN ('b');
ALTER TABLE lots_a REPLICA IDENTITY FULL;
ALTER TABLE lots_b REPLICA IDENTITY FULL;
CREATE PUBLICATION walwire FOR TABLE lots_a, lots_b;
INSERT INTO lots SELECT g, 1 + g % 2, CASE WHEN g % 3 = 0 THEN 'a' ELSE 'b' END, g % 10 FROM generate_series(1, 40) g;`

const lotsConfig = `  lots: {table: public.lots, company: company, roles: {owner: {rows: true, columns: "*"}}}
`

var lotsQueries = []lifeQuery{
	{"owner", `{"table":"lots"}`, []string{"id", "region", "v"}, `SELECT id || '|' || region || '|' || v FROM lots WHERE company = 1`},
	{"owner", `{"table":"lots","where":[["v",">",3]]}`, []string{"id", "region", "v"}, `SELECT id || '|' || region || '|' || v FROM lots WHERE company = 1 AND v > 3`},
	{"owner", `{"table":"lots","orderBy":[["v","desc"]],"limit":6}`, []string{"id", "region", "v"},
		`SELECT id || '|' || region || '|' || v FROM lots WHERE company = 1 ORDER BY v DESC, id DESC, region COLLATE "C" DESC LIMIT 6`},
}

const writeLots = `; UPDATE lots SET v = v + 1 WHERE id % 4 = 0; DELETE FROM lots WHERE id = (SELECT max(id) FROM lots WHERE region = 'b');
	INSERT INTO lots SELECT max(id) + 2, 1, 'b', 3 FROM lots`

func startLots(t *testing.T) *life {
	return startLife(t, lifeOptions(lotsSchema, lotsConfig, "lots", "lots_a", "lots_b"), lotsQueries)
}

// Partitions come, go and are emptied, and rows move between them.
func TestLifePartitions(t *testing.T) {
	l := startLots(t)
	l.step(`UPDATE lots SET region = CASE region WHEN 'a' THEN 'b' ELSE 'a' END WHERE id % 4 < 2`, `UPDATE lots SET region = 'a', v = v + 1 WHERE region = 'b' AND id < 10`+writeLots)
	if resumes, resets := l.counts(); resumes != len(lotsQueries) || resets != 0 {
		t.Errorf("%d resumes, %d resets while no partition came or went", resumes, resets)
	}
	l.step(`TRUNCATE lots_a`)
	l.step(`BEGIN; INSERT INTO lots VALUES (70, 1, 'a', 7); TRUNCATE lots_b; INSERT INTO lots VALUES (71, 1, 'b', 8), (72, 1, 'a', 9); COMMIT`)
	l.step(`BEGIN; CREATE TABLE lots_c PARTITION OF lots FOR VALUES IN ('c'); ALTER TABLE lots_c REPLICA IDENTITY FULL; ALTER PUBLICATION walwire ADD TABLE lots_c; COMMIT`,
		`INSERT INTO lots SELECT g, 1 + g % 2, 'c', g % 5 FROM generate_series(80, 99) g`, `UPDATE lots SET v = v + 1 WHERE region = 'c'`+writeLots)
	l.step(`UPDATE lots SET region = 'c' WHERE id % 5 = 0`, `DELETE FROM lots WHERE region = 'c' AND id % 4 = 0`)
	l.silent(`UPDATE lots SET v = v + 1 WHERE region = 'c'`, `ALTER TABLE lots DETACH PARTITION lots_c`)
	l.step(`UPDATE lots SET v = v + 1` + writeLots)
	l.silent(`UPDATE lots_c SET v = v + 1, id = id + 1000`, `ALTER TABLE lots ATTACH PARTITION lots_c FOR VALUES IN ('c')`)
	l.step(`UPDATE lots SET v = v + 1` + writeLots)
}

// A partition that was away and is back has the same name, storage and columns, and
// other rows: a client that was away meanwhile is not told that it has missed nothing.
func TestLifeAwayThroughDetach(t *testing.T) {
	l := startLots(t)
	// The client that stays sees each step; only then comes the other one back.
	seen := func(sql string) {
		t.Helper()
		l.Exec(sql)
		l.check(l.stays, l.shown, sql, true)
	}
	seen(`UPDATE lots SET v = v + 1`)
	seen(`ALTER TABLE lots DETACH PARTITION lots_b`)
	seen(`UPDATE lots_b SET v = v + 100 WHERE id % 4 = 2; DELETE FROM lots_b WHERE id % 4 = 0`)
	seen(`ALTER TABLE lots ATTACH PARTITION lots_b FOR VALUES IN ('b')`)
	l.settle("the partition is back", false)
}

// A partition is detached, and before anybody has looked at the catalogue a query is
// opened, which finds its rows gone: who comes back to that query still shows them.
func TestLifeAwayThroughDetachUnseen(t *testing.T) {
	o := lifeOptions(lotsSchema, lotsConfig, "lots", "lots_a", "lots_b")
	o.Tuning.CatalogInterval = lookNever
	l := startLife(t, o, lotsQueries)
	l.Exec(`ALTER TABLE lots DETACH PARTITION lots_b`)
	fresh, opened := l.connect(nil)
	l.check(fresh, opened, "detached (new)", false)
	back, queries := l.connect(l.away)
	l.check(back, queries, "detached (came back)", true)
	l.check(l.stays, l.shown, "detached (stayed)", true)
}

// The same where the query has been resumed, and is now to be read for another client.
func TestLifeResumedThroughDetachUnseen(t *testing.T) {
	o := lifeOptions(lotsSchema, lotsConfig, "lots", "lots_a", "lots_b")
	o.Tuning.CatalogInterval = lookNever
	l := startLife(t, o, lotsQueries[:2])
	back, queries := l.connect(l.away)
	l.Exec(`ALTER TABLE lots DETACH PARTITION lots_b`)
	fresh, opened := l.connect(nil)
	l.check(fresh, opened, "detached (new)", true)
	l.check(back, queries, "detached (resumed)", true)
}

// A leaf made with the default replica identity sends old rows without a company:
// queries stay exact, and the log says so.
func TestLifeLeafIdentity(t *testing.T) {
	log := new(lockedBuffer)
	o := lifeOptions(lotsSchema, lotsConfig, "lots", "lots_a", "lots_b")
	o.Log = slog.New(slog.NewTextHandler(log, nil))
	l := startLife(t, o, lotsQueries)
	l.step(`BEGIN; CREATE TABLE lots_c PARTITION OF lots FOR VALUES IN ('c'); ALTER PUBLICATION walwire ADD TABLE lots_c; COMMIT`,
		`INSERT INTO lots SELECT g, 1 + g % 2, 'c', g % 5 FROM generate_series(80, 99) g`)
	l.step(`UPDATE lots SET v = v + 1 WHERE region = 'c'`, `UPDATE lots SET company = 3 - company WHERE id IN (80, 81)`)
	l.step(`UPDATE lots SET id = id + 1000 WHERE id > 90`)
	l.step(`UPDATE lots SET region = 'b' WHERE id > 1095`, `DELETE FROM lots WHERE region = 'c' AND id % 2 = 0`)
	if log.count("the replica identity leaves out") == 0 {
		t.Error("the log does not say how to mend the leaf's identity")
	}
}

// An index that leaves out the key becomes the replica identity: a deleted row does
// not say which one it was.
func TestLifeIdentityWithoutKey(t *testing.T) {
	l := startTasks(t, lookNever)
	l.step(`UPDATE tasks SET v = id; CREATE UNIQUE INDEX tasks_other ON tasks (company, v); ALTER TABLE tasks REPLICA IDENTITY USING INDEX tasks_other`, `DELETE FROM tasks WHERE id % 3 = 0`)
	l.step(`UPDATE tasks SET v = -v WHERE id % 4 = 0`, `UPDATE tasks SET id = id + 1000 WHERE id % 4 = 2`, `UPDATE tasks SET note = 'y'`)
	l.step(`ALTER TABLE tasks REPLICA IDENTITY FULL`+writeTasks, `DELETE FROM tasks WHERE id % 5 = 0`)
}

// A table that is renamed away is not served until it is back; what was written to it
// meanwhile is not lost to clients that were away.
func TestLifeTableRenamed(t *testing.T) {
	l := startTasks(t, lookOften)
	l.step(`UPDATE tasks SET v = v + 1`)
	away, cursors, queries := l.away, l.cursors, l.queries
	l.Exec(`ALTER TABLE tasks RENAME TO elsewhere`)
	l.endTasks()
	l.Exec(`UPDATE elsewhere SET v = v + 100 WHERE id % 4 = 2; DELETE FROM elsewhere WHERE id < 8`)
	l.settle("renamed away", false)
	l.Exec(`ALTER TABLE elsewhere RENAME TO tasks; UPDATE tasks SET v = v + 1 WHERE id = 11`)
	openAgain(l.Connect(l.Owner("1")), 1, `{"table":"tasks"}`)
	l.queries, l.away, l.cursors = queries, away, cursors
	l.stay()
	l.settle("renamed back", false)
	l.step(`SELECT` + writeTasks)

	t.Run("at once", func(t *testing.T) {
		l.t = t
		l.step(`ALTER TABLE tasks RENAME TO elsewhere`+strings.ReplaceAll(writeTasks, "tasks", "elsewhere")+`; ALTER TABLE elsewhere RENAME TO tasks`, `SELECT`+writeTasks)
	})
}

// endTasks waits for the end of all queries of tasks.
func (l *life) endTasks() {
	l.t.Helper()
	for i := len(l.queries) - 1; i >= 0; i-- {
		if strings.Contains(l.queries[i].query, `"tasks"`) {
			l.mustEnd(i, "failed-precondition", "tasks")
		}
	}
}

// A table that is dropped and made anew under its name is another table.
func TestLifeTableRecreated(t *testing.T) {
	l := startTasks(t, lookOften)
	const recreate = `CREATE TABLE tasks (id int PRIMARY KEY, company int NOT NULL, v int NOT NULL, note text, rank int, state text NOT NULL DEFAULT 'open', spare text);
		ALTER TABLE tasks REPLICA IDENTITY FULL; ALTER PUBLICATION walwire ADD TABLE tasks; GRANT SELECT ON tasks TO PUBLIC;
		INSERT INTO tasks SELECT g, 1 + g % 2, g % 3 FROM generate_series(1, 30) g`
	l.step(`UPDATE tasks SET v = v + 1`)
	l.silent(`UPDATE tasks SET v = v + 1`, `BEGIN; DROP TABLE tasks; `+recreate+`; COMMIT`)
	l.step(`SELECT` + writeTasks)
	away, cursors, queries := l.away, l.cursors, l.queries
	l.Exec(`DROP TABLE tasks; UPDATE calm SET v = v + 1`)
	l.endTasks()
	l.settle("dropped", false)
	l.Exec(recreate)
	openAgain(l.Connect(l.Owner("1")), 1, `{"table":"tasks"}`)
	l.queries, l.away, l.cursors = queries, away, cursors
	l.stay()
	l.settle("made anew", false)
	l.step(`SELECT` + writeTasks)
}

// A table that had one partition when walwire started has gained another: where the first
// is emptied, the rows of the second stay.
func TestTruncatedWhilePartitionsAreNew(t *testing.T) {
	s := apptest.Start(t, apptest.Options{
		Schema: `CREATE TABLE items (id int PRIMARY KEY, company int NOT NULL, v int NOT NULL) PARTITION BY RANGE (id);
			CREATE TABLE items_1 PARTITION OF items FOR VALUES FROM (0) TO (100);
			ALTER TABLE items_1 REPLICA IDENTITY FULL; CREATE PUBLICATION walwire FOR ALL TABLES;`,
		Config: itemsConfig, Tables: []pgx.Identifier{{"public", "items"}}, Tuning: app.Tuning{CatalogInterval: lookNever},
	})
	s.Exec(`INSERT INTO items VALUES (1, 1, 0)`)
	c := s.Connect(s.Owner("1"))
	q := c.Open(1, `{"table":"items"}`)
	s.Exec(`CREATE TABLE items_2 PARTITION OF items FOR VALUES FROM (100) TO (200); ALTER TABLE items_2 REPLICA IDENTITY FULL`)
	s.Exec(`INSERT INTO items VALUES (101, 1, 0)`)
	s.Wait(c)
	if len(q.Rows) != 2 {
		t.Fatalf("rows %v", q.Rows)
	}
	s.Exec(`TRUNCATE items_1`)
	s.Wait(c)
	if len(q.Rows) != 1 || q.Rows["[101]"] == nil {
		t.Errorf("rows %v", q.Rows)
	}
}

// A table gains a child by inheritance, as it had one before: it is not served, as a
// SELECT from it shows the child's rows.
func TestLifeInherited(t *testing.T) {
	l := startLife(t, lifeOptions(tasksSchema+`CREATE TABLE kid () INHERITS (tasks); DROP TABLE kid;`, tasksConfig, "tasks", "calm"), tasksQueries[:1])
	l.Exec(`CREATE TABLE kid () INHERITS (tasks); GRANT SELECT ON kid TO PUBLIC; INSERT INTO kid (id, company, v) VALUES (2002, 1, 77)`)
	l.mustEnd(0, "failed-precondition", "can't be served now")
}

// The role may not read a table any more, or only through policies: its queries end, its
// events are a gap, and the server says that it is not ready; until it may again.
func TestLifeUnreadable(t *testing.T) {
	for sql, mend := range map[string]string{
		`REVOKE SELECT ON tasks FROM ROLE`:                `GRANT SELECT ON tasks TO ROLE`,
		`ALTER TABLE tasks ENABLE ROW LEVEL SECURITY`:     `ALTER USER ROLE BYPASSRLS`,
		`REVOKE USAGE ON SCHEMA public FROM PUBLIC, ROLE`: `GRANT USAGE ON SCHEMA public TO ROLE`,
	} {
		t.Run(sql, func(t *testing.T) {
			s := startTold(t, lookOften)
			c := s.Connect(s.Owner("1"))
			q, f := c.Open(1, `{"table":"tasks"}`), c.Listen(2, `{"names":["task.*"]}`)
			var role string
			s.Scan(&role, `SELECT usename FROM pg_stat_activity WHERE datname = current_database() AND usename LIKE 'walwire_%' LIMIT 1`)
			s.Exec(strings.ReplaceAll(sql, " ROLE", " "+role))
			for q.Err == nil {
				c.Read()
			}
			s.Exec(`INSERT INTO tasks VALUES (1, 1, 'secret')`)
			s.Wait(c)
			if got := heard(f); q.Err.Code != "failed-precondition" || !strings.HasPrefix(got, "gap:tasks") || strings.Contains(got, "created") {
				t.Errorf("the query ended with %v; heard %q", q.Err, got)
			}
			if status, _ := call(t, "GET", s.URL()+"/readyz", "", ""); status != 503 {
				t.Errorf("readyz says %d", status)
			}
			s.Exec(strings.ReplaceAll(mend, " ROLE", " "+role))
			openAgain(s.Connect(s.Owner("1")), 1, `{"table":"tasks"}`)
			if status, _ := call(t, "GET", s.URL()+"/readyz", "", ""); status != 200 {
				t.Errorf("mended, readyz says %d", status)
			}
		})
	}
}
