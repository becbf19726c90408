package stream_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/mapping"
)

const twoSchema = `
CREATE TABLE deals (id int PRIMARY KEY, company int NOT NULL, buyer int NOT NULL, v int NOT NULL, secret text NOT NULL);
CREATE TABLE deals2 (LIKE deals INCLUDING ALL);
ALTER TABLE deals REPLICA IDENTITY FULL;
ALTER TABLE deals2 REPLICA IDENTITY FULL;
CREATE PUBLICATION walwire FOR TABLE deals, deals2;
INSERT INTO deals SELECT g, 1 + g % 2, 1 + g % 3, g % 5, 's' || g FROM generate_series(1, 30) g;
INSERT INTO deals2 SELECT id, company, buyer, v + 100, secret FROM deals;`

const twoConfig = `  deals:
    table: public.deals
    company: company
    roles:
      owner: {rows: true, columns: "*"}
      guest: {rows: row.v >= 1, columns: [v, secret]}
`

// The configuration changes between two runs of the server. Clients that come back
// with the cursor and token of before get what is theirs now, and nothing else; a
// query that it did not touch goes on without a snapshot.
func TestLifeConfig(t *testing.T) {
	const owner, guest = `{"table":"deals"}`, `{"table":"deals","columns":["v"]}`
	const wide = `{"table":"deals","columns":["v","secret"]}`
	window := `{"table":"deals","columns":["v"],"orderBy":[["v","desc"]],"limit":5}`
	table := func(edit func(*mapping.TableConfig)) func(*mapping.Config) {
		return func(c *mapping.Config) { edit(&c.Tables[0]) }
	}
	parse := func(text string) mapping.TableConfig {
		head := strings.Replace(lifeHead, "${WALWIRE_LISTEN}", "127.0.0.1:0", 1)
		cfg, err := mapping.Parse("test.yaml", []byte(head+text), func(string) (string, bool) { return "postgres://a long secret of any kind", true })
		if err != nil {
			t.Fatal(err)
		}
		return cfg.Tables[0]
	}
	edited := func(old, new string) func(*mapping.Config) {
		return table(func(tc *mapping.TableConfig) { *tc = parse(strings.Replace(twoConfig, old, new, 1)) })
	}
	const ownerNow, guestNow = `SELECT id || '|' || v FROM deals WHERE company = 1`, `SELECT id || '|' || v FROM deals WHERE company = 1 AND v >= 1`
	for name, c := range map[string]struct {
		edit             func(*mapping.Config)
		role, query, sql string
		resumed, refused bool
	}{
		"nothing":                     {edit: func(*mapping.Config) {}, role: "owner", query: owner, sql: ownerNow, resumed: true},
		"nothing, a window":           {edit: func(*mapping.Config) {}, role: "guest", query: window, sql: guestNow + ` ORDER BY v DESC, id DESC LIMIT 5`, resumed: true},
		"another role's rule":         {edit: edited("row.v >= 1", "row.v >= 3"), role: "owner", query: owner, sql: ownerNow, resumed: true},
		"rule narrowed":               {edit: edited("row.v >= 1", "row.v >= 3"), role: "guest", query: guest, sql: guestNow + ` AND v >= 3`},
		"rule narrowed, a window":     {edit: edited("row.v >= 1", "row.v >= 1 && row.v < 4"), role: "guest", query: window, sql: guestNow + ` AND v < 4 ORDER BY v DESC, id DESC LIMIT 5`},
		"column taken":                {edit: edited("[v, secret]", "[v]"), role: "guest", query: `{"table":"deals"}`, sql: guestNow},
		"column that was asked for":   {edit: edited("[v, secret]", "[v]"), role: "guest", query: wide, refused: true},
		"column given":                {edit: edited("[v, secret]", "[v, secret, buyer]"), role: "guest", query: guest, sql: guestNow, resumed: true},
		"role taken":                  {edit: edited("guest:", "visitor:"), role: "guest", query: guest, refused: true},
		"company's column":            {edit: edited("company: company", "company: buyer"), role: "owner", query: owner, sql: `SELECT id || '|' || v FROM deals WHERE buyer = 1`},
		"company's column, a window":  {edit: edited("company: company", "company: buyer"), role: "guest", query: window, sql: `SELECT id || '|' || v FROM deals WHERE buyer = 1 AND v >= 1 ORDER BY v DESC, id DESC LIMIT 5`},
		"another table of that name":  {edit: edited("public.deals", "public.deals2"), role: "owner", query: owner, sql: `SELECT id || '|' || v FROM deals2 WHERE company = 1`},
		"table of another name":       {edit: edited("  deals:", "  bargains:"), role: "owner", query: owner, refused: true},
		"another key for the cursors": {edit: func(c *mapping.Config) { c.CursorKey = mapping.NewSecret(strings.Repeat("k", 40)) }, role: "owner", query: owner, sql: ownerNow},
	} {
		t.Run(name, func(t *testing.T) {
			s := apptest.Start(t, lifeOptions(twoSchema, twoConfig, "deals", "deals2"))
			token := s.Token(apptest.Claims{"sub": c.role, "company_id": "1", "roles": []string{c.role}})
			client := s.Connect(token)
			q := client.Open(1, c.query)
			s.Exec(`UPDATE deals SET v = (v + 1) % 6 WHERE id % 2 = 1`)
			s.Wait(client)
			cursor := client.Cursor
			client.Close()
			s.Exec(`UPDATE deals SET v = (v + 1) % 6 WHERE id % 5 = 1`)
			s.Stop()
			s.Exec(`UPDATE deals SET v = (v + 1) % 6, secret = secret || 'x' WHERE id % 3 = 1; DELETE FROM deals WHERE id = 10; UPDATE deals2 SET v = v + 1 WHERE id = 3`)
			c.edit(s.Config)
			s.Run()
			client = s.Connect(token)
			client.Replica.Resume(1, q)
			client.Send(`{"type":"subscribe","id":1,"query":%s,"resume":{"cursor":%q,"token":%q}}`, c.query, cursor, q.Token)
			for q.Waiting && q.Err == nil {
				client.Read()
			}
			if c.refused {
				if q.Err == nil || q.Err.Code != "permission-denied" {
					t.Fatalf("it was answered, not refused: %v", q.Err)
				}
				return
			}
			if q.Err != nil || (q.Resumes == 1) != c.resumed || (q.Resets == 0) != c.resumed {
				t.Fatalf("%d resumes, %d resets, error %v; want resumed: %t", q.Resumes, q.Resets, q.Err, c.resumed)
			}
			if snapshots := testutil.ToFloat64(s.Hub().Metrics.Snapshots); c.resumed && !strings.Contains(c.query, "limit") && snapshots > 0 {
				t.Errorf("%v snapshots were read", snapshots)
			}
			l := &life{Server: s, t: t, queries: []lifeQuery{{c.role, c.query, []string{"id", "v"}, c.sql}}}
			l.mustEqual(0, q, "resumed")
			for _, sql := range []string{`UPDATE deals SET v = (v + 1) % 6, buyer = 1 + buyer % 3`, `DELETE FROM deals WHERE id % 4 = 0; UPDATE deals2 SET v = v - 1`} {
				s.Exec(sql)
				s.Wait(client)
				l.mustEqual(0, q, sql)
			}
			for _, r := range q.Rows {
				if _, shows := r["secret"]; shows && c.role == "guest" {
					t.Fatalf("row %v", r)
				}
			}
		})
	}
}
