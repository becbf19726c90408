package app_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/walwire/walwire/internal/app"
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
		"list of another":         `CREATE PUBLICATION other FOR TABLE more (id)`,
		"all tables":              `DROP PUBLICATION walwire; CREATE PUBLICATION walwire FOR ALL TABLES; CREATE TABLE bare (a int)`,
	} {
		if (name == "row filter" || name == "list of another") && pgtest.Version(t) < 150000 {
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
				served := slices.Contains([]string{"key as identity", "list of another", "all tables"}, name) || manage && name == "not published"
				if ready := get(t, s.URL()+"/readyz"); served == strings.Contains(ready, "more can't be served") {
					t.Errorf("/readyz says %s", ready)
				}
				if err := s.Reload(func(*mapping.Config) {}); err != nil {
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

// A reload of a managed publication does not stumble over a table that is left out already,
// and whose owner is another.
func TestManagedBesideBroken(t *testing.T) {
	keeper := pgtest.Unique("keeper")
	cluster := pgtest.MustConnect(t, pgtest.ClusterURL(t))
	pgtest.MustExec(t, cluster, `CREATE ROLE `+keeper+` LOGIN PASSWORD 'secret'`)
	t.Cleanup(func() { // what it owns is gone with the database by then
		if _, err := cluster.Exec(context.Background(), `DROP ROLE `+keeper); err != nil {
			t.Error(err)
		}
	})
	admin := pgtest.Database(t)
	s := apptest.Prepare(t, apptest.Options{
		AdminURL: admin, Tables: []pgx.Identifier{{"public", "notes"}, {"public", "more"}, {"public", "extra"}},
		Schema: notesSchema + `; CREATE TABLE more (id int PRIMARY KEY, company int NOT NULL); CREATE TABLE extra (id int PRIMARY KEY, company int NOT NULL);
			ALTER TABLE more REPLICA IDENTITY FULL; ALTER PUBLICATION walwire ADD TABLE more; INSERT INTO extra VALUES (1, 1)`,
		Config: notesConfig + "  more: {table: public.more, company: company, roles: {owner: {rows: true, columns: [id]}}}\n" +
			"  extra: {table: public.extra, company: company, roles: {owner: {rows: true, columns: [id]}}}\n",
		Edit: func(c *mapping.Config) {
			c.Manage, c.AdminDatabaseURL = true, mapping.NewSecret(pgtest.WithUser(t, admin, keeper, "secret"))
		},
	})
	s.Exec(`DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO ` + keeper + `', current_database()); END $$;
		ALTER PUBLICATION walwire OWNER TO ` + keeper + `; ALTER TABLE notes OWNER TO ` + keeper + `; ALTER TABLE extra OWNER TO ` + keeper)
	all := s.Config.Tables
	s.Config.Tables = all[:2]
	s.Run()
	s.Exec(`ALTER PUBLICATION walwire DROP TABLE more`)
	await(t, "a table to be left out", func() bool { return strings.Contains(get(t, s.URL()+"/readyz"), "more can't be served") })
	if err := s.Reload(func(c *mapping.Config) { c.Tables = all }); err != nil {
		t.Fatalf("reload: %v", err)
	}
	if q := s.Connect(s.Owner("1")).Open(1, `{"table":"extra"}`); len(q.Rows) != 1 {
		t.Errorf("the new table shows %v", q.Rows)
	}
	s.Stop()
	s.Config.Tables = all
	s.Exec(`ALTER PUBLICATION walwire DROP TABLE extra`)
	s.Run()
	if q := s.Connect(s.Owner("1")).Open(1, `{"table":"extra"}`); len(q.Rows) != 1 {
		t.Errorf("after a start the new table shows %v", q.Rows)
	}
}

// A start that waits for the writers of a table which has joined the publication waits
// for those of one that joins meanwhile, too.
func TestJoinsWhileStarting(t *testing.T) {
	s := apptest.Start(t, apptest.Options{
		Tables: []pgx.Identifier{{"public", "notes"}, {"public", "more"}},
		Schema: `CREATE TABLE more (id int PRIMARY KEY, company int NOT NULL); ALTER TABLE more REPLICA IDENTITY FULL; INSERT INTO more VALUES (1, 1);` + notesSchema + `, more`,
		Config: notesConfig + "  more: {table: public.more, company: company, roles: {owner: {rows: true, columns: [id]}}}\n",
	})
	s.Stop()
	first, second := pgtest.MustConnect(t, s.AdminURL), pgtest.MustConnect(t, s.AdminURL)
	s.Exec(`ALTER PUBLICATION walwire DROP TABLE notes, more`)
	pgtest.MustExec(t, first, `BEGIN; INSERT INTO notes VALUES (1, 1, 'a')`)
	s.Exec(`ALTER PUBLICATION walwire ADD TABLE notes`)
	waits := make(chan string, 10_000)
	s.SetLog(slog.New(slog.NewTextHandler(lines(waits), nil)))
	done, stop := s.Launch()
	t.Cleanup(stop)
	waiting := func(table string) {
		t.Helper()
		for {
			select {
			case line := <-waits:
				if strings.Contains(line, "wait for transactions") && strings.Contains(line, table) {
					return
				}
			case <-s.Ready():
				t.Fatal("it serves a table whose writers it does not know")
			case err := <-done:
				t.Fatalf("the server has ended: %v", err)
			}
		}
	}
	waiting("notes")
	pgtest.MustExec(t, second, `BEGIN; INSERT INTO more VALUES (2, 1)`)
	s.Exec(`ALTER PUBLICATION walwire ADD TABLE more`)
	pgtest.MustExec(t, first, `COMMIT`)
	waiting("more")
	pgtest.MustExec(t, second, `COMMIT`)
	<-s.Ready()
	if q := s.Connect(s.Owner("1")).Open(1, `{"table":"more"}`); len(q.Rows) != 2 {
		t.Errorf("rows %v", q.Rows)
	}
}

// lines takes a log line by line.
type lines chan string

func (l lines) Write(line []byte) (int, error) {
	l <- string(line)
	return len(line), nil
}

// A reload does not stumble over a partition that a managed table has got just now.
func TestReloadBesideNewPartition(t *testing.T) {
	admin := pgtest.Database(t)
	s := apptest.Start(t, apptest.Options{
		AdminURL: admin, Tables: []pgx.Identifier{{"public", "notes"}}, Config: notesConfig, Tuning: app.Tuning{CatalogInterval: time.Hour},
		Schema: `CREATE TABLE notes (id int PRIMARY KEY, company int NOT NULL, text text) PARTITION BY RANGE (id); CREATE TABLE notes_1 PARTITION OF notes FOR VALUES FROM (0) TO (10)`,
		Edit:   func(c *mapping.Config) { c.Manage, c.AdminDatabaseURL = true, mapping.NewSecret(admin) },
	})
	s.Exec(`CREATE TABLE notes_2 PARTITION OF notes FOR VALUES FROM (10) TO (20)`)
	if err := s.Reload(func(*mapping.Config) {}); err != nil {
		t.Error(err)
	}
}

// A restart waits for a WAL sender, which the server before it may still hold.
func TestRestartWhileSendersAreFull(t *testing.T) {
	cluster := pgtest.New(t, map[string]string{"max_wal_senders": "1"})
	o := notes(nil)
	o.AdminURL = pgtest.DatabaseIn(t, cluster.URL())
	s := apptest.Start(t, o)
	s.Stop()
	await(t, "the sender to end", func() (ended bool) {
		s.Scan(&ended, `SELECT NOT EXISTS (SELECT FROM pg_stat_replication)`)
		return
	})
	login, err := pgconn.ParseConfig(o.AdminURL)
	if err != nil {
		t.Fatal(err)
	}
	login.RuntimeParams["replication"] = "database"
	other, err := pgconn.ConnectConfig(t.Context(), login)
	if err != nil {
		t.Fatal(err)
	}
	done, stop := s.Launch()
	t.Cleanup(stop)
	await(t, "the start to wait", func() bool {
		select {
		case err := <-done:
			t.Fatalf("the server has ended: %v", err)
		default:
		}
		return strings.Contains(get(t, s.URL()+"/readyz"), "all 1 WAL senders are in use")
	})
	if err := other.Close(t.Context()); err != nil {
		t.Error(err)
	}
	select {
	case <-s.Ready():
	case err := <-done:
		t.Errorf("the server has ended: %v", err)
	}
}
