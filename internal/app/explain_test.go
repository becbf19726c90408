package app_test

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/internal/app"
	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/stream"
)

const explainSeed = `
INSERT INTO companies (id, name) VALUES ('00000000-0000-0000-0000-0000000000a1', 'A'), ('00000000-0000-0000-0000-0000000000b1', 'B');
INSERT INTO staff (id, company_id, user_id, name, role) VALUES
	('00000000-0000-0000-0000-0000000000a2', '00000000-0000-0000-0000-0000000000a1', 'ann', 'Ann', 'staff'),
	('00000000-0000-0000-0000-0000000000a3', '00000000-0000-0000-0000-0000000000a1', 'eve', 'Eve', 'receptionist');
INSERT INTO clients (id, company_id, user_id, name) VALUES ('00000000-0000-0000-0000-0000000000a4', '00000000-0000-0000-0000-0000000000a1', 'cat', 'Cat');
INSERT INTO appointments (id, company_id, staff_id, client_id, status, starts_at, ends_at, price, internal_notes) VALUES
	('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-0000000000a1', '00000000-0000-0000-0000-0000000000a2',
	 '00000000-0000-0000-0000-0000000000a4', 'pending', '2026-03-01 09:00Z', '2026-03-01 10:00Z', 12.5, 'x'),
	('00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-0000000000a1', NULL, NULL, 'pending', '2026-03-02 09:00Z', '2026-03-02 10:00Z', 20, NULL),
	('00000000-0000-0000-0000-000000000003', '00000000-0000-0000-0000-0000000000b1', NULL, NULL, 'pending', '2026-03-02 09:00Z', '2026-03-02 10:00Z', 20, NULL);
`

const (
	explainCompany = "00000000-0000-0000-0000-0000000000a1"
	otherCompany   = "00000000-0000-0000-0000-0000000000b1"
	first          = "00000000-0000-0000-0000-000000000001"
	second         = "00000000-0000-0000-0000-000000000002"
)

func mustExplain(t *testing.T, s *apptest.Server) *app.Explainer {
	t.Helper()
	e, err := app.NewExplainer(t.Context(), s.Config, apptest.Logger(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close(t.Context()) })
	return e
}

// A change is told as the server tells it: to each before it is made, without its
// position, and out of the log once it was.
func TestExplainChange(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	s.Exec(explainSeed)
	people := map[string]app.Viewer{
		"owner":        {Roles: []string{"owner"}, ID: "o", Company: explainCompany},
		"receptionist": {Roles: []string{"receptionist"}, ID: "eve", Company: explainCompany},
		"staff":        {Roles: []string{"staff"}, ID: "ann", Company: explainCompany},
		"client":       {Roles: []string{"client"}, ID: "cat", Company: explainCompany},
		"other":        {Roles: []string{"owner"}, ID: "o", Company: otherCompany},
	}
	clients, feeds := make(map[string]*apptest.Client), make(map[string]*apptest.Feed)
	for name, v := range people {
		clients[name] = s.Connect(s.Token(apptest.Claims{"sub": v.ID, "company_id": v.Company, "roles": v.Roles}))
		feeds[name] = clients[name].Listen(1, `{"names":["*"]}`)
	}
	told := func(t *testing.T, e *app.Explainer, tx *cdc.Transaction, v app.Viewer) []apptest.Event {
		t.Helper()
		all, err := e.Tell(t.Context(), tx, v, false)
		if err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		var events []apptest.Event
		for _, raw := range all[0].Events {
			var event apptest.Event
			if err := json.Unmarshal(raw, &event); err != nil {
				t.Fatal(err)
			}
			events = append(events, event)
		}
		return events
	}
	last := func(t *testing.T, e *app.Explainer) *cdc.Transaction {
		t.Helper()
		var last *cdc.Transaction
		if _, err := e.Recent(t.Context(), 1, 0, func(tx *cdc.Transaction) error { last = tx; return nil }); err != nil {
			t.Fatal(err)
		}
		return last
	}
	heard, want := make(map[string]int), make(map[string][]apptest.Event)
	for _, c := range []struct {
		name   string
		change app.GivenChange
		sql    string
	}{
		{"status", app.GivenChange{Table: "appointments", Key: first, Op: cdc.OpUpdate, Values: map[string]string{"status": "confirmed"}},
			`UPDATE appointments SET status = 'confirmed' WHERE id = '` + first + `'`},
		{"what some may not read", app.GivenChange{Table: "appointments", Key: first, Op: cdc.OpUpdate, Values: map[string]string{"price": "13.50", "internal_notes": "null", "starts_at": "2026-03-01 08:00Z"}},
			`UPDATE appointments SET price = 13.5, internal_notes = NULL, starts_at = '2026-03-01 08:00Z' WHERE id = '` + first + `'`},
		{"nothing", app.GivenChange{Table: "appointments", Key: first, Op: cdc.OpUpdate, Values: map[string]string{"price": "13.5"}},
			`UPDATE appointments SET price = 13.5 WHERE id = '` + first + `'`},
		{"out of sight", app.GivenChange{Table: "appointments", Key: first, Op: cdc.OpUpdate, Values: map[string]string{"staff_id": "null"}},
			`UPDATE appointments SET staff_id = NULL WHERE id = '` + first + `'`},
		{"to another company", app.GivenChange{Table: "appointments", Key: second, Op: cdc.OpUpdate, Values: map[string]string{"company_id": otherCompany}},
			`UPDATE appointments SET company_id = '` + otherCompany + `' WHERE id = '` + second + `'`},
		{"insert", app.GivenChange{Table: "clients", Op: cdc.OpInsert, Values: map[string]string{"id": `"00000000-0000-0000-0000-0000000000c1"`, "company_id": `"` + explainCompany + `"`,
			"name": `"Dan"`, "tags": `["a","b c"]`, "preferences": `{"x":1}`, "created_at": `"2026-01-01Z"`, "updated_at": `"2026-01-01Z"`}},
			`INSERT INTO clients (id, company_id, name, tags, preferences, created_at, updated_at) VALUES ('00000000-0000-0000-0000-0000000000c1', '` + explainCompany + `', 'Dan', '{a,b c}', '{"x":1}', '2026-01-01Z', '2026-01-01Z')`},
		{"delete", app.GivenChange{Table: "appointments", Key: first, Op: cdc.OpDelete}, `DELETE FROM appointments WHERE id = '` + first + `'`},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := mustExplain(t, s)
			tx, err := e.GivenChange(t.Context(), c.change)
			if err != nil {
				t.Fatal(err)
			}
			given := make(map[string][]apptest.Event)
			for name, v := range people {
				given[name] = told(t, e, tx, v)
			}
			s.Exec(c.sql)
			e = mustExplain(t, s)
			logged := last(t, e)
			for name, v := range people {
				s.Wait(clients[name])
				want[name] = feeds[name].Events
				feeds[name].Events = nil
				heard[name] += len(want[name])
				if got := told(t, e, logged, v); !reflect.DeepEqual(got, want[name]) {
					t.Errorf("%s is told\n%+v\nand by the log\n%+v", name, want[name], got)
				}
				for _, events := range [][]apptest.Event{given[name], want[name]} {
					for i := range events {
						events[i].ID, events[i].Position, events[i].Time, events[i].Raw = "", "", "", nil
					}
				}
				if !reflect.DeepEqual(given[name], want[name]) {
					t.Errorf("%s is told\n%+v\nand beforehand\n%+v", name, want[name], given[name])
				}
			}
		})
	}
	for name := range people {
		if heard[name] == 0 {
			t.Errorf("%s was told nothing at all", name)
		}
	}
	t.Run("without a server", func(t *testing.T) {
		for _, c := range clients {
			c.Close()
		}
		s.Stop()
		s.Exec(`UPDATE clients SET name = 'Kit' WHERE user_id = 'cat'`)
		e := mustExplain(t, s)
		if got := told(t, e, last(t, e), people["client"]); len(got) != 1 || got[0].Event != "client.profile_updated" || got[0].Old["name"] != "Cat" {
			t.Errorf("got %+v", got)
		}
	})
}

// What somebody sees, as of now.
func TestExplainTable(t *testing.T) {
	s := apptest.Prepare(t, apptest.Options{})
	s.Exec(explainSeed)
	e := mustExplain(t, s)
	view := func(t *testing.T, v app.Viewer, table string) *app.TableView {
		t.Helper()
		p, err := e.Principal(t.Context(), v)
		if err != nil {
			t.Fatal(err)
		}
		view, err := e.Table(t.Context(), p, table)
		if err != nil {
			t.Fatal(err)
		}
		return view
	}
	because := func(v *app.TableView, event string) string {
		return v.Events[slices.IndexFunc(v.Events, func(e app.EventView) bool { return e.Event == event })].Because
	}
	t.Run("all", func(t *testing.T) {
		v := view(t, app.Viewer{Roles: []string{"owner"}, Company: explainCompany}, "appointments")
		if v.Rows != "TRUE" || *v.Count != 2 || len(v.Keys) != 2 || string(v.Keys[0]) != `{"id":"`+first+`"}` || v.Hidden != nil {
			t.Errorf("got %+v", v)
		}
	})
	t.Run("their own", func(t *testing.T) {
		v := view(t, app.Viewer{Roles: []string{"staff"}, ID: "ann", Company: explainCompany}, "appointments")
		if v.Rows != `"staff_id" = '00000000-0000-0000-0000-0000000000a2'::uuid` || *v.Count != 1 || !slices.Equal(v.Hidden, []string{"internal_notes", "price"}) {
			t.Errorf("got %+v", v)
		}
	})
	t.Run("of nobody", func(t *testing.T) {
		v := view(t, app.Viewer{Roles: []string{"staff"}, Company: explainCompany}, "appointments")
		if v.Rows != "FALSE" || *v.Count != 0 {
			t.Errorf("got %+v", v)
		}
	})
	t.Run("by a claim, and without a company", func(t *testing.T) {
		v := view(t, app.Viewer{Roles: []string{"client"}, Claims: map[string]any{"client_id": "00000000-0000-0000-0000-0000000000a4"}}, "clients")
		if !strings.HasPrefix(v.Rows, `"id" = `) || v.Count != nil {
			t.Errorf("got %+v", v)
		}
		if because(v, "client.registered") != "" || because(v, "client.checked_in") != "needs column checked_in_at" {
			t.Errorf("got %+v", v.Events)
		}
	})
	t.Run("one of several columns", func(t *testing.T) {
		v := view(t, app.Viewer{Roles: []string{"client"}}, "staff")
		if got := because(v, "staff.shift_changed"); got != "needs one of the columns shift_starts_at, shift_ends_at" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("roles of a row", func(t *testing.T) {
		p, err := e.Principal(t.Context(), app.Viewer{Roles: []string{"staff"}, ID: "eve", Company: explainCompany})
		if err != nil || !slices.Equal(p.Roles, []string{"receptionist"}) {
			t.Errorf("got %+v, %v", p, err)
		}
	})
	t.Run("more rows than a query may have", func(t *testing.T) {
		s.Config.Limits.Rows = 1
		if v := view(t, app.Viewer{Roles: []string{"owner"}, Company: explainCompany}, "appointments"); *v.Count != 1 || !v.More {
			t.Errorf("got %+v", v)
		}
	})
	t.Run("ErrAccessEnded", func(t *testing.T) {
		s.Exec(`UPDATE staff SET active = false WHERE user_id = 'ann'`)
		_, err := mustExplain(t, s).Principal(t.Context(), app.Viewer{Roles: []string{"staff"}, ID: "ann", Company: explainCompany})
		if denied := new(stream.Error); !errors.As(err, &denied) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("ErrRole", func(t *testing.T) {
		_, err := e.Principal(t.Context(), app.Viewer{Roles: []string{"ownr"}})
		if err == nil || err.Error() != `no table has a rule for the role "ownr"; did you mean "owner"?` {
			t.Errorf("got %v", err)
		}
	})
	t.Run("ErrNoSlot", func(t *testing.T) {
		_, err := e.Recent(t.Context(), 1, 0, func(*cdc.Transaction) error { return nil })
		if err == nil || !strings.Contains(err.Error(), "it is made when a server first starts") {
			t.Errorf("got %v", err)
		}
	})
}

const oddSchema = `
CREATE SCHEMA shop;
CREATE TYPE shop.state AS ENUM ('open', 'paid');
CREATE DOMAIN shop.code AS text NOT NULL CHECK (VALUE ~ '^[A-Z]+$');
CREATE TABLE shop.orders (
	tenant int NOT NULL, number bigint GENERATED ALWAYS AS IDENTITY, state shop.state NOT NULL DEFAULT 'open', code shop.code, label varchar(3), serial bigserial,
	total numeric(6,2), twice numeric GENERATED ALWAYS AS (total * 2) STORED, tags shop.state[], data json, PRIMARY KEY (tenant, number)
) PARTITION BY LIST (tenant);
CREATE TABLE shop.orders_1 PARTITION OF shop.orders FOR VALUES IN (1);
ALTER TABLE shop.orders_1 REPLICA IDENTITY FULL;
INSERT INTO shop.orders (tenant, code, total) VALUES (1, 'A', 1);
CREATE PUBLICATION walwire FOR TABLE shop.orders_1;
`

const oddConfig = `version: 1
database_url: ${WALWIRE_DATABASE_URL}
auth:
  issuer: ${WALWIRE_ISSUER}
  audience: ${WALWIRE_AUDIENCE}
  keys: [{id: main, alg: HS256, secret: "${WALWIRE_TOKEN_SECRET}"}]
user:
  claims: {id: sub, company: tenant, roles: roles}
tables:
  orders:
    table: shop.orders
    company: tenant
    roles:
      owner: {rows: true, columns: "*"}
    events:
      - {event: order.made, on: insert}
      - {event: order.changed, on: update, old: [state]}
      - {event: order.gone, on: delete}
`

// Rows of types and tables of every kind are made as PostgreSQL makes them, or refused
// with what to do.
func TestExplainRow(t *testing.T) {
	s := apptest.Prepare(t, apptest.Options{Schema: oddSchema, Config: oddConfig, Tables: []pgx.Identifier{{"shop", "orders"}, {"shop", "orders_1"}}})
	s.Exec(`GRANT USAGE ON SCHEMA shop TO PUBLIC; GRANT USAGE ON ALL SEQUENCES IN SCHEMA shop TO PUBLIC`)
	e := mustExplain(t, s)
	update := func(values map[string]string) app.GivenChange {
		return app.GivenChange{Table: "orders", Key: "[1, 1]", Op: cdc.OpUpdate, Values: values}
	}
	insert := func(values map[string]string) app.GivenChange {
		full := map[string]string{"tenant": "1", "number": "7", "code": `"B"`, "serial": "1"}
		maps.Copy(full, values)
		return app.GivenChange{Table: "orders", Op: cdc.OpInsert, Values: full}
	}
	for name, c := range map[string]struct {
		change app.GivenChange
		want   string
	}{
		"types": {update(map[string]string{"state": "paid", "total": "2.345", "tags": `["open","paid"]`, "data": `{"a": [1, "x"]}`, "label": "12"}),
			`"row":{"tenant":1,"number":"1","state":"paid","code":"A","label":"12","serial":"1","total":"2.35","tags":["open","paid"],"data":{"a":[1,"x"]}},"old":{"state":"open"},"changed":["state","label","total","tags","data"]`},
		"PostgreSQL's own form": {update(map[string]string{"tags": "{paid}"}), `"tags":["paid"]`},
		"delete":                {app.GivenChange{Table: "orders", Key: "[1, 1]", Op: cdc.OpDelete}, `"table":"orders","key":{"tenant":1,"number":"1"}}`},
		"defaults":              {insert(nil), `"row":{"tenant":1,"number":"7","state":"open","code":"B","label":null,"serial":"1","total":null,"tags":null,"data":null}`},
	} {
		t.Run(name, func(t *testing.T) {
			tx, err := e.GivenChange(t.Context(), c.change)
			if err != nil {
				t.Fatal(err)
			}
			told, err := e.Tell(t.Context(), tx, app.Viewer{}, true)
			if err != nil || len(told) != 1 || len(told[0].Events) != 1 || told[0].Company != "1" || !strings.Contains(string(told[0].Events[0]), c.want) {
				t.Errorf("got %s, %v\nwant %s", told, err, c.want)
			}
		})
	}
	for name, c := range map[string]struct {
		change app.GivenChange
		want   string
	}{
		"ErrTable":     {app.GivenChange{Table: "order", Op: cdc.OpInsert}, `no table is mapped as "order"; did you mean "orders"?`},
		"ErrKey":       {app.GivenChange{Table: "orders", Key: "1", Op: cdc.OpDelete}, "a row of table orders is named by a JSON list of its key's 2 values"},
		"ErrNoRow":     {app.GivenChange{Table: "orders", Key: "[1,2]", Op: cdc.OpDelete}, "table orders has no row with the key [1,2]"},
		"ErrColumn":    {update(map[string]string{"stat": "paid"}), `table orders has no column "stat"; did you mean "state"?`},
		"ErrGenerated": {update(map[string]string{"twice": "1"}), `column "twice" of table orders is generated: it is not in the log of changes`},
		"ErrValue":     {update(map[string]string{"state": "lost"}), `column "state": PostgreSQL does not take lost as shop.state: invalid input value for enum shop.state: "lost"`},
		"ErrTooLong":   {update(map[string]string{"label": `"1234"`}), `column "label": PostgreSQL does not take "1234" as character varying(3): value too long for type character varying(3)`},
		"ErrDomain":    {update(map[string]string{"code": "a"}), `column "code": PostgreSQL does not take a as shop.code: value for domain shop.code violates check constraint "code_check"`},
		"ErrNull":      {update(map[string]string{"state": "null"}), `column "state" is NOT NULL`},
		"ErrIdentity": {app.GivenChange{Table: "orders", Op: cdc.OpInsert, Values: map[string]string{"tenant": "1", "code": "A", "serial": "1"}},
			`column "number" is NOT NULL and has no default that is known beforehand: give a value`},
		"ErrSequence": {app.GivenChange{Table: "orders", Op: cdc.OpInsert, Values: map[string]string{"tenant": "1", "number": "1", "code": "A"}},
			`column "serial": its default can't be known without writing, give a value: cannot execute nextval() in a read-only transaction`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := e.GivenChange(t.Context(), c.change); err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
}

// Looking at the log leaves the slot where it is, and no other behind; and it goes as far
// back as it is asked to.
func TestExplainRecent(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	s.Exec(explainSeed)
	for range 3 {
		s.Exec(`UPDATE clients SET status = CASE status WHEN 'vip' THEN 'active' ELSE 'vip' END`)
	}
	slots := func() (before string) {
		s.Scan(&before, `SELECT string_agg(slot_name || restart_lsn || confirmed_flush_lsn, ',') FROM pg_replication_slots WHERE database = current_database()`)
		return before
	}
	s.Stop() // it moves its slot of itself
	before := slots()
	count := func(n int, age time.Duration) (count int) {
		e := mustExplain(t, s)
		since, err := e.Recent(t.Context(), n, age, func(*cdc.Transaction) error { count++; return nil })
		if err != nil || since.IsZero() {
			t.Fatal(since, err)
		}
		return count
	}
	if got := []int{count(2, 0), count(100, 0), count(0, time.Hour), count(0, time.Nanosecond)}; !slices.Equal(got, []int{2, 4, 4, 0}) {
		t.Errorf("got %v", got)
	}
	if after := slots(); after != before {
		t.Errorf("the slots are %s, they were %s", after, before)
	}
	t.Run("ErrRights", func(t *testing.T) {
		s.Exec(`DO $$ BEGIN EXECUTE (SELECT format('ALTER ROLE %I NOREPLICATION', rolname) FROM pg_roles WHERE rolname LIKE 'walwire%' AND rolreplication
			AND has_table_privilege(oid, 'public.clients', 'SELECT') AND NOT rolsuper); END $$`)
		_, err := mustExplain(t, s).Recent(t.Context(), 1, 0, func(*cdc.Transaction) error { return nil })
		if err == nil || !strings.Contains(err.Error(), "ALTER ROLE name REPLICATION") {
			t.Errorf("got %v", err)
		}
	})
}
