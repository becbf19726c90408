package stream_test

import (
	"testing"

	"github.com/walwire/walwire/internal/apptest"
)

// What changes rows without a change in the stream is seen in the catalogue, and
// only the difference is sent.
func TestCatalogChanges(t *testing.T) {
	s := startItems(t)
	c := s.Connect(s.Owner("1"))
	q := c.Open(1, `{"table":"items"}`)
	rows := len(q.Rows)
	// next reads the frames that come by themselves, until the query shows note in
	// every row.
	all := func(note string) {
		t.Helper()
		for {
			f := c.Read()
			if f.Type == "error" {
				t.Fatalf("got %s", f.Raw)
			}
			same := 0
			for _, r := range q.Rows {
				if r["note"] == note {
					same++
				}
			}
			if same == rows {
				return
			}
		}
	}
	t.Run("a rewrite that sends no rows", func(t *testing.T) {
		s.Exec(`ALTER TABLE items ALTER note TYPE text USING 'rewritten'`)
		all("rewritten")
	})
	t.Run("a column dropped and added again", func(t *testing.T) {
		s.Exec(`ALTER TABLE items DROP COLUMN note, ADD COLUMN note text NOT NULL DEFAULT 'new'`)
		all("new")
	})
	t.Run("a table that leaves the publication", func(t *testing.T) {
		s.Exec(`ALTER PUBLICATION walwire DROP TABLE items`)
		f := c.Read()
		if f.Type != "error" || f.ID != 1 || f.Code != "failed-precondition" {
			t.Fatalf("got %s", f.Raw)
		}
		s.Exec(`UPDATE items SET note = 'unseen'`)
		s.Exec(`ALTER PUBLICATION walwire ADD TABLE items`)
		mustServeAgain(t, s, c, "unseen")
	})
	t.Run("a table made anew", func(t *testing.T) {
		s.Exec(`BEGIN; ALTER TABLE items RENAME TO items_old;
			CREATE TABLE items (LIKE items_old INCLUDING ALL); ALTER TABLE items REPLICA IDENTITY FULL; GRANT SELECT ON items TO PUBLIC;
			INSERT INTO items (id, company, v, note) VALUES (1, 1, 1, 'made anew'); COMMIT`)
		mustFail(t, c, 2)
		s.Exec(`ALTER PUBLICATION walwire ADD TABLE items`)
		mustServeAgain(t, s, c, "made anew")
		s.Exec(`UPDATE items SET note = 'followed'`)
		if u := mustFrame(t, c.Read(), 0, 1, 0); u.Modified[0]["note"] != "followed" {
			t.Fatalf("frame %v", u)
		}
	})
}

// A key that is dropped, and rows that may no longer be read, end live queries.
func TestCatalogEnds(t *testing.T) {
	for name, sql := range map[string]string{
		"key":                `ALTER TABLE items DROP CONSTRAINT items_pkey`,
		"row-level security": `ALTER TABLE items ENABLE ROW LEVEL SECURITY`,
	} {
		t.Run(name, func(t *testing.T) {
			s := startItems(t)
			c := s.Connect(s.Owner("1"))
			c.Open(1, `{"table":"items"}`)
			s.Exec(sql)
			mustFail(t, c, 1)
		})
	}
}

// mustServeAgain subscribes until the table is served, then wants note in all rows.
func mustServeAgain(t *testing.T, s *apptest.Server, c *apptest.Client, note string) {
	t.Helper()
	for {
		q := c.Subscribe(2, `{"table":"items"}`)
		f := c.Read()
		if f.Type == "error" {
			if f.Code != "failed-precondition" && f.Code != "permission-denied" {
				t.Fatalf("got %s", f.Raw)
			}
			continue
		}
		for _, r := range q.Rows {
			if r["note"] != note {
				t.Fatalf("row %v, want note %q", r, note)
			}
		}
		return
	}
}

// mustFail reads until subscription id has ended with failed-precondition.
func mustFail(t *testing.T, c *apptest.Client, id int) {
	t.Helper()
	for {
		f := c.Read()
		if f.Type == "error" && f.ID == id {
			if f.Code != "failed-precondition" {
				t.Fatalf("got %s", f.Raw)
			}
			return
		}
	}
}
