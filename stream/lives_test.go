package stream_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/internal/app"
	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/internal/pgtest"
	"github.com/walwire/walwire/mapping"
)

const toldSchema = `
CREATE TABLE tasks (id int PRIMARY KEY, company int NOT NULL, state text NOT NULL DEFAULT 'open') PARTITION BY RANGE (id);
CREATE TABLE tasks_1 PARTITION OF tasks FOR VALUES FROM (0) TO (100);
CREATE TABLE tasks_2 PARTITION OF tasks FOR VALUES FROM (100) TO (200);
ALTER TABLE tasks_1 REPLICA IDENTITY FULL;
ALTER TABLE tasks_2 REPLICA IDENTITY FULL;
CREATE TABLE calm (id int PRIMARY KEY, company int NOT NULL);
ALTER TABLE calm REPLICA IDENTITY FULL;
CREATE PUBLICATION walwire FOR TABLE tasks, calm;`

const toldConfig = lifeHead + `  tasks: {table: public.tasks, company: company, roles: {owner: {rows: true, columns: "*"}}, events: [{event: task.created, on: insert}, {event: task.done, on: update, when: row.state == 'done'}]}
  calm: {table: public.calm, company: company, roles: {owner: {rows: true, columns: "*"}}, events: [{event: calm.created, on: insert}]}
`

const swapTasks = `BEGIN; CREATE TABLE other (LIKE tasks INCLUDING ALL); ALTER TABLE other REPLICA IDENTITY FULL; INSERT INTO other SELECT * FROM tasks;
	DROP TABLE tasks; ALTER TABLE other RENAME TO tasks; GRANT SELECT ON tasks TO PUBLIC; ALTER PUBLICATION walwire ADD TABLE tasks; COMMIT`

func startTold(t *testing.T, look time.Duration) *apptest.Server {
	schema := toldSchema
	if pgtest.Version(t) < 150000 { // partitions must be named
		schema = strings.Replace(schema, "FOR TABLE tasks,", "FOR TABLE tasks, tasks_1, tasks_2,", 1)
	}
	return apptest.Start(t, apptest.Options{Schema: schema, Config: toldConfig,
		Tables: []pgx.Identifier{{"public", "tasks"}, {"public", "calm"}}, Tuning: app.Tuning{CatalogInterval: look}})
}

// heard are the events, and the gaps by their table, in order.
func heard(f *apptest.Feed) string {
	var names []string
	for _, e := range f.Events {
		if e.Event == "gap" {
			names = append(names, "gap:"+e.Table)
		} else {
			names = append(names, e.Event)
		}
	}
	return strings.Join(names, " ")
}

// Who listens is told where a table has lost what the log would tell, at the latest when
// the catalogue has been looked at: who was away, and who was not; and nobody is where
// nothing is lost.
func TestEventsOfTablesThatLost(t *testing.T) {
	for name, tt := range map[string]struct {
		first        string // has been told when the rest comes
		sql          string
		gap          bool
		away, stayed string
	}{
		"detached for a while": {"", `ALTER TABLE tasks DETACH PARTITION tasks_1; INSERT INTO tasks_1 VALUES (1, 1); ALTER TABLE tasks ATTACH PARTITION tasks_1 FOR VALUES FROM (0) TO (100)`,
			true, "task.created", "task.created"},
		"with another partition": {"", `INSERT INTO calm VALUES (1, 1); CREATE TABLE tasks_3 PARTITION OF tasks FOR VALUES FROM (200) TO (300); ALTER TABLE tasks_3 REPLICA IDENTITY FULL`,
			false, "calm.created task.created", "calm.created task.created"},
		"made anew": {`INSERT INTO tasks VALUES (1, 1)`, swapTasks, true, "task.created", "task.created task.created"},
		"out of the publication": {"", `ALTER PUBLICATION walwire DROP TABLE tasks; INSERT INTO tasks VALUES (1, 1); ALTER PUBLICATION walwire ADD TABLE tasks`,
			true, "task.created", "task.created"},
		"altered": {"", `INSERT INTO calm VALUES (1, 1); ALTER TABLE tasks ADD COLUMN v int`, false, "calm.created task.created", "calm.created task.created"},
	} {
		if pgtest.Version(t) < 150000 { // see startTold
			switch name {
			case "detached for a while": // what is named is sent meanwhile, too
				tt.away, tt.stayed = "task.created task.created", "task.created task.created"
			case "with another partition": // is not served before that is named
				tt.sql, tt.gap = tt.sql+`; ALTER PUBLICATION walwire ADD TABLE tasks_3`, true
			case "out of the publication":
				tt.sql = strings.ReplaceAll(tt.sql, "TABLE tasks", "TABLE tasks, tasks_1, tasks_2")
			}
		}
		for _, restart := range []string{"", ", restarted"} {
			t.Run(name+restart, func(t *testing.T) {
				s := startTold(t, lookOften)
				gap := tt.gap || restart != "" && name == "with another partition" // who has just started knows of nothing that was
				hear := func(who string, c *apptest.Client, f *apptest.Feed, want string) {
					t.Helper()
					s.Wait(c)
					for gap && !strings.Contains(heard(f), "gap:") {
						c.Read()
					}
					var events []string
					gaps := 0
					for _, e := range f.Events {
						switch {
						case e.Event != "gap":
							events = append(events, e.Event)
						case e.Table == "tasks", restart != "" && e.Table == "":
							gaps++
						}
					}
					if strings.Join(events, " ") != want || gaps > 0 != gap {
						t.Errorf("who %s heard %q, want %q", who, heard(f), want)
					}
				}
				c, stays := s.Connect(s.Owner("1")), s.Connect(s.Owner("1"))
				c.Listen(1, `{"names":["*"]}`)
				stayed := stays.Listen(1, `{"names":["*"]}`)
				s.Wait(c)
				s.Wait(stays)
				c.Close()
				if restart != "" {
					s.Stop()
				}
				if tt.first != "" {
					s.Exec(tt.first)
				}
				if restart == "" {
					s.Wait(stays)
				}
				s.Exec(tt.sql)
				if restart != "" {
					s.Run()
				}
				// A table with another place in the publication, or a partition with one, loses
				// once as that is seen, and once as it is complete.
				for restart == "" && strings.Contains(tt.sql, "PUBLICATION") && strings.Count(heard(stayed), "gap:") < 2 {
					stays.Read()
				}
				openAgain(s.Connect(s.Owner("1")), 1, `{"table":"tasks"}`)
				s.Exec(`INSERT INTO tasks VALUES (2, 1)`)
				back := s.Connect(s.Owner("1"))
				hear("was away", back, back.ListenFrom(1, `{"names":["*"]}`, c.Cursor), tt.away)
				if restart == "" {
					hear("stayed", stays, stayed, tt.stayed)
				}
			})
		}
	}
}

// A table breaks, and is mended: who listens to it alone, to all, or to one row is told
// that something may be missing, and goes on.
func TestEventsOfBrokenTable(t *testing.T) {
	s := startTold(t, lookNever) // a look beside it may tell the gap twice
	c := s.Connect(s.Owner("1"))
	var feeds []*apptest.Feed
	for i, events := range []string{`{"names":["task.*"]}`, `{"names":["*"]}`, `{"names":["*"],"rooms":["row:tasks:7"]}`} {
		feeds = append(feeds, c.Listen(i+1, events))
	}
	s.Wait(c)
	begin := c.Cursor
	s.Exec(`ALTER TABLE tasks RENAME COLUMN state TO status; UPDATE tasks SET id = id; INSERT INTO tasks VALUES (7, 1); INSERT INTO calm VALUES (1, 1)`)
	s.Wait(c)
	for i, want := range []string{"gap:tasks", "gap:tasks calm.created", "gap:tasks"} {
		if got := heard(feeds[i]); got != want {
			t.Errorf("feed %d heard %q, want %q", i+1, got, want)
		}
	}
	created := feeds[1].Events[1].ID
	for _, f := range feeds {
		f.Events = nil
	}
	late := c.Listen(9, `{"names":["task.*"]}`)
	s.Wait(c)
	if got := heard(late); got != "gap:tasks" {
		t.Errorf("who came while it was broken heard %q", got)
	}
	s.Exec(`ALTER TABLE tasks RENAME COLUMN status TO state; UPDATE tasks SET state = 'done' WHERE id = 7`)
	openAgain(s.Connect(s.Owner("1")), 1, `{"table":"tasks"}`)
	s.Exec(`UPDATE tasks SET state = 'open'; UPDATE tasks SET state = 'done'`)
	s.Wait(c)
	for i, f := range feeds {
		if got := heard(f); !strings.HasPrefix(got, "gap:tasks") || !strings.HasSuffix(got, "task.done") {
			t.Errorf("once mended, feed %d heard %q", i+1, got)
		}
	}
	again := s.Connect(s.Owner("1"))
	f := again.ListenFrom(1, `{"names":["calm.*"]}`, begin)
	s.Wait(again)
	if len(f.Events) != 1 || f.Events[0].ID != created {
		t.Errorf("told again: %v, the id was %s", f.Events, created)
	}
}

// A table whose company is of another kind than the others' is not served until it is as
// before: a token names one company for all. The others are, whichever it is.
func TestCompanyAltered(t *testing.T) {
	for altered, other := range map[string]string{"tasks": "calm", "calm": "tasks"} {
		t.Run(altered, func(t *testing.T) {
			s := startTold(t, lookOften)
			c := s.Connect(s.Owner("1"))
			q, ended := c.Open(1, `{"table":"`+other+`"}`), c.Open(2, `{"table":"`+altered+`"}`)
			s.Exec(`ALTER TABLE ` + altered + ` ALTER company TYPE text`)
			s.Exec(`INSERT INTO ` + other + ` (id, company) VALUES (1, 1)`)
			for len(q.Rows) == 0 || ended.Err == nil {
				c.Read()
			}
			if q.Err != nil || ended.Err.Code != "failed-precondition" {
				t.Errorf("the other's ended with %v, its own with %v", q.Err, ended.Err)
			}
			s.Wait(c)
			if err := s.Reload(func(*mapping.Config) {}); err != nil {
				t.Errorf("a reload meanwhile: %v", err)
			}
			s.Exec(`ALTER TABLE ` + altered + ` ALTER company TYPE int USING company::int`)
			s.Exec(`INSERT INTO ` + altered + ` (id, company) VALUES (1, 1)`)
			c.Forget(2)
			if again := openAgain(c, 2, `{"table":"`+altered+`"}`); len(again.Rows) != 1 {
				t.Errorf("once mended it shows %v", again.Rows)
			}
			if q.Err != nil || q.Resets != 0 {
				t.Errorf("the other's was begun anew %d times, ended by %v", q.Resets, q.Err)
			}
		})
	}
}

// A table's rows are another company's by another column of the config: what was written
// just before is told by the rules of now, to who listens on and to who comes back.
func TestCompanyColumnReconfigured(t *testing.T) {
	s := apptest.Start(t, apptest.Options{
		Schema: `CREATE TABLE deals (id int PRIMARY KEY, company int NOT NULL, buyer int NOT NULL); ALTER TABLE deals REPLICA IDENTITY FULL;
			CREATE PUBLICATION walwire FOR TABLE deals`,
		Config: lifeHead + `  deals: {table: public.deals, company: buyer, roles: {owner: {rows: true, columns: "*"}}, events: [{event: deal.made, on: insert}]}
`,
		Tables: []pgx.Identifier{{"public", "deals"}}})
	stays, back := s.Connect(s.Owner("1")), s.Connect(s.Owner("1"))
	listens := stays.Listen(1, `{"names":["*"]}`)
	back.Listen(1, `{"names":["*"]}`)
	s.Wait(back)
	back.Close()
	s.Exec(`INSERT INTO deals VALUES (1, 1, 2)`)
	s.Wait(s.Connect(s.Owner("2"))) // it is routed, and not to company 1
	if err := s.Reload(func(c *mapping.Config) { c.Tables[0].Company = "company" }); err != nil {
		t.Fatal(err)
	}
	s.Exec(`INSERT INTO deals VALUES (2, 1, 2)`)
	s.Wait(stays)
	again := s.Connect(s.Owner("1"))
	away := again.ListenFrom(1, `{"names":["*"]}`, back.Cursor)
	s.Wait(again)
	for who, f := range map[string]*apptest.Feed{"who listens on": listens, "who comes back": away} {
		if got := heard(f); !strings.HasSuffix(got, "deal.made deal.made") {
			t.Errorf("%s heard %q", who, got)
		}
	}
}

// Where no table has the companies that there were, the first that can be served says what
// they are now; a table that can't be served for another reason has no say.
func TestCompaniesAltered(t *testing.T) {
	s := startTold(t, lookOften)
	c := s.Connect(s.Owner("1"))
	id := 0
	open := func(table string, rows int) {
		t.Helper()
		id++
		s.Wait(c)
		if q := openAgain(c, id, `{"table":"`+table+`"}`); len(q.Rows) != rows {
			t.Errorf("%s shows %v", table, q.Rows)
		}
	}
	s.Exec(`ALTER TABLE calm ALTER company TYPE text; INSERT INTO calm VALUES (1, '1')`)
	open("tasks", 0)
	s.Exec(`ALTER TABLE tasks ALTER company TYPE uuid USING NULLIF(company, company)::text::uuid; INSERT INTO calm VALUES (2, '1')`)
	s.Wait(c) // all differ from before, and from one another: the stream goes on
	s.Exec(`ALTER TABLE tasks ALTER company TYPE text; INSERT INTO tasks VALUES (1, '1')`)
	open("tasks", 1)
	open("calm", 2)
	s.Exec(`ALTER TABLE tasks RENAME state TO status; ALTER TABLE calm ALTER company TYPE int USING company::int; INSERT INTO calm VALUES (3, 1)`)
	open("calm", 3)
}

// Nothing can be missing since a time after the start of a log that has let go of nothing.
func TestSinceOfAnEmptyLog(t *testing.T) {
	s := startTold(t, lookOften)
	s.Stop()
	s.Run() // so that the slot is older than the start
	c := s.Connect(s.Owner("1"))
	f := c.Listen(1, `{"names":["*"],"since":"`+time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+`"}`)
	s.Wait(c)
	if got := heard(f); got != "" {
		t.Errorf("heard %q", got)
	}
}

// What a table was written to before it is altered concerns whom it concerned: others
// are told nothing of it.
func TestAlteredConcernsItsCompanies(t *testing.T) {
	s := startTold(t, lookOften)
	c := s.Connect(s.Owner("2"))
	c.Listen(1, `{"names":["*"]}`)
	s.Wait(c)
	c.Close()
	s.Exec(`INSERT INTO tasks VALUES (1, 1)`)
	s.Exec(`UPDATE tasks SET state = 'done'; DELETE FROM tasks`)
	s.Exec(`INSERT INTO tasks VALUES (2, 2)`)
	other := s.Connect(s.Owner("1"))
	q := other.Open(1, `{"table":"tasks"}`)
	s.Exec(`ALTER TABLE tasks ADD COLUMN v int; INSERT INTO calm VALUES (1, 2)`)
	for q.Resets == 0 { // it is noticed
		other.Read()
	}
	back := s.Connect(s.Owner("2"))
	f := back.ListenFrom(1, `{"names":["*"]}`, c.Cursor)
	s.Wait(back)
	if got := heard(f); got != "gap:tasks calm.created" {
		t.Errorf("heard %q", got)
	}
}

// A table that the publication does not name, and that is away for a while unlogged, or in
// another schema: what was raised meanwhile is a gap, also over a restart.
func TestEventsOfTablesOutOfTheStream(t *testing.T) {
	ways := map[string][2]string{"unlogged": {`FOR ALL TABLES`, `ALTER TABLE calm SET UNLOGGED; INSERT INTO calm VALUES (1, 1); ALTER TABLE calm SET LOGGED`}}
	if pgtest.Version(t) >= 150000 {
		ways["schema"] = [2]string{`FOR TABLES IN SCHEMA public`,
			`CREATE SCHEMA away; ALTER TABLE calm SET SCHEMA away; INSERT INTO away.calm VALUES (1, 1); ALTER TABLE away.calm SET SCHEMA public`}
	}
	for name, way := range ways {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restarted %t", name, restart), func(t *testing.T) {
				s := apptest.Start(t, apptest.Options{Schema: strings.Replace(toldSchema, "FOR TABLE tasks, calm", way[0], 1), Config: toldConfig,
					Tables: []pgx.Identifier{{"public", "tasks"}, {"public", "calm"}}, Tuning: app.Tuning{CatalogInterval: lookOften}})
				c := s.Connect(s.Owner("1"))
				c.Listen(1, `{"names":["*"]}`)
				s.Wait(c)
				c.Close()
				other := s.Connect(s.Owner("1"))
				q := other.Open(1, `{"table":"calm"}`)
				if restart {
					s.Stop()
				}
				for _, sql := range strings.Split(way[1], ";") {
					s.Exec(sql)
				}
				if restart {
					s.Run()
				}
				for !restart && len(q.Rows) == 0 { // it is noticed
					if q.Err != nil { // while it was away
						other.Forget(1)
						q = openAgain(other, 1, `{"table":"calm"}`)
						continue
					}
					other.Read()
				}
				s.Exec(`INSERT INTO calm VALUES (2, 1)`)
				back := s.Connect(s.Owner("1"))
				f := back.ListenFrom(1, `{"names":["*"]}`, c.Cursor)
				s.Wait(back)
				if got := heard(f); !strings.Contains(got, "gap:") || !strings.Contains(got, "calm.created") {
					t.Errorf("heard %q", got)
				}
			})
		}
	}
}
