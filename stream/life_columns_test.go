package stream_test

import (
	"testing"
	"time"
)

const (
	// lookOften is how often a life's catalogue is looked at.
	lookOften = 50 * time.Millisecond
	// lookNever leaves all to the stream.
	lookNever = time.Hour
)

const tasksSchema = `
CREATE TABLE tasks (id int PRIMARY KEY, company int NOT NULL, v int NOT NULL, note text, rank int, state text NOT NULL DEFAULT 'open', spare text);
ALTER TABLE tasks REPLICA IDENTITY FULL;
CREATE TABLE calm (id int PRIMARY KEY, company int NOT NULL, v int NOT NULL);
ALTER TABLE calm REPLICA IDENTITY FULL;
CREATE PUBLICATION walwire FOR TABLE tasks, calm;
INSERT INTO calm VALUES (1, 1, 0);
INSERT INTO tasks SELECT g, 1 + g % 2, g % 5, 'n' || g, nullif(g % 7, 0), CASE WHEN g % 3 = 0 THEN 'done' ELSE 'open' END FROM generate_series(1, 40) g;`

const tasksConfig = `  tasks:
    table: public.tasks
    company: company
    roles:
      owner: {rows: true, columns: "*"}
      guest: {rows: row.state == "open", columns: [v]}
  calm: {table: public.calm, company: company, roles: {owner: {rows: true, columns: "*"}}}
`

// The queries of tasks, by what they need beside id, company and v.
const (
	needsNothing = iota
	needsWindow
	needsNote  // in a filter
	needsRank  // in an order
	needsSpare // in a list of columns
	needsCalm
	needsState // in a rule
)

var tasksQueries = []lifeQuery{
	needsNothing: {"owner", `{"table":"tasks"}`, []string{"id", "v"}, `SELECT id || '|' || v FROM tasks WHERE company = 1`},
	needsWindow: {"owner", `{"table":"tasks","columns":["v"],"orderBy":[["v","desc"]],"limit":5}`, []string{"id", "v"},
		`SELECT id || '|' || v FROM tasks WHERE company = 1 ORDER BY v DESC, id DESC LIMIT 5`},
	needsNote: {"owner", `{"table":"tasks","columns":["v"],"where":[["note","!=","n4"]]}`, []string{"id", "v"},
		`SELECT id || '|' || v FROM tasks WHERE company = 1 AND note <> 'n4'`},
	needsRank: {"owner", `{"table":"tasks","columns":["v"],"orderBy":["rank"],"limit":4}`, []string{"id", "v"},
		`SELECT id || '|' || v FROM tasks WHERE company = 1 ORDER BY rank NULLS FIRST, id LIMIT 4`},
	needsSpare: {"owner", `{"table":"tasks","columns":["v","spare"]}`, []string{"id", "v", "spare"},
		`SELECT id || '|' || v || '|' || coalesce(spare, 'null') FROM tasks WHERE company = 1`},
	needsCalm: {"owner", `{"table":"calm"}`, []string{"id", "v"}, `SELECT id || '|' || v FROM calm WHERE company = 1`},
	needsState: {"guest", `{"table":"tasks"}`, []string{"id", "v"},
		`SELECT id || '|' || v FROM tasks WHERE company = 1 AND state = 'open'`},
}

func startTasks(t *testing.T, look time.Duration) *life {
	t.Helper()
	o := lifeOptions(tasksSchema, tasksConfig, "tasks", "calm")
	o.Tuning.CatalogInterval = look
	return startLife(t, o, tasksQueries)
}

const writeTasks = `; UPDATE tasks SET v = v + 1 WHERE id % 4 = 0; DELETE FROM tasks WHERE id = (SELECT max(id) FROM tasks);
	INSERT INTO tasks (id, company, v) SELECT max(id) + 2, 1, 3 FROM tasks; UPDATE calm SET v = v + 1`

// A table is altered in every way that leaves its queries what they need, with
// writes before, after and in the same transaction.
func TestLifeColumns(t *testing.T) {
	for name, look := range map[string]time.Duration{"the stream alone": lookNever, "the catalogue too": lookOften} {
		t.Run(name, func(t *testing.T) {
			l := startTasks(t, look)
			for _, sql := range []string{
				`SELECT` + writeTasks,
				`ALTER TABLE tasks ADD COLUMN extra int DEFAULT 5` + writeTasks,
				`ALTER TABLE tasks ADD COLUMN stamp timestamptz DEFAULT clock_timestamp()` + writeTasks, // rewrites
				`ALTER TABLE tasks RENAME COLUMN extra TO other` + writeTasks,
				`ALTER TABLE tasks DROP COLUMN other` + writeTasks,
				`UPDATE tasks SET v = v + 1; ALTER TABLE tasks DROP COLUMN stamp` + writeTasks,
				`BEGIN; UPDATE tasks SET v = v + 1; ALTER TABLE tasks ALTER v TYPE bigint` + writeTasks + `; COMMIT`,
				`ALTER TABLE tasks ALTER v TYPE int` + writeTasks,
				`ALTER TABLE tasks ALTER note TYPE varchar(20), ALTER rank TYPE smallint` + writeTasks,
				`ALTER TABLE tasks RENAME COLUMN spare TO gone; ALTER TABLE tasks RENAME COLUMN gone TO spare` + writeTasks,
				`ALTER TABLE tasks DROP COLUMN spare, ADD COLUMN spare text` + writeTasks,
				`VACUUM FULL tasks`,
			} {
				l.step(`UPDATE tasks SET v = v + 1 WHERE id % 3 = 0`, sql)
			}
			resumes, resets := l.counts()
			t.Logf("%d resumes, %d resets", resumes, resets)
			if calm := l.away[needsCalm]; calm.Resets > 0 {
				t.Errorf("the table that nobody altered began anew %d times", calm.Resets)
			}
			if resumes == 0 || resets == 0 {
				t.Error("want some of both")
			}
		})
	}
}

// A column that a filter, an order, a list of columns or a rule needs goes: those
// queries end with a reason, and the others go on.
func TestLifeColumnsGone(t *testing.T) {
	l := startTasks(t, lookOften)
	gone := func(column, sql string, queries ...int) {
		t.Helper()
		l.Exec(sql + writeTasks)
		for n := len(queries) - 1; n >= 0; n-- {
			l.mustEnd(queries[n], "failed-precondition", column)
		}
		l.settle(sql, false)
	}
	gone("spare", `ALTER TABLE tasks DROP COLUMN spare`, needsSpare)
	gone("rank", `ALTER TABLE tasks RENAME COLUMN rank TO place`, needsRank)
	l.step(`ALTER TABLE tasks ADD COLUMN rank int` + writeTasks)
	gone("note", `ALTER TABLE tasks DROP COLUMN note, ADD COLUMN note boolean`, needsNote)
	l.step(`ALTER TABLE tasks DROP COLUMN note, ADD COLUMN note text` + writeTasks)
	// A rule can't be judged any more: nothing of the table is shown to anybody.
	l.Exec(`ALTER TABLE tasks RENAME COLUMN state TO phase; UPDATE tasks SET v = v + 1; UPDATE calm SET v = v + 1`)
	for i := len(l.queries) - 1; i >= 0; i-- {
		if l.queries[i].query != `{"table":"calm"}` {
			l.mustEnd(i, "failed-precondition", "tasks")
		}
	}
	l.settle("the rule's column renamed", false)
	late := l.Connect(l.Owner("1"))
	late.Subscribe(1, `{"table":"tasks"}`)
	mustRefuse(t, late, 1, "failed-precondition", "tasks")
	l.Exec(`ALTER TABLE tasks RENAME COLUMN phase TO state; UPDATE tasks SET v = v + 1`)
	l.Wait(late)
	q := openAgain(late, 2, `{"table":"tasks"}`)
	l.Wait(late)
	mustShow(t, l.Server, q, `SELECT id::text, v::text FROM tasks WHERE company = 1`)
}
