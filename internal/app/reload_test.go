package app_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/internal/pgtest"
	"github.com/walwire/walwire/mapping"
)

const reloadSeed = `
INSERT INTO companies (id, name) VALUES ('00000000-0000-0000-0000-0000000000a1', 'A');
INSERT INTO staff (id, company_id, user_id, name, role) VALUES
	('00000000-0000-0000-0000-0000000000a2', '00000000-0000-0000-0000-0000000000a1', 'ann', 'Ann', 'receptionist');
INSERT INTO appointments (id, company_id, status, starts_at, ends_at, price) VALUES
	('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-0000000000a1', 'pending', now(), now() + interval '1 h', 1),
	('00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-0000000000a1', 'confirmed', now(), now() + interval '1 h', 2);
CREATE TABLE invoices (id int PRIMARY KEY, company_id uuid NOT NULL, amount int NOT NULL, paid boolean NOT NULL DEFAULT false);
INSERT INTO invoices VALUES (1, '00000000-0000-0000-0000-0000000000a1', 10, false);
`

const reloadCompany = "00000000-0000-0000-0000-0000000000a1"

// rule replaces what a role may see of a table.
func rule(c *mapping.Config, table, role, rows string, except ...string) {
	t, _ := c.Table(table)
	for i := range t.Roles {
		if t.Roles[i].Name == role {
			t.Roles[i].Rows = mapping.Expression{Text: rows}
			t.Roles[i].Columns = mapping.ColumnList{All: true, Except: except}
		}
	}
}

func invoices(c *mapping.Config) {
	c.Tables = append(c.Tables, mapping.TableConfig{
		Name: "invoices", Relation: mapping.Relation{Schema: "public", Name: "invoices"}, Company: "company_id",
		Roles:  []mapping.RoleConfig{{Name: "receptionist", Rows: mapping.Expression{Text: "true"}, Columns: mapping.ColumnList{All: true}}},
		Events: []mapping.EventConfig{{Event: "invoice.paid", On: mapping.OnUpdate, When: mapping.Expression{Text: "changed.paid && row.paid"}, Columns: mapping.ColumnList{All: true}}},
	})
}

// A configuration is put in force while clients are connected: none is disconnected,
// and each is told what changes for it.
func TestReload(t *testing.T) {
	admin := pgtest.Database(t)
	s := apptest.Start(t, apptest.Options{AdminURL: admin, Edit: func(c *mapping.Config) {
		c.Manage, c.AdminDatabaseURL = true, mapping.NewSecret(admin)
	}})
	s.Exec(reloadSeed)
	s.Exec(`GRANT SELECT ON invoices TO PUBLIC`)
	c := s.Connect(s.Token(apptest.Claims{"sub": "ann", "company_id": reloadCompany, "roles": []string{"receptionist"}}))
	q := c.Open(1, `{"table":"appointments"}`)
	feed := c.Listen(2, `{"names":["*"]}`)
	reload := func(t *testing.T, edit func(*mapping.Config)) {
		t.Helper()
		if err := s.Reload(edit); err != nil {
			t.Fatal(err)
		}
		s.Wait(c)
	}
	t.Run("tightened and loosened", func(t *testing.T) {
		reload(t, func(c *mapping.Config) { rule(c, "appointments", "receptionist", "row.status == 'confirmed'", "price") })
		if len(q.Rows) != 1 || q.Err != nil {
			t.Errorf("%d rows, %v", len(q.Rows), q.Err)
		}
		s.Exec(`UPDATE appointments SET notes = 'n'`)
		s.Wait(c)
		if e := feed.Events; len(e) != 0 {
			t.Errorf("told %v", e)
		}
		reload(t, func(c *mapping.Config) { rule(c, "appointments", "receptionist", "true") })
		if len(q.Rows) != 2 || q.Rows[`["00000000-0000-0000-0000-000000000002"]`]["price"] != "2.00" {
			t.Errorf("rows %v", q.Rows)
		}
	})
	t.Run("a new table", func(t *testing.T) {
		away := s.Connect(s.Token(apptest.Claims{"sub": "ann", "company_id": reloadCompany, "roles": []string{"receptionist"}}))
		away.Listen(1, `{"names":["*"]}`)
		s.Wait(away)
		away.Close()
		begun := time.Now().UTC().Format(time.RFC3339Nano)
		s.Exec(`UPDATE invoices SET paid = true; UPDATE invoices SET paid = false`) // nobody can be told of
		reload(t, invoices)
		back := s.Connect(s.Token(apptest.Claims{"sub": "ann", "company_id": reloadCompany, "roles": []string{"receptionist"}}))
		for who, f := range map[string]*apptest.Feed{
			"who comes back": back.ListenFrom(1, `{"names":["*"]}`, away.Cursor),
			"who asks since": back.Listen(2, `{"names":["invoice.paid"],"since":"`+begun+`"}`),
		} {
			s.Wait(back)
			if len(f.Events) == 0 || f.Events[0].Event != "gap" || f.Events[0].Table != "invoices" {
				t.Errorf("%s is told %v, want a gap of invoices first", who, f.Events)
			}
		}
		bills := c.Open(3, `{"table":"invoices"}`)
		s.Exec(`INSERT INTO invoices SELECT i, $1, i FROM generate_series(2, 10) i`, reloadCompany)
		s.Exec(`UPDATE invoices SET paid = true WHERE id = 1`)
		s.Wait(c)
		if len(bills.Rows) != 10 || bills.Rows["[1]"]["paid"] != true {
			t.Errorf("rows %v", bills.Rows)
		}
		if e := feed.Events; len(e) != 2 || e[0].Event != "gap" || e[0].Table != "invoices" || e[1].Event != "invoice.paid" || e[1].Key["id"] != json.Number("1") {
			t.Errorf("told %v, want a gap of invoices first", e)
		}
		reload(t, func(*mapping.Config) {})
		if bills.Err == nil || bills.Err.Code != "failed-precondition" || !strings.Contains(bills.Err.Message, "not served any more") {
			t.Errorf("a table taken out: %v", bills.Err)
		}
	})
	t.Run("a table that was dropped is taken out", func(t *testing.T) {
		reload(t, invoices)
		s.Exec(`DROP TABLE invoices`)
		await(t, "readiness to say so", func() bool { return strings.Contains(get(t, s.URL()+"/readyz"), "invoices can't be served") })
		reload(t, func(*mapping.Config) {})
		if ready := get(t, s.URL()+"/readyz"); !strings.Contains(ready, `"status":"ready"`) {
			t.Errorf("/readyz says %s", ready)
		}
	})
	t.Run("a wrong one changes nothing", func(t *testing.T) {
		for want, edit := range map[string]func(*mapping.Config){
			"no column": func(c *mapping.Config) { rule(c, "appointments", "receptionist", "row.nothing") },
			"not found": func(c *mapping.Config) { invoices(c); c.Tables[len(c.Tables)-1].Relation.Name = "nothing" },
			"restart walwire": func(c *mapping.Config) {
				c.Auth.Keys, c.Auth.JWKS = nil, &mapping.JWKS{URL: "https://keys.example.com"}
			},
			`no column "such_id"`: func(c *mapping.Config) { c.User.Rows[0].Match[0].Column = "such_id" },
		} {
			err := s.Reload(edit)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Fatalf("got %v, want %s", err, want)
			}
			var state struct {
				Status string
				Config struct{ Error string }
			}
			if err := json.Unmarshal([]byte(get(t, s.URL()+"/readyz")), &state); err != nil {
				t.Fatal(err)
			}
			if state.Status != "ready" || state.Config.Error != err.Error() {
				t.Errorf("/readyz says %+v, the error is %v", state, err)
			}
			if metrics := get(t, s.App.AdminURL()+"/metrics"); !strings.Contains(metrics, "walwire_config_reload_failing 1") {
				t.Error("the metrics don't show it")
			}
		}
		s.Exec(`UPDATE appointments SET notes = 'm'`)
		s.Wait(c)
		for key, row := range q.Rows {
			if row["notes"] != "m" {
				t.Errorf("row %s: %v", key, row)
			}
		}
	})
	t.Run("events", func(t *testing.T) {
		feed.Events = nil
		reload(t, func(c *mapping.Config) {
			a, _ := c.Table("appointments")
			a.Events = append(a.Events, mapping.EventConfig{Event: "appointment.noted", On: mapping.OnUpdate, Changes: []string{"notes"}})
		})
		s.Exec(`UPDATE appointments SET notes = 'o'`)
		s.Wait(c)
		if e := feed.Events; len(e) != 2 || e[0].Event != "appointment.noted" || !slices.Contains(feed.Names, "appointment.noted") {
			t.Errorf("told %v of %v", e, feed.Names)
		}
	})
	t.Run("origins, and what needs a restart", func(t *testing.T) {
		reload(t, func(c *mapping.Config) {
			c.Origins = []string{"https://new.example.com"}
			c.Limits.Subscriptions = 7
		})
		r, _ := http.NewRequestWithContext(t.Context(), "POST", s.URL()+"/v1/query", nil)
		r.Header.Set("Origin", "https://new.example.com")
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusUnauthorized {
			t.Errorf("HTTP %d", response.StatusCode)
		}
		if ready := get(t, s.URL()+"/readyz"); !strings.Contains(ready, `"restart_needed":["limits"]`) {
			t.Errorf("/readyz says %s", ready)
		}
	})
	t.Run("users", func(t *testing.T) {
		if q.Err != nil {
			t.Fatalf("ended: %v", q.Err)
		}
		reload(t, func(c *mapping.Config) { c.User.Rows[0].Active = mapping.Expression{Text: "row.name != 'Eve'"} })
		s.Exec(`UPDATE staff SET name = 'Eve'`)
		if code, _ := c.ReadClose(); code != 4502 {
			t.Errorf("closed with %d", code)
		}
	})
	t.Run("keys", func(t *testing.T) {
		token := s.Owner(reloadCompany)
		s.Connect(token)
		if err := s.Reload(func(c *mapping.Config) { c.Auth.Keys[0].Secret = mapping.NewSecret(strings.Repeat("n", 40)) }); err != nil {
			t.Fatal(err)
		}
		other := apptest.Dial(t, s.WS())
		other.Send(`{"type":"auth","token":%q}`, token)
		if f := other.Read(); f.Code != "unauthenticated" {
			t.Errorf("got %s", f)
		}
	})
	var findings mapping.Errors
	if err := s.Reload(func(c *mapping.Config) { rule(c, "staff", "client", "row.x") }); !errors.As(err, &findings) {
		t.Errorf("got %v", err)
	}
}

// A partition and the table that it is of are the same rows: one of them is mapped.
func TestPartitionAndItsTable(t *testing.T) {
	s := apptest.Prepare(t, apptest.Options{
		Schema: `CREATE TABLE notes (id int PRIMARY KEY, company int NOT NULL) PARTITION BY RANGE (id); CREATE TABLE notes_1 PARTITION OF notes DEFAULT;
			ALTER TABLE notes_1 REPLICA IDENTITY FULL; CREATE PUBLICATION walwire FOR TABLE notes_1`,
		Tables: []pgx.Identifier{{"public", "notes"}, {"public", "notes_1"}},
		Config: notesConfig + `  part: {table: public.notes_1, company: company, roles: {owner: {rows: true, columns: "*"}}}
`,
	})
	done, stop := s.Launch()
	t.Cleanup(stop)
	select {
	case err := <-done:
		if err == nil || !strings.Contains(err.Error(), "are also those of tables.notes: map one of them") {
			t.Errorf("ended with %v", err)
		}
	case <-s.Ready():
		t.Error("both are served")
	}
}
