package stream_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/walwire/walwire/internal/pgtest"
)

// Logical messages of other programs stand in the WAL between rows, and change
// nothing.
func TestLifeMessages(t *testing.T) {
	l := startTasks(t, lookOften)
	for _, transactional := range []string{"true", "false"} {
		l.step(`BEGIN; UPDATE tasks SET v = v + 1 WHERE id < 9; SELECT pg_logical_emit_message(`+transactional+`, 'other', 'small');
			SELECT pg_logical_emit_message(`+transactional+`, 'other', repeat('x', 20000000)::bytea); UPDATE tasks SET v = v + 1 WHERE id < 19; COMMIT`,
			`SELECT pg_logical_emit_message(`+transactional+`, 'walwire', '')`,
			`SELECT pg_logical_emit_message(`+transactional+`, '', repeat('y', 3000000))`)
		l.step(`BEGIN; SELECT pg_logical_emit_message(`+transactional+`, 'other', 'taken back'); DELETE FROM tasks; ROLLBACK`, `SELECT`+writeTasks)
	}
	if resumes, resets := l.counts(); resets > 0 {
		t.Errorf("%d resumes, %d resets", resumes, resets)
	}
}

// The application has a publication of its own, with a row filter and a column list
// on the same tables: that of the server is complete all the same.
func TestLifeOtherPublication(t *testing.T) {
	if pgtest.Version(t) < 150000 {
		t.Skip("publications have filters and lists since PostgreSQL 15")
	}
	l := startTasks(t, lookOften)
	l.step(`CREATE PUBLICATION theirs FOR TABLE tasks WHERE (v < 3)`, `UPDATE tasks SET v = v + 1`, `DELETE FROM tasks WHERE id % 5 = 0`)
	l.step(`CREATE UNIQUE INDEX calm_identity ON calm (company, id); ALTER TABLE calm REPLICA IDENTITY USING INDEX calm_identity`, `CREATE PUBLICATION listed FOR TABLE calm (id, company)`, `UPDATE calm SET v = v + 1`)
	l.step(`ALTER PUBLICATION theirs SET TABLE tasks WHERE (id > 7)`, `SELECT`+writeTasks)
	l.step(`DROP PUBLICATION theirs, listed`, `SELECT`+writeTasks)
}

// A row filter or a column list on the server's own publication hides changes: the
// table is not served until it is taken away.
func TestLifeFilteredPublication(t *testing.T) {
	if pgtest.Version(t) < 150000 {
		t.Skip("publications have filters and lists since PostgreSQL 15")
	}
	for name, sql := range map[string]string{
		"row filter": `ALTER PUBLICATION walwire SET TABLE tasks WHERE (v < 3), calm`,
		"column list": `CREATE UNIQUE INDEX IF NOT EXISTS tasks_identity ON tasks (company, id); ALTER TABLE tasks REPLICA IDENTITY USING INDEX tasks_identity;
			ALTER PUBLICATION walwire SET TABLE tasks (id, company, v), calm`,
		"operations": `ALTER PUBLICATION walwire SET (publish = 'insert, update')`,
	} {
		t.Run(name, func(t *testing.T) {
			l := startTasks(t, lookOften)
			away, cursors, queries := l.away, l.cursors, l.queries
			l.Exec(sql)
			l.endTasks()
			l.Exec(`UPDATE tasks SET v = v + 3; DELETE FROM tasks WHERE id % 4 = 0; UPDATE calm SET v = v + 1`)
			l.Exec(`ALTER PUBLICATION walwire SET TABLE tasks, calm; ALTER PUBLICATION walwire SET (publish = 'insert, update, delete, truncate')`)
			c := l.Connect(l.Owner("1"))
			openAgain(c, 1, `{"table":"tasks"}`)
			openAgain(c, 2, `{"table":"calm"}`)
			l.queries, l.away, l.cursors = queries, away, cursors
			l.stay()
			l.settle("mended", false)
			l.step(`SELECT` + writeTasks)
			l.Stop()
			l.Exec(sql)
			l.Exec(`SELECT pg_drop_replication_slot('` + l.Config.Slot + `')`) // else it serves the others
			done, stop := l.Launch()
			defer stop()
			select {
			case err := <-done:
				if err == nil || !strings.Contains(err.Error(), "publication") {
					t.Errorf("the server ended with %v", err)
				}
			case <-time.After(time.Minute):
				t.Error("the server runs on a publication that hides changes")
			}
		})
	}
}

// A table joins the publication while a writer is open: what that one wrote before
// never comes in the stream. The table is not served before a snapshot has it all.
func TestLifeJoinsWhileWritten(t *testing.T) {
	l := startTasks(t, lookOften)
	l.Exec(`ALTER PUBLICATION walwire DROP TABLE tasks`)
	l.endTasks()
	writer := pgtest.MustConnect(t, l.AdminURL)
	pgtest.MustExec(t, writer, `BEGIN; INSERT INTO tasks (id, company, v) VALUES (700, 1, 7); UPDATE tasks SET v = 70 WHERE id = 2`)
	l.Exec(`ALTER PUBLICATION walwire ADD TABLE tasks`)
	l.Exec(`UPDATE tasks SET v = v + 1 WHERE id > 20; UPDATE calm SET v = v + 1`) // the stream speaks of it before the catalogue is looked at
	l.settle("joined", false)
	c := l.Connect(l.Owner("1"))
	for range 5 {
		c.Subscribe(1, `{"table":"tasks"}`)
		mustRefuse(t, c, 1, "failed-precondition", "tasks")
		c.Forget(1)
		l.step(`UPDATE calm SET v = v + 1`)
	}
	// Other tables are looked after meanwhile.
	l.silent(`ALTER TABLE calm ALTER v TYPE int USING v * 2`)
	pgtest.MustExec(t, writer, `UPDATE tasks SET v = 80 WHERE id = 4; COMMIT`)
	q := openAgain(c, 1, `{"table":"tasks"}`)
	now := `SELECT id::text, v::text FROM tasks WHERE company = 1`
	l.Wait(c)
	mustShow(t, l.Server, q, now)
	l.step(`SELECT` + writeTasks)
	l.Wait(c)
	mustShow(t, l.Server, q, now)
}

// The same while the server is down: it does not serve before the writer has ended.
func TestLifeJoinsWhileDown(t *testing.T) {
	log := new(lockedBuffer)
	o := lifeOptions(tasksSchema, tasksConfig, "tasks", "calm")
	o.Log = slog.New(slog.NewTextHandler(log, nil))
	l := startLife(t, o, tasksQueries)
	l.Stop()
	writer := pgtest.MustConnect(t, l.AdminURL)
	pgtest.MustExec(t, writer, `BEGIN; INSERT INTO tasks (id, company, v) VALUES (700, 1, 7)`)
	l.Exec(`ALTER PUBLICATION walwire DROP TABLE tasks; ALTER PUBLICATION walwire ADD TABLE tasks`)
	done, stop := l.Launch()
	defer stop()
	for log.count("wait for transactions that were open") == 0 {
		select {
		case <-l.Ready():
			t.Fatal("the server serves while the writer is open")
		case err := <-done:
			t.Fatal(err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	pgtest.MustExec(t, writer, `COMMIT`)
	<-l.Ready()
	l.stay()
	l.settle("joined", false)
	l.step(`SELECT` + writeTasks)
}

// Tables that can't be followed are refused at the first start, and end their queries when
// they become so later; a server that begins again serves the others.
func TestLifeRefused(t *testing.T) {
	for name, c := range map[string]struct{ sql, says string }{
		"deferrable key":     {`ALTER TABLE tasks DROP CONSTRAINT tasks_pkey, ADD PRIMARY KEY (id) DEFERRABLE INITIALLY DEFERRED`, "deferrable"},
		"no key":             {`ALTER TABLE tasks DROP CONSTRAINT tasks_pkey`, "key"},
		"row-level security": {`ALTER TABLE tasks ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON tasks USING (v < 2)`, "row-level security"},
	} {
		t.Run(name, func(t *testing.T) {
			l := startTasks(t, lookOften)
			l.Exec(c.sql + `; UPDATE calm SET v = v + 1`)
			l.endTasks()
			l.settle(name, false)
			l.Stop()
			l.Run()
			back := l.Connect(l.Owner("1"))
			back.Open(1, `{"table":"calm"}`)
			back.Subscribe(2, `{"table":"tasks"}`)
			mustRefuse(t, back, 2, "failed-precondition", "tasks")
			l.Stop()
			l.Exec(`SELECT pg_drop_replication_slot('` + l.Config.Slot + `')`)
			done, stop := l.Launch()
			defer stop()
			select {
			case err := <-done:
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("the server ended with %v, want something about %q", err, c.says)
				}
			case <-time.After(time.Minute):
				t.Error("the server serves it")
			}
		})
	}
}

// A table leaves the publication and is back before anybody has looked, while a writer of
// another one is open: what was written between is shown before that one ends.
func TestLifeLeavesAndJoinsUnseen(t *testing.T) {
	l := startTasks(t, lookOften)
	writer := pgtest.MustConnect(t, l.AdminURL)
	pgtest.MustExec(t, writer, `BEGIN; UPDATE calm SET v = v + 1`)
	sql := `BEGIN; ALTER PUBLICATION walwire DROP TABLE tasks; UPDATE tasks SET v = v + 3; ALTER PUBLICATION walwire ADD TABLE tasks; COMMIT`
	l.Exec(sql)
	l.check(l.stays, l.shown, sql, true)
	back, queries := l.connect(l.away)
	l.check(back, queries, sql, true)
	l.leave(back)
	pgtest.MustExec(t, writer, `COMMIT`)
	l.step(`UPDATE tasks SET v = v + 1`)
}

// A table leaves the publication and is back, unseen, while transactions are open that
// write to it in between: of what they tell of it nobody is shown the half, nor goes on from
// it, however long another one stays open.
func TestLifeJoinsWhileWritersAreOpen(t *testing.T) {
	l := startTasks(t, lookNever) // but for who comes back
	idle, half, silent := pgtest.MustConnect(t, l.AdminURL), pgtest.MustConnect(t, l.AdminURL), pgtest.MustConnect(t, l.AdminURL)
	pgtest.MustExec(t, idle, `BEGIN; UPDATE calm SET v = v + 1`)
	l.Exec(`ALTER PUBLICATION walwire DROP TABLE tasks`)
	pgtest.MustExec(t, half, `BEGIN; INSERT INTO tasks (id, company, v) VALUES (1001, 1, 100); UPDATE tasks SET v = 50 WHERE id = 4; DELETE FROM tasks WHERE id = 6`)
	pgtest.MustExec(t, silent, `BEGIN; UPDATE tasks SET v = 70 WHERE id = 8`)
	l.Exec(`ALTER PUBLICATION walwire ADD TABLE tasks`)
	pgtest.MustExec(t, half, `INSERT INTO tasks (id, company, v) VALUES (1003, 1, 101)`)
	again := func(what string, later bool) {
		t.Helper()
		l.check(l.stays, l.shown, what, later)
		back, queries := l.connect(l.away)
		l.check(back, queries, what+" (came back)", later)
		l.leave(back)
	}
	back, _ := l.connect(l.away)
	for _, c := range back {
		l.Wait(c) // it is noticed now
	}
	l.leave(back)
	again("before they have ended", false)
	pgtest.MustExec(t, half, `COMMIT`)
	again("one tells the half", false)
	pgtest.MustExec(t, silent, `COMMIT`)
	again("one tells nothing", true)
	pgtest.MustExec(t, idle, `COMMIT`)
	l.step(`UPDATE tasks SET v = v + 1`)
}
