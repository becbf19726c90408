package stream_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/internal/app"
	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/internal/pgtest"
	"github.com/walwire/walwire/mapping"
)

// altered is a server of two tables: items, which a test alters, and others,
// whose client must not notice.
type altered struct {
	*apptest.Server
	log    *lockedBuffer
	other  *apptest.Client
	others *apptest.Query
}

// lockedBuffer takes a log.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) count(what string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.text.String(), what)
}

func (b *lockedBuffer) tail() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	text := b.text.String()
	return text[max(0, len(text)-4000):]
}

const othersSQL = `
CREATE TABLE others (id int PRIMARY KEY, company int NOT NULL, v int NOT NULL);
ALTER TABLE others REPLICA IDENTITY FULL;
ALTER PUBLICATION walwire ADD TABLE others;
INSERT INTO others VALUES (1, 1, 0);`

const othersConfig = `  others: {table: public.others, company: company, roles: {owner: {rows: true, columns: "*"}}}
`

// startAltered runs with more SQL and more tables in the configuration.
func startAltered(t *testing.T, sql, config string) *altered {
	t.Helper()
	log := new(lockedBuffer)
	s := apptest.Start(t, apptest.Options{
		Schema: itemsSchema + othersSQL + sql, Config: config + othersConfig,
		Tables: []pgx.Identifier{{"public", "items"}, {"public", "others"}},
		Log:    slog.New(slog.NewTextHandler(log, nil)),
	})
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(log.tail())
		}
	})
	a := &altered{Server: s, log: log, other: s.Connect(s.Owner("1"))}
	a.others = a.other.Open(1, `{"table":"others"}`)
	return a
}

// step alters items, writes to it and to the other table, whose client must
// get exactly that.
func (a *altered) step(t *testing.T, sql string) {
	t.Helper()
	a.Exec(sql)
	a.Exec(`UPDATE others SET v = v + 1`)
	mustFrame(t, a.other.Read(), 0, 1, 0)
	mustShow(t, a.Server, a.others, `SELECT id::text, v::text FROM others`)
}

// settle waits until the server has taken what was written, whether it serves a table or none.
func (a *altered) settle(t *testing.T, token string) {
	t.Helper()
	if status, answer := call(t, "POST", a.URL()+"/v1/wait", token, fmt.Sprintf(`{"lsn":%q,"timeout_ms":20000}`, a.LSN())); status != 200 {
		t.Fatalf("wait: HTTP %d %v", status, answer)
	}
}

// Live queries go on exact while their table is altered; those whose columns
// are gone end with a reason.
func TestAlterTable(t *testing.T) {
	a := startAltered(t, "", itemsConfig)
	c := a.Connect(a.Owner("1"))
	all := c.Open(1, `{"table":"items"}`)
	narrow := c.Open(2, `{"table":"items","columns":["v"]}`)
	filtered := c.Open(3, `{"table":"items","where":[["note","==",""]]}`)
	const now = `SELECT id::text, v::text FROM items WHERE company = 1`
	mustAll := func(t *testing.T, queries ...*apptest.Query) {
		t.Helper()
		a.Wait(c)
		for _, q := range queries {
			if q.Err != nil {
				t.Fatalf("ended: %s", q.Err.Raw)
			}
			mustShow(t, a.Server, q, now)
		}
	}
	for _, sql := range []string{
		`ALTER TABLE items ADD COLUMN extra int DEFAULT 5; UPDATE items SET v = v + 1 WHERE id < 10`,
		`BEGIN; UPDATE items SET v = v + 1 WHERE id < 10; ALTER TABLE items ALTER v TYPE bigint; UPDATE items SET v = v + 1 WHERE id < 20; COMMIT`,
		`ALTER TABLE items DROP COLUMN extra; UPDATE items SET v = v + 1 WHERE id < 10`,
		`ALTER TABLE items ALTER v TYPE numeric(10, 1); UPDATE items SET v = v + 0.5 WHERE id < 10`,
		`ALTER TABLE items ALTER v TYPE int; INSERT INTO items VALUES (500, 1, 3)`,
		`ALTER TABLE items ADD COLUMN w int; ALTER TABLE items DROP COLUMN w; DELETE FROM items WHERE id = 500`,
		`BEGIN; ALTER TABLE items RENAME COLUMN v TO w; ALTER TABLE items RENAME COLUMN w TO v; UPDATE items SET v = v + 1 WHERE id < 10; COMMIT`,
		`TRUNCATE items; INSERT INTO items SELECT g, 1 + g % 2, g FROM generate_series(1, 50) g`,
	} {
		a.step(t, sql)
		mustAll(t, all, narrow, filtered)
	}
	a.step(t, `ALTER TABLE items RENAME COLUMN note TO remark; UPDATE items SET v = v + 1 WHERE id < 10`)
	mustAll(t, all, narrow)
	if e := filtered.Err; e == nil || e.Code != "failed-precondition" || !strings.Contains(e.Message, "note") {
		t.Errorf("the query whose column is gone: %v", e)
	}
	if row := anyRow(all); row["remark"] == nil {
		t.Errorf("rows are %v", row)
	}
	a.step(t, `ALTER TABLE items DROP COLUMN v; UPDATE items SET remark = 'x' WHERE id < 10`)
	a.Wait(c)
	if e := narrow.Err; e == nil || e.Code != "failed-precondition" {
		t.Errorf("the query whose column is gone: %v", e)
	}
	if all.Err != nil {
		t.Errorf("the query of all columns ended: %s", all.Err.Raw)
	}
}

func anyRow(q *apptest.Query) apptest.Row {
	for _, r := range q.Rows {
		return r
	}
	return nil
}

// A table that no longer fits its mapping stops being served, and only it; once
// mended it is served again.
func TestTableBreaks(t *testing.T) {
	config := strings.Replace(itemsConfig, `columns: "*"`, `columns: [v, note]`, 1)
	a := startAltered(t, "", config)
	c := a.Connect(a.Owner("1"))
	items := c.Open(1, `{"table":"items","columns":["v"]}`)
	for range 2 {
		a.step(t, `ALTER TABLE items RENAME COLUMN note TO remark; UPDATE items SET v = v + 1`)
		a.Wait(c)
		if e := items.Err; e == nil || e.Code != "failed-precondition" {
			t.Fatalf("the query of the broken table: %v", e)
		}
		c.Subscribe(2, `{"table":"items","columns":["v"]}`)
		mustRefuse(t, c, 2, "failed-precondition", "items")
		if status, answer := call(t, "GET", a.URL()+"/readyz", "", ""); status != 503 {
			t.Errorf("/readyz: HTTP %d %v", status, answer)
		}
		a.step(t, `ALTER TABLE items RENAME COLUMN remark TO note; UPDATE items SET v = v + 1`)
		a.Wait(c)
		c.Forget(1)
		items = c.Open(1, `{"table":"items","columns":["v"]}`)
		mustShow(t, a.Server, items, `SELECT id::text, v::text FROM items WHERE company = 1`)
		a.step(t, `UPDATE items SET v = v + 1`)
		a.Wait(c)
		mustShow(t, a.Server, items, `SELECT id::text, v::text FROM items WHERE company = 1`)
		if status, answer := call(t, "GET", a.URL()+"/readyz", "", ""); status != 200 {
			t.Errorf("/readyz: HTTP %d %v", status, answer)
		}
	}
}

// Without the table that says who the users are nobody's rights are known:
// connections end, none are taken, and once it is mended all is served again.
func TestUserTableBreaks(t *testing.T) {
	config := strings.Replace(itemsConfig, "tables:\n", "users: [{table: items, match: {login: id}, attributes: {word: note}}]\ntables:\n", 1)
	a := startAltered(t, `ALTER TABLE items ADD COLUMN login text;`, config)
	token := a.Owner("1")
	a.Exec(`ALTER TABLE items RENAME COLUMN note TO remark; UPDATE items SET v = v + 1; UPDATE others SET v = v + 1`)
	code, frames := a.other.ReadClose()
	if code != 4001 {
		t.Errorf("closed with %d, want 4001", code)
	}
	for _, f := range frames {
		if f.Type != "error" || f.Code != "failed-precondition" {
			t.Errorf("got %s", f)
		}
	}
	a.settle(t, token)
	refused := apptest.Dial(t, a.WS())
	refused.Send(`{"type":"auth","token":%q}`, token)
	mustRefuse(t, refused, 0, "unavailable")
	a.Exec(`ALTER TABLE items RENAME COLUMN remark TO note; UPDATE items SET v = v + 1`)
	a.settle(t, token)
	a.other = a.Connect(token)
	a.others = a.other.Open(1, `{"table":"others"}`)
	a.step(t, `UPDATE items SET v = v + 1`)
}

// A mapped table is dropped, and made again.
func TestDropTable(t *testing.T) {
	a := startAltered(t, "", itemsConfig)
	c := a.Connect(a.Owner("1"))
	c.Open(1, `{"table":"items"}`)
	a.step(t, `DROP TABLE items`)
	c.Subscribe(2, `{"table":"items","where":[["v","==",0]]}`)
	for ended := 0; ended < 2; ended++ {
		if f := c.Read(); f.Type != "error" || f.Code != "failed-precondition" || f.ID == 0 {
			t.Fatalf("got %s", f.Raw)
		}
	}
	role := strings.Split(strings.TrimPrefix(a.Config.DatabaseURL.Reveal(), "postgres://"), ":")[0]
	a.step(t, `CREATE TABLE items (id int PRIMARY KEY, company int NOT NULL, v int NOT NULL, note text);
		ALTER TABLE items REPLICA IDENTITY FULL; ALTER PUBLICATION walwire ADD TABLE items; GRANT SELECT ON items TO `+role+`;
		INSERT INTO items VALUES (1, 1, 7, 'new')`)
	a.Wait(c)
	q := openAgain(c, 3, `{"table":"items"}`)
	a.step(t, `UPDATE items SET v = v + 1`)
	a.Wait(c)
	mustShow(t, a.Server, q, `SELECT id::text, v::text FROM items WHERE company = 1`)
}

// openAgain subscribes until the table is served, which is once the transactions that
// were open when it joined the publication have ended.
func openAgain(c *apptest.Client, id int, query string) *apptest.Query {
	for {
		q := c.Subscribe(id, query)
		for !q.Loaded && q.Err == nil {
			c.Read()
		}
		if q.Loaded {
			return q
		}
		c.Forget(id)
	}
}

// After the schema was read again, connections whose rights come from a row of a
// table that stayed as it was are still accepted.
func TestConnectAfterSchemaChange(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	s.Exec(seed)
	insert(s, 1, companyA, ann, cat, "confirmed")
	s.Exec(`ALTER TABLE appointments ALTER COLUMN notes TYPE varchar`)
	insert(s, 2, companyA, ann, cat, "confirmed")
	s.Wait(s.Connect(s.Owner(companyB)))
	staff := s.Connect(s.Token(apptest.Claims{"sub": "ann", "company_id": companyA, "roles": []string{"staff"}}))
	if q := staff.Open(1, `{"table":"appointments"}`); len(q.Rows) != 2 {
		t.Fatalf("%d rows, want 2", len(q.Rows))
	}
}

// Tables that nobody mapped may be in the publication: their changes don't make
// the schema be read over and over.
func TestForeignTables(t *testing.T) {
	a := startAltered(t, `
CREATE TABLE f1 (id int PRIMARY KEY); CREATE TABLE f2 (id int PRIMARY KEY); ALTER PUBLICATION walwire ADD TABLE f1, f2;`, itemsConfig)
	for range 30 {
		a.step(t, `INSERT INTO f1 SELECT coalesce(max(id), 0) + 1 FROM f1; INSERT INTO f2 SELECT coalesce(max(id), 0) + 1 FROM f2`)
	}
	if n := a.log.count("reading the schema again"); n > 4 {
		t.Errorf("the schema was read %d times for two tables that are not mapped", n)
	}
}

// While nothing is served, for want of the table that says who the users are, others are
// written to: who was away all the time is told of it.
func TestAwayWhileUserTableBreaks(t *testing.T) {
	const query, now = `{"table":"others"}`, `SELECT id::text, v::text FROM others`
	for name, tt := range map[string]struct{ breaks, mends string }{
		"a column":             {`ALTER TABLE items RENAME COLUMN note TO remark`, `ALTER TABLE items RENAME COLUMN remark TO note`},
		"of another company's": {`ALTER TABLE items ALTER company TYPE text`, `ALTER TABLE items ALTER company TYPE int USING company::int`},
	} {
		t.Run(name, func(t *testing.T) {
			config := strings.Replace(itemsConfig, "tables:\n", "users: [{table: items, match: {login: id}, attributes: {word: note}}]\ntables:\n", 1)
			a := startAltered(t, `ALTER TABLE items ADD COLUMN login text;`, config)
			token := a.Owner("1")
			c := a.Connect(token)
			q := c.Open(1, query)
			a.Wait(c)
			c.Close()
			a.Exec(tt.breaks + `; UPDATE items SET v = v + 1`)
			if code, _ := a.other.ReadClose(); code != 4001 {
				t.Fatalf("closed with %d, want 4001", code)
			}
			a.Exec(`UPDATE others SET v = v + 1; INSERT INTO others VALUES (2, 1, 7)`)
			a.settle(t, token)
			a.Exec(tt.mends + `; UPDATE items SET v = v + 1`)
			a.settle(t, token)
			back := a.Connect(token)
			back.Resume(1, query, q, c.Cursor)
			a.Wait(back)
			mustShow(t, a.Server, q, now)
			a.Exec(`UPDATE others SET v = v + 1`)
			a.Wait(back)
			mustShow(t, a.Server, q, now)
		})
	}
}

// A table is renamed, and the configuration names it anew before anybody has looked at
// the catalogue.
func TestTableRenamedAndMappedAnew(t *testing.T) {
	s := apptest.Start(t, apptest.Options{
		Schema: itemsSchema, Config: itemsConfig, Tables: []pgx.Identifier{{"public", "items"}}, Tuning: app.Tuning{CatalogInterval: lookNever},
	})
	c := s.Connect(s.Owner("1"))
	q := c.Open(1, `{"table":"items"}`)
	s.Exec(`ALTER TABLE items RENAME TO purchases`)
	if err := s.Reload(func(c *mapping.Config) {
		items, _ := c.Table("items")
		items.Relation.Name = "purchases"
	}); err != nil {
		t.Fatal(err)
	}
	s.Exec(`UPDATE purchases SET v = v + 1`)
	s.Wait(c)
	mustShow(t, s, q, `SELECT id::text, v::text FROM purchases WHERE company = 1`)
	mustShow(t, s, s.Connect(s.Owner("1")).Open(1, `{"table":"items","columns":["v"]}`), `SELECT id::text, v::text FROM purchases WHERE company = 1`)
}

// The table's last column becomes a generated one of the same type: changes go on to be
// read from the stream.
func TestColumnBecomesGenerated(t *testing.T) {
	sql := ""
	if pgtest.Version(t) >= 180000 { // else the UPDATEs fail
		sql = `ALTER PUBLICATION walwire SET (publish_generated_columns = stored);`
	}
	a := startAltered(t, sql, itemsConfig)
	c := a.Connect(a.Owner("1"))
	q := c.Open(1, `{"table":"items"}`)
	a.step(t, `ALTER TABLE items DROP COLUMN note, ADD COLUMN note text GENERATED ALWAYS AS (v::text) STORED; UPDATE items SET v = v + 1`)
	a.Wait(c)
	before := rereads(t, a.Server)
	for range 5 {
		a.step(t, `UPDATE items SET v = v + 1`)
	}
	a.Wait(c)
	mustShow(t, a.Server, q, `SELECT id::text, v::text FROM items WHERE company = 1`)
	if n := rereads(t, a.Server); n != before {
		t.Errorf("views were read again: %s, before %s", n, before)
	}
}

func rereads(t *testing.T, s *apptest.Server) string {
	t.Helper()
	_, text := callText(t, "GET", s.App.AdminURL()+"/metrics", "", "")
	return regexp.MustCompile(`(?m)^walwire_rereads_total .*$`).FindString(string(text))
}
