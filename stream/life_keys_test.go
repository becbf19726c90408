package stream_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/internal/pgtest"
)

// Keys change hands, rows come by COPY, and what is rolled back never was.
func TestLifeKeys(t *testing.T) {
	l := startTasks(t, lookOften)
	l.step(`UPDATE tasks SET id = id + 1000`, `UPDATE tasks SET id = id - 1000 WHERE id % 2 = 0`)
	l.step(`DELETE FROM tasks; INSERT INTO tasks (id, company, v) SELECT g, 1 + g % 2, g % 5 FROM generate_series(1, 40) g`)
	// A chain, each into the place that the one before it has left.
	l.step(`BEGIN; DO $$ BEGIN FOR i IN REVERSE 40..1 LOOP UPDATE tasks SET id = id + 1 WHERE id = i; END LOOP; END $$; COMMIT`)
	l.step(`BEGIN; UPDATE tasks SET id = -1 WHERE id = 3; UPDATE tasks SET id = 3 WHERE id = 5; UPDATE tasks SET id = 5 WHERE id = -1; COMMIT`)
	// A swap across companies, and a key that changes hands twice.
	l.step(`BEGIN; UPDATE tasks SET id = -1 WHERE id = 6; UPDATE tasks SET id = 6 WHERE id = 7; UPDATE tasks SET id = 7 WHERE id = -1; COMMIT`)
	l.step(`BEGIN; DELETE FROM tasks WHERE id = 9; INSERT INTO tasks (id, company, v) VALUES (9, 2, 1); DELETE FROM tasks WHERE id = 9; INSERT INTO tasks (id, company, v) VALUES (9, 1, 77); COMMIT`)
	l.step(`BEGIN; UPDATE tasks SET id = id + 100 WHERE id < 10; UPDATE tasks SET company = 3 - company WHERE id > 100; UPDATE tasks SET id = id - 100, v = v + 1 WHERE id > 100; COMMIT`)

	l.step(`BEGIN; INSERT INTO tasks (id, company, v) VALUES (299, 1, 1), (300, 1, 1); UPDATE tasks SET v = v + 1; TRUNCATE tasks; INSERT INTO tasks (id, company, v) VALUES (300, 1, 2), (301, 1, 3), (302, 2, 3); COMMIT`)
	l.step(`CREATE TABLE parents (id int PRIMARY KEY); CREATE TABLE links (id int REFERENCES parents); INSERT INTO parents VALUES (300), (301), (302);
		ALTER TABLE tasks ADD CONSTRAINT up FOREIGN KEY (id) REFERENCES parents`, `TRUNCATE parents CASCADE`)
	l.step(`BEGIN; ALTER TABLE tasks DROP CONSTRAINT up; INSERT INTO tasks (id, company, v) SELECT g, 1, g FROM generate_series(1, 9) g; SAVEPOINT s; TRUNCATE tasks; ROLLBACK TO s; UPDATE tasks SET v = v + 1; COMMIT`)
	l.step(`TRUNCATE tasks`, `TRUNCATE tasks, calm`, `INSERT INTO calm VALUES (1, 1, 1)`)

	rows := make([][]any, 500)
	for i := range rows {
		rows[i] = []any{i + 1, 1 + i%2, i % 7, "copied\t\"\\"}
	}
	if _, err := l.DB.CopyFrom(t.Context(), pgx.Identifier{"tasks"}, []string{"id", "company", "v", "note"}, pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) { return rows[i], nil })); err != nil {
		t.Fatal(err)
	}
	l.settle("COPY", false)
	l.step(`BEGIN; UPDATE tasks SET v = 1000 WHERE id < 50; SAVEPOINT a; UPDATE tasks SET v = 2000 WHERE id < 40; SAVEPOINT b; DELETE FROM tasks WHERE id < 30;
		ROLLBACK TO b; INSERT INTO tasks (id, company, v) VALUES (9000, 1, 1); RELEASE b; SAVEPOINT c; TRUNCATE tasks; ROLLBACK TO a; UPDATE tasks SET v = v + 1 WHERE id % 10 = 0; COMMIT`)
	l.step(`BEGIN; DELETE FROM tasks; ROLLBACK`, `DO $$ BEGIN FOR i IN 1..100 LOOP BEGIN UPDATE tasks SET v = v + 1 WHERE id = i; IF i % 3 = 0 THEN RAISE 'no'; END IF; EXCEPTION WHEN raise_exception THEN NULL; END; END LOOP; END $$`)
}

// Transactions that were prepared come when they are committed, in the place of
// that commit, also over a restart of the server; those taken back never do.
func TestLifePrepared(t *testing.T) {
	server := pgtest.New(t, map[string]string{"max_prepared_transactions": "10"})
	o := lifeOptions(tasksSchema, tasksConfig, "tasks", "calm")
	o.AdminURL = server.URL()
	l := startLife(t, o, tasksQueries)
	prepare := func(name, sql string) { l.Exec(`BEGIN; ` + sql + `; PREPARE TRANSACTION '` + name + `'`) }
	prepare("first", `UPDATE tasks SET v = v + 10 WHERE id < 10; DELETE FROM tasks WHERE id = 12; SAVEPOINT a; DELETE FROM tasks WHERE id = 14; ROLLBACK TO a; INSERT INTO tasks (id, company, v) VALUES (500, 1, 3)`)
	prepare("never", `DELETE FROM tasks WHERE id BETWEEN 20 AND 30`)
	l.step(`UPDATE tasks SET v = v + 1 WHERE id > 30`)
	late := l.Connect(l.Owner("1")) // its snapshot does not see what is prepared
	q := late.Open(1, `{"table":"tasks","where":[["v","!=",-5]]}`)
	l.step(`ROLLBACK PREPARED 'never'`, `UPDATE tasks SET v = v + 1 WHERE id = 25`)
	l.step(`COMMIT PREPARED 'first'`)
	l.Wait(late)
	mustShow(t, l.Server, q, `SELECT id::text, v::text FROM tasks WHERE company = 1`)
	prepare("second", `UPDATE tasks SET id = id + 2000 WHERE id < 6; UPDATE tasks SET company = 3 - company WHERE id IN (17, 18)`)
	l.Stop()
	l.Exec(`UPDATE tasks SET v = v + 1 WHERE id > 20`)
	l.Run()
	l.stay()
	l.settle("restarted", false)
	l.step(`COMMIT PREPARED 'second'`)
	if _, resets := l.counts(); resets > 0 {
		t.Errorf("%d resets, want none", resets)
	}
}

// A key that compares equal and is printed otherwise is another key for who shows it.
func TestPaddedKey(t *testing.T) {
	s := apptest.Start(t, apptest.Options{
		Schema: `CREATE TABLE items (id bpchar PRIMARY KEY, company int NOT NULL); ALTER TABLE items REPLICA IDENTITY FULL;
			CREATE PUBLICATION walwire FOR TABLE items; INSERT INTO items VALUES ('a', 1)`,
		Config: itemsConfig, Tables: []pgx.Identifier{{"public", "items"}},
	})
	c := s.Connect(s.Owner("1"))
	q := c.Open(1, `{"table":"items"}`)
	s.Exec(`UPDATE items SET id = 'a  ' WHERE id = 'a'`)
	s.Wait(c)
	if len(q.Rows) != 1 || q.Rows[`["a  "]`] == nil {
		t.Errorf("rows %v", q.Rows)
	}
}
