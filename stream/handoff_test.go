package stream_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/walwire/walwire/internal/app"
	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/internal/pgtest"
)

const itemsSchema = `
CREATE TABLE items (id int PRIMARY KEY, company int NOT NULL, v int NOT NULL, note text NOT NULL DEFAULT '');
ALTER TABLE items REPLICA IDENTITY FULL;
CREATE PUBLICATION walwire FOR TABLE items;
INSERT INTO items SELECT g, 1 + g % 2, 0 FROM generate_series(1, 100) g;`

const itemsConfig = `
version: 1
database_url: ${WALWIRE_DATABASE_URL}
listen: ${WALWIRE_LISTEN}
auth: {issuer: "${WALWIRE_ISSUER}", audience: "${WALWIRE_AUDIENCE}", keys: [{id: main, alg: HS256, secret: "${WALWIRE_TOKEN_SECRET}"}]}
user: {claims: {id: sub, company: company_id, roles: roles}}
tables:
  items: {table: public.items, company: company, roles: {owner: {rows: true, columns: "*"}}}
`

func startItems(t *testing.T) *apptest.Server {
	t.Helper()
	return apptest.Start(t, apptest.Options{
		Schema: itemsSchema, Config: itemsConfig, Tables: []pgx.Identifier{{"public", "items"}},
		Tuning: app.Tuning{WriteTimeout: 15 * time.Minute}, // who has opened its queries does not read while others do
	})
}

// The hand-off from snapshot to stream, under everything that races with it:
// writers that commit with and without waiting for the disk, roll back to
// savepoints, move rows between companies and delete them, and an ALTER TYPE
// that rewrites the table. Every query opened meanwhile ends equal to its SELECT,
// and no frame on the way adds a row twice or removes one that was not there.
func TestHandOff(t *testing.T) {
	s := startItems(t)
	const rounds, openers, opens = 10, 4, 50
	for range rounds {
		ids := new(atomic.Int64)
		stop := startWriters(t, s, 6, ids)
		var wg sync.WaitGroup
		results := make([]*opened, openers)
		for i := range openers {
			wg.Go(func() { results[i] = openMany(t, s, ids, opens) })
		}
		wg.Wait()
		stop()
		if t.Failed() {
			return
		}
		for _, o := range results {
			o.mustEqual(t, s)
		}
	}
	if n := testutil.ToFloat64(s.Hub().Metrics.Mismatches); n != 0 {
		t.Errorf("two live queries disagreed about a row %v times", n)
	}
	t.Logf("%d hand-offs equal to their SELECT", rounds*openers*opens)
}

// opened is one client and the live queries that it opened.
type opened struct {
	client  *apptest.Client
	queries map[int]*apptest.Query
}

// openMany opens queries one after another, each a view of its own. Running in
// its own goroutine, it reports with Errorf.
func openMany(t *testing.T, s *apptest.Server, ids *atomic.Int64, n int) *opened {
	o := &opened{client: s.Connect(s.Owner("1")), queries: make(map[int]*apptest.Query)}
	for range n {
		id := int(ids.Add(1))
		q := o.client.Subscribe(id, fmt.Sprintf(`{"table":"items","where":[["note","!=","never %d"]]}`, id))
		o.queries[id] = q
		for !q.Loaded {
			f, err := o.client.TryRead()
			if err != nil {
				t.Errorf("query %d: %v", id, err)
				return o
			}
			if f.Type == "error" {
				t.Errorf("query %d: %s", id, f.Raw)
				return o
			}
		}
	}
	return o
}

// mustEqual compares every query with the table, once nothing is written.
func (o *opened) mustEqual(t *testing.T, s *apptest.Server) {
	t.Helper()
	s.Wait(o.client)
	var text string
	s.Scan(&text, `SELECT coalesce(json_object_agg(id, v || ' ' || note), '{}')::text FROM items WHERE company = 1`)
	want := make(map[string]string)
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		t.Fatal(err)
	}
	for id, q := range o.queries {
		got := make(map[string]string)
		for _, r := range q.Rows {
			got[fmt.Sprint(r["id"])] = fmt.Sprintf("%v %v", r["v"], r["note"])
		}
		if !maps.Equal(got, want) {
			t.Fatalf("query %d shows %d rows, SELECT gives %d\nshown: %v\nSELECT: %v", id, len(got), len(want), got, want)
		}
	}
	o.client.Close()
}

// startWriters writes until stop, which waits for the last commit.
func startWriters(t *testing.T, s *apptest.Server, n int, opened *atomic.Int64) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	run := func(step func(context.Context, *pgx.Conn) error) {
		conn := pgtest.MustConnect(t, s.AdminURL)
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := step(context.Background(), conn); err != nil && !isConflict(err) {
					t.Errorf("write: %v", err)
					return
				}
			}
		})
	}
	// So many commits for each opened query: clients on a slow machine would else be
	// further behind with each.
	commits := new(atomic.Int64)
	for range n {
		run(func(ctx context.Context, conn *pgx.Conn) error {
			if commits.Add(1) > 40*(opened.Load()+10) {
				commits.Add(-1)
				_, err := conn.Exec(ctx, `SELECT pg_sleep(0.002)`)
				return err
			}
			return writeItems(ctx, conn)
		})
	}
	// The last leaves the column's type as it is, so that only the lock protects a
	// snapshot from it. The others begin all queries anew: one ALTER for some opened
	// queries, however fast the machine is.
	alters, next := []string{"v TYPE bigint", "v TYPE int", "note TYPE text USING note || ''"}, 0
	run(func(ctx context.Context, conn *pgx.Conn) error {
		if opened.Load() < int64(next*25) {
			_, err := conn.Exec(ctx, `SELECT pg_sleep(0.01)`)
			return err
		}
		next++
		_, err := conn.Exec(ctx, `SET lock_timeout = '1s'; ALTER TABLE items ALTER `+alters[next%len(alters)])
		return err
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

// isConflict reports what writers that get in each other's way are told.
func isConflict(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	switch pg.Code {
	case "40P01", "40001", "23505", "55P03": // deadlock, serialization, key exists, lock_timeout
		return true
	}
	return false
}

// writeItems is one transaction.
func writeItems(ctx context.Context, conn *pgx.Conn) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }() // after a commit it does nothing
	mode := []string{"on", "off", "local"}[rand.IntN(3)]
	if _, err := tx.Exec(ctx, "SET LOCAL synchronous_commit = "+mode); err != nil {
		return err
	}
	for range 1 + rand.IntN(3) {
		if err := writeItem(ctx, tx); err != nil {
			return err
		}
	}
	if rand.IntN(3) == 0 {
		if err := writeAndTakeBack(ctx, tx); err != nil {
			return err
		}
	}
	return tx.Commit(ctx)
}

func writeAndTakeBack(ctx context.Context, tx pgx.Tx) error {
	sub, err := tx.Begin(ctx) // a savepoint
	if err != nil {
		return err
	}
	if err := writeItem(ctx, sub); err != nil {
		return err
	}
	if rand.IntN(2) == 0 {
		return sub.Rollback(ctx)
	}
	return sub.Commit(ctx)
}

func writeItem(ctx context.Context, tx pgx.Tx) error {
	id, other := 1+rand.IntN(100), 1+rand.IntN(100)
	note := fmt.Sprint(time.Now().UnixNano())
	var err error
	switch rand.IntN(6) {
	case 0:
		_, err = tx.Exec(ctx, `DELETE FROM items WHERE id = $1`, id)
	case 1:
		_, err = tx.Exec(ctx, `INSERT INTO items VALUES ($1, $2, 0, $3) ON CONFLICT (id) DO UPDATE SET note = EXCLUDED.note`, id, 1+rand.IntN(2), note)
	case 2:
		_, err = tx.Exec(ctx, `UPDATE items SET company = 3 - company WHERE id = $1`, id)
	case 3:
		_, err = tx.Exec(ctx, `UPDATE items SET id = $2 WHERE id = $1 AND NOT EXISTS (SELECT FROM items WHERE id = $2)`, id, other)
	default:
		_, err = tx.Exec(ctx, `UPDATE items SET v = v + 1, note = $2 WHERE id = $1`, id, note)
	}
	return err
}
