package stream_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/internal/app"
	"github.com/walwire/walwire/internal/apptest"
)

// lifeHead begins the configuration of a life.
const lifeHead = `
version: 1
database_url: ${WALWIRE_DATABASE_URL}
listen: ${WALWIRE_LISTEN}
auth: {issuer: "${WALWIRE_ISSUER}", audience: "${WALWIRE_AUDIENCE}", keys: [{id: main, alg: HS256, secret: "${WALWIRE_TOKEN_SECRET}"}]}
user: {claims: {id: sub, company: company_id, roles: roles}}
tables:
`

// life holds live queries through what happens to a schema: each is open at a
// client that stays, and at one that goes away before a step and comes back after
// it with its cursor.
type life struct {
	*apptest.Server
	t       *testing.T
	queries []lifeQuery
	stays   map[string]*apptest.Client // by role
	shown   []*apptest.Query           // of stays
	away    []*apptest.Query           // of the one that comes back
	cursors map[string]string          // by role
}

// lifeQuery is a live query, and its rows as text in SQL: the columns named,
// joined by a bar. Where the query is ordered, the SQL is too.
type lifeQuery struct {
	role, query string
	columns     []string
	sql         string
}

func startLife(t *testing.T, o apptest.Options, queries []lifeQuery) *life {
	t.Helper()
	l := &life{Server: apptest.Start(t, o), t: t, queries: queries}
	l.open()
	return l
}

// open connects both clients.
func (l *life) open() {
	l.t.Helper()
	l.stays, l.shown = l.connect(nil)
	leaves, away := l.connect(nil)
	l.away = away
	l.leave(leaves)
	for i, q := range l.shown {
		l.mustEqual(i, q, "when it was opened")
	}
}

func lifeTable(tables ...string) []pgx.Identifier {
	var ids []pgx.Identifier
	for _, t := range tables {
		ids = append(ids, pgx.Identifier{"public", t})
	}
	return ids
}

func lifeOptions(schema, config string, tables ...string) apptest.Options {
	return apptest.Options{Schema: schema, Config: lifeHead + config, Tables: lifeTable(tables...), Tuning: app.Tuning{CatalogInterval: lookOften}}
}

// connect opens every query, or resumes those of before.
func (l *life) connect(before []*apptest.Query) (map[string]*apptest.Client, []*apptest.Query) {
	l.t.Helper()
	clients := make(map[string]*apptest.Client)
	queries := make([]*apptest.Query, len(l.queries))
	for i, q := range l.queries {
		c := clients[q.role]
		if c == nil {
			c = l.Connect(l.Token(apptest.Claims{"sub": q.role, "company_id": "1", "roles": []string{q.role}}))
			clients[q.role] = c
		}
		if before == nil {
			queries[i] = c.Open(i+1, q.query)
		} else {
			queries[i] = before[i]
			c.Resume(i+1, q.query, before[i], l.cursors[q.role])
		}
	}
	return clients, queries
}

func (l *life) leave(clients map[string]*apptest.Client) {
	l.cursors = make(map[string]string)
	for role, c := range clients {
		l.Wait(c)
		l.cursors[role] = c.Cursor
		c.Close()
	}
}

// step makes commits, and wants every query exact at the last: that of the
// client that stayed, of the one that comes back, and of a new one.
func (l *life) step(sql ...string) { l.t.Helper(); l.take(false, sql) }

// silent is step for SQL that changes rows without saying so in the stream: they
// are exact once the catalogue has been looked at.
func (l *life) silent(sql ...string) { l.t.Helper(); l.take(true, sql) }

func (l *life) take(later bool, commits []string) {
	l.t.Helper()
	for _, sql := range commits {
		l.Exec(sql)
	}
	l.settle(strings.Join(commits, " -- "), later)
}

// settle wants every query exact.
func (l *life) settle(after string, later bool) {
	l.t.Helper()
	l.check(l.stays, l.shown, after+" (stayed)", later)
	back, queries := l.connect(l.away)
	l.check(back, queries, after+" (came back)", later)
	fresh, opened := l.connect(nil)
	l.check(fresh, opened, after+" (new)", later)
	for _, c := range fresh {
		c.Close()
	}
	l.leave(back)
}

func (l *life) check(clients map[string]*apptest.Client, queries []*apptest.Query, what string, later bool) {
	l.t.Helper()
	for _, c := range clients {
		l.Wait(c)
	}
	for i, q := range queries {
		for later && !slices.Equal(l.lines(i, q), l.expected(i)) {
			clients[l.queries[i].role].Read()
		}
		l.mustEqual(i, q, what)
	}
}

func (l *life) mustEqual(i int, q *apptest.Query, what string) {
	l.t.Helper()
	if q.Err != nil {
		l.t.Fatalf("%s %s: ended: %s", what, l.queries[i].query, q.Err)
	}
	if got, want := l.lines(i, q), l.expected(i); !slices.Equal(got, want) {
		l.t.Fatalf("%s: %s shows\n%v, PostgreSQL has\n%v", what, l.queries[i].query, got, want)
	}
}

func (l *life) expected(i int) []string {
	l.t.Helper()
	rows, _ := l.DB.Query(l.t.Context(), l.queries[i].sql)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		l.t.Fatalf("%s: %v", l.queries[i].sql, err)
	}
	if !l.queries[i].ordered() {
		slices.Sort(lines)
	}
	return lines
}

func (q *lifeQuery) ordered() bool { return strings.Contains(q.query, "orderBy") }

func (l *life) lines(i int, q *apptest.Query) []string {
	spec := &l.queries[i]
	lines := []string{}
	for _, r := range q.Sorted() {
		lines = append(lines, line(r, spec.columns))
	}
	if !spec.ordered() {
		slices.Sort(lines)
	}
	return lines
}

// line is a row as a lifeQuery's SQL gives it.
func line(r apptest.Row, columns []string) string {
	values := make([]string, len(columns))
	for i, c := range columns {
		switch v := r[c].(type) {
		case nil:
			values[i] = "null"
		case string:
			values[i] = v
		case json.Number:
			values[i] = v.String()
		default:
			text, _ := json.Marshal(v)
			values[i] = string(text)
		}
	}
	return strings.Join(values, "|")
}

// counts are how often the client that comes back went on, and how often it began anew.
func (l *life) counts() (resumes, resets int) {
	for _, q := range l.away {
		resumes, resets = resumes+q.Resumes, resets+q.Resets
	}
	return resumes, resets
}

// mustEnd wants query i of the client that stays to have ended, and no other.
func (l *life) mustEnd(i int, code, message string) {
	l.t.Helper()
	for _, c := range l.stays {
		l.Wait(c)
	}
	for l.shown[i].Err == nil {
		l.stays[l.queries[i].role].Read()
	}
	if e := l.shown[i].Err; e.Code != code || !strings.Contains(e.Message, message) {
		l.t.Fatalf("%s ended with %s, want %s about %q", l.queries[i].query, e, code, message)
	}
	l.forget(i)
}

// forget goes on without query i.
func (l *life) forget(i int) {
	l.queries = slices.Delete(slices.Clone(l.queries), i, i+1)
	l.shown = slices.Delete(slices.Clone(l.shown), i, i+1)
	l.away = slices.Delete(slices.Clone(l.away), i, i+1)
}
