package faults_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/mapping"
)

const (
	companies = 4
	groups    = 25 // of a company
)

const itemsSchema = `
CREATE TABLE items (id int PRIMARY KEY, company int NOT NULL, grp int NOT NULL, v int NOT NULL, note text NOT NULL DEFAULT '');
CREATE INDEX ON items (company, grp);
ALTER TABLE items REPLICA IDENTITY FULL;
CREATE TABLE elsewhere (id bigint GENERATED ALWAYS AS IDENTITY, note text);
CREATE PUBLICATION walwire FOR TABLE items;
INSERT INTO items SELECT n, 1 + n % 4, n / 4 % 25, 0, 'first' FROM generate_series(1, 2000) n;`

const itemsConfig = `
version: 1
database_url: ${WALWIRE_DATABASE_URL}
listen: ${WALWIRE_LISTEN}
auth: {issuer: "${WALWIRE_ISSUER}", audience: "${WALWIRE_AUDIENCE}", keys: [{id: main, alg: HS256, secret: "${WALWIRE_TOKEN_SECRET}"}]}
user: {claims: {id: sub, company: company_id, roles: roles}}
tables:
  items: {table: public.items, company: company, roles: {owner: {rows: true, columns: "*"}}}
`

// itemsOptions are a server of items in the database at adminURL, "" for one of
// the shared cluster.
func itemsOptions(adminURL string, edit func(*mapping.Config)) apptest.Options {
	return apptest.Options{
		AdminURL: adminURL, Schema: itemsSchema, Config: itemsConfig, Tables: []pgx.Identifier{{"public", "items"}}, Edit: edit,
	}
}

// quickStatus makes the walsender of c be told every second what it may forget.
func quickStatus(c *mapping.Config) {
	c.DatabaseURL = mapping.NewSecret(c.DatabaseURL.Reveal() + "&options=-c%20wal_sender_timeout%3D3s")
}

// live is a live query and the same in SQL.
type live struct{ query, sql string }

// filter is the rows of a group, window the first of them by v.
func filter(group int) live {
	return live{fmt.Sprintf(`{"table":"items","where":[["grp","==",%d]]}`, group), fmt.Sprintf(`AND grp = %d ORDER BY id`, group)}
}

func window(group, limit int) live {
	return live{fmt.Sprintf(`{"table":"items","where":[["grp","==",%d]],"orderBy":[["v","desc"]],"limit":%d}`, group, limit),
		fmt.Sprintf(`AND grp = %d ORDER BY v DESC, id DESC LIMIT %d`, group, limit)}
}

func everything() live { return live{`{"table":"items"}`, `ORDER BY id`} }

// expected are the rows that PostgreSQL gives.
func (l live) expected(s *apptest.Server, company int) string {
	s.TB.Helper()
	var text string
	s.Scan(&text, fmt.Sprintf(`SELECT coalesce(string_agg(concat_ws(' ', id, grp, v, note), E'\n'), '')
		FROM (SELECT * FROM items WHERE company = %d %s) r`, company, l.sql))
	return text
}

// writers change items until they are stopped. A connection that ends is made again.
type writers struct {
	commits atomic.Int64
	ctx     context.Context
	cancel  context.CancelFunc
	group   sync.WaitGroup
}

func startWriters(t *testing.T, url string, n int, pace time.Duration) *writers {
	t.Helper()
	w := &writers{}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	for i := range n {
		w.group.Go(func() { w.run(url, rand.New(rand.NewPCG(uint64(i), 7)), pace) })
	}
	t.Cleanup(w.stop)
	return w
}

// stop ends the writers and waits for their last commits.
func (w *writers) stop() {
	w.cancel()
	w.group.Wait()
}

// more waits for so many commits from now on.
func (w *writers) more(t *testing.T, n int64) {
	t.Helper()
	until := w.commits.Load() + n
	await(t, fmt.Sprintf("%d commits", n), func() bool { return w.commits.Load() >= until })
}

func (w *writers) run(url string, random *rand.Rand, pace time.Duration) {
	ctx := context.Background() // a statement given up could still commit
	for w.ctx.Err() == nil {
		conn, err := pgx.Connect(ctx, url)
		for err == nil && w.ctx.Err() == nil {
			if err = w.write(ctx, conn, random); err == nil || isConflict(err) {
				err = nil
				w.commits.Add(1)
			}
			pause(w.ctx, pace)
		}
		if conn != nil {
			_ = conn.Close(ctx)
		}
		pause(w.ctx, 5*time.Millisecond) // the server is on its way
	}
}

func (w *writers) write(ctx context.Context, conn *pgx.Conn, random *rand.Rand) error {
	var sql strings.Builder
	fmt.Fprintf(&sql, "SET synchronous_commit = %s;", []string{"on", "off", "local"}[random.IntN(3)])
	for range 1 + random.IntN(3) {
		id := 1 + random.IntN(2000)
		switch random.IntN(8) {
		case 0:
			fmt.Fprintf(&sql, "DELETE FROM items WHERE id = %d;", id)
		case 1, 2:
			fmt.Fprintf(&sql, "INSERT INTO items VALUES (%d, %d, %d, %d, 'new') ON CONFLICT (id) DO UPDATE SET v = items.v + 1;",
				id, 1+random.IntN(companies), random.IntN(groups), random.IntN(1000))
		case 3:
			fmt.Fprintf(&sql, "UPDATE items SET grp = %d WHERE id = %d;", random.IntN(groups), id)
		case 4:
			fmt.Fprintf(&sql, "UPDATE items SET company = %d WHERE id = %d;", 1+random.IntN(companies), id)
		default:
			fmt.Fprintf(&sql, "UPDATE items SET v = %d, note = '%x' WHERE id = %d;", random.IntN(1000), random.Uint32(), id)
		}
	}
	_, err := conn.Exec(ctx, sql.String())
	return err
}

// isConflict reports what writers that get in each other's way are told.
func isConflict(err error) bool {
	pg, ok := err.(*pgconn.PgError)
	return ok && (pg.Code == "40P01" || pg.Code == "40001" || pg.Code == "23505")
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// await polls until ok holds.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	awaitFor(t, 60*time.Second, what, ok)
}

func awaitFor(t testing.TB, patience time.Duration, what string, ok func() bool) {
	t.Helper()
	for begun := time.Now(); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Since(begun) > patience {
			t.Fatalf("waited %s for %s", patience, what)
		}
	}
}
