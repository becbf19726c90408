package stream_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/internal/app"
	"github.com/walwire/walwire/internal/apptest"
)

// cardsSchema is a table with ties and NULLs in what it is ordered by.
const cardsSchema = `
CREATE TABLE cards (id int PRIMARY KEY, company int NOT NULL, board int NOT NULL, rank int, title text COLLATE "en-x-icu" NOT NULL, note text);
ALTER TABLE cards REPLICA IDENTITY FULL;
CREATE PUBLICATION walwire FOR TABLE cards;`

const cardsConfig = `
version: 1
database_url: ${WALWIRE_DATABASE_URL}
listen: ${WALWIRE_LISTEN}
auth: {issuer: "${WALWIRE_ISSUER}", audience: "${WALWIRE_AUDIENCE}", keys: [{id: main, alg: HS256, secret: "${WALWIRE_TOKEN_SECRET}"}]}
user: {claims: {id: sub, company: company_id, roles: roles}}
tables:
  cards: {table: public.cards, company: company, roles: {owner: {rows: true, columns: "*"}, guest: {rows: row.rank != null, columns: [id, title, rank]}}}
`

func startCards(t *testing.T, tuning app.Tuning) *apptest.Server {
	return apptest.Start(t, apptest.Options{Schema: cardsSchema, Tables: []pgx.Identifier{{"public", "cards"}}, Config: cardsConfig, Tuning: tuning})
}

// ordered is an ordered query and the same in SQL, written by hand.
type ordered struct{ query, sql string }

var orderedQueries = []ordered{
	{`{"table":"cards","orderBy":["rank"],"limit":3}`, `ORDER BY rank NULLS FIRST, id LIMIT 3`},
	{`{"table":"cards","orderBy":[["rank","desc"]],"limit":4,"columns":["title"]}`, `ORDER BY rank DESC NULLS LAST, id DESC LIMIT 4`},
	{`{"table":"cards","orderBy":[["rank","asc","nulls-last"],["title","desc"]],"limit":1}`, `ORDER BY rank NULLS LAST, title COLLATE "C" DESC, id DESC LIMIT 1`},
	{`{"table":"cards","orderBy":["title"],"limitToLast":3}`, `ORDER BY title COLLATE "C" DESC, id DESC LIMIT 3`},
	{`{"table":"cards","orderBy":["title","rank"],"limit":40}`, `ORDER BY title COLLATE "C", rank NULLS FIRST, id LIMIT 40`},
	{`{"table":"cards","limit":2,"where":[["board","==",1]]}`, `AND board = 1 ORDER BY id LIMIT 2`},
	{`{"table":"cards","orderBy":[["title","desc"]]}`, `ORDER BY title COLLATE "C" DESC, id DESC`},
	{`{"table":"cards","orderBy":["rank"],"startAfter":[2],"endAt":[5],"limit":3}`, `AND rank > 2 AND rank <= 5 ORDER BY rank, id LIMIT 3`},
	{`{"table":"cards","orderBy":["rank"],"startAt":[null],"endBefore":[3]}`, `AND (rank < 3 OR rank IS NULL) ORDER BY rank NULLS FIRST, id`},
	{`{"table":"cards","orderBy":["title",["rank","desc"]],"startAt":["b",4],"limitToLast":2}`,
		`AND (title COLLATE "C" > 'b' OR title = 'b' AND (rank <= 4 OR rank IS NULL)) ORDER BY title COLLATE "C" DESC, rank NULLS FIRST, id LIMIT 2`},
	{`{"table":"cards","where":[["board","!=",1]]}`, `AND board <> 1 ORDER BY id`},
}

// expected are the ids and notes that PostgreSQL gives for the query, in order.
func (o *ordered) expected(s *apptest.Server, company int) []string {
	s.TB.Helper()
	rows, _ := s.DB.Query(s.TB.Context(), fmt.Sprintf(`SELECT id || coalesce(note, '') FROM cards WHERE company = %d %s`, company, o.sql))
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		s.TB.Fatalf("%s: %v", o.sql, err)
	}
	if strings.Contains(o.query, "limitToLast") {
		slices.Reverse(ids)
	}
	return ids
}

// shown are the ids and notes that a client shows.
func (o *ordered) shown(q *apptest.Query) []string {
	rows := q.Sorted()
	if len(q.Order) == 0 {
		slices.SortFunc(rows, func(a, b apptest.Row) int { return int(number(a["id"]) - number(b["id"])) })
	}
	ids := make([]string, len(rows))
	for i, r := range rows {
		note, _ := r["note"].(string)
		ids[i] = fmt.Sprint(r["id"], note)
	}
	return ids
}

func number(v any) int64 { n, _ := v.(json.Number).Int64(); return n }

// mustMatch compares what a client shows with PostgreSQL. A query whose columns
// leave out note is compared by id alone.
func (o *ordered) mustMatch(s *apptest.Server, q *apptest.Query, company int) {
	s.TB.Helper()
	want, got := o.expected(s, company), o.shown(q)
	if strings.Contains(o.query, "columns") {
		for i := range want {
			want[i] = strings.TrimRight(want[i], "abcdefghijklmnopqrstuvwxyz")
		}
	}
	if !slices.Equal(got, want) {
		s.TB.Fatalf("%s shows\n%v, PostgreSQL has\n%v", o.query, got, want)
	}
}

// cardWriter makes random commits, one statement or several.
type cardWriter struct {
	random *rand.Rand
	most   int // ids
}

func (w *cardWriter) statement() string {
	pick := func(list ...string) string { return list[w.random.IntN(len(list))] }
	id, other := 1+w.random.IntN(w.most), 1+w.random.IntN(w.most)
	rank := pick("NULL", "1", "2", "3", "4", "5", "6")
	title := pick("'a'", "'b'", "'B'", "'ä'", "'Z'", "'z'", "''", "'a b'")
	switch w.random.IntN(12) {
	case 0, 1, 2, 3:
		return fmt.Sprintf(`INSERT INTO cards VALUES (%d, %d, %d, %s, %s, NULL) ON CONFLICT (id) DO UPDATE SET rank = excluded.rank, title = excluded.title`,
			id, 1+w.random.IntN(2), 1+w.random.IntN(2), rank, title)
	case 4, 5:
		return fmt.Sprintf(`UPDATE cards SET rank = %s WHERE id BETWEEN %d AND %d`, rank, id, id+w.random.IntN(6))
	case 6:
		return fmt.Sprintf(`UPDATE cards SET note = '%s' WHERE id = %d`, pick("x", "y", "z"), id)
	case 7:
		return fmt.Sprintf(`UPDATE cards SET company = 3 - company WHERE id = %d`, id)
	case 8:
		return fmt.Sprintf(`UPDATE cards SET id = %d WHERE id = %d AND NOT EXISTS (SELECT FROM cards WHERE id = %d)`, other, id, other)
	case 9:
		return fmt.Sprintf(`DELETE FROM cards WHERE id BETWEEN %d AND %d`, id, id+w.random.IntN(10))
	case 10:
		return fmt.Sprintf(`DELETE FROM cards WHERE id IN (SELECT id FROM cards ORDER BY rank NULLS FIRST, id LIMIT %d)`, w.random.IntN(6))
	}
	return fmt.Sprintf(`UPDATE cards SET title = %s WHERE board = %d AND id %% 3 = %d`, title, 1+w.random.IntN(2), w.random.IntN(3))
}

func (w *cardWriter) commit() string {
	statements := []string{w.statement()}
	for w.random.IntN(2) == 0 {
		statements = append(statements, w.statement())
	}
	if w.random.IntN(80) == 0 {
		statements = append(statements, `TRUNCATE cards`, w.statement())
	}
	return strings.Join(statements, ";")
}

// Windows and orders are those of PostgreSQL at every commit.
func TestWindows(t *testing.T) {
	s := startCards(t, app.Tuning{})
	w := &cardWriter{random: rand.New(rand.NewPCG(7, 7)), most: 90}
	s.Exec(`INSERT INTO cards SELECT n, 1 + n % 2, 1 + n % 3 % 2, nullif(n % 7, 0), chr(97 + n % 26), NULL FROM generate_series(1, 60) n`)
	c := s.Connect(s.Owner("1"))
	queries := make([]*apptest.Query, len(orderedQueries))
	for i := range orderedQueries {
		queries[i] = c.Open(i+1, orderedQueries[i].query)
	}
	for range 400 {
		sql := w.commit()
		s.Exec(sql)
		s.Wait(c)
		for i := range orderedQueries {
			orderedQueries[i].mustMatch(s, queries[i], 1)
		}
	}
}

// A client that comes back again and again has what it would have had by staying,
// whichever queries are open beside its own.
func TestResume(t *testing.T) {
	for name, others := range map[string]bool{"alone": false, "shared": true} {
		t.Run(name, func(t *testing.T) {
			s := startCards(t, app.Tuning{})
			w := &cardWriter{random: rand.New(rand.NewPCG(3, 9)), most: 90}
			s.Exec(`INSERT INTO cards SELECT n, 1 + n % 2, 1 + n % 3 % 2, nullif(n % 7, 0), chr(97 + n % 26), NULL FROM generate_series(1, 60) n`)
			if others {
				beside := s.Connect(s.Owner("1"))
				for i := range orderedQueries {
					beside.Open(i+1, orderedQueries[i].query)
				}
			}
			c := s.Connect(s.Owner("1"))
			queries := make([]*apptest.Query, len(orderedQueries))
			for i := range orderedQueries {
				queries[i] = c.Open(i+1, orderedQueries[i].query)
			}
			for range 60 {
				cursor := c.Cursor
				c.Close()
				for range w.random.IntN(4) {
					s.Exec(w.commit())
				}
				c = s.Connect(s.Owner("1"))
				for i := range orderedQueries {
					c.Resume(i+1, orderedQueries[i].query, queries[i], cursor)
				}
				s.Exec(w.commit())
				s.Wait(c)
				for i := range orderedQueries {
					orderedQueries[i].mustMatch(s, queries[i], 1)
				}
			}
			resumes, resets := 0, 0
			for _, q := range queries {
				resumes, resets = resumes+q.Resumes, resets+q.Resets
			}
			t.Logf("%d resumes, %d resets", resumes, resets)
			if resumes < 9*resets {
				t.Errorf("%d resets beside %d resumes", resets, resumes)
			}
		})
	}
}

// A restart rebuilds the log from the slot: clients go on, filter queries without a
// snapshot.
func TestResumeAfterRestart(t *testing.T) {
	s := startCards(t, app.Tuning{})
	w := &cardWriter{random: rand.New(rand.NewPCG(5, 5)), most: 90}
	s.Exec(`INSERT INTO cards SELECT n, 1 + n % 2, 1 + n % 3 % 2, nullif(n % 7, 0), chr(97 + n % 26), NULL FROM generate_series(1, 60) n`)
	c := s.Connect(s.Owner("1"))
	queries := make([]*apptest.Query, len(orderedQueries))
	for i := range orderedQueries {
		queries[i] = c.Open(i+1, orderedQueries[i].query)
	}
	for range 5 {
		s.Exec(w.statement())
		s.Wait(c)
		cursor := c.Cursor
		c.Close()
		s.Stop()
		s.Exec(w.statement())
		s.Run()
		c = s.Connect(s.Owner("1"))
		for i := range orderedQueries {
			c.Resume(i+1, orderedQueries[i].query, queries[i], cursor)
		}
		s.Exec(w.statement())
		s.Wait(c)
		for i := range orderedQueries {
			orderedQueries[i].mustMatch(s, queries[i], 1)
		}
	}
	for i, q := range queries {
		if q.Resets > 0 {
			t.Errorf("%s was reset %d times", orderedQueries[i].query, q.Resets)
		}
	}
}
