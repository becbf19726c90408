package stream_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/internal/pgtest"
)

// A bank is the items schema used so that every commit keeps a sum: whoever
// shows anything that is not one commit shows another sum. v is the balance of
// an account; company 1 has 100 accounts, all the others are company 2's.
const (
	bankSQL = `
UPDATE items SET v = 1000, company = CASE WHEN id <= 50 THEN 1 ELSE 2 END;
INSERT INTO items SELECT g, 1, 1000, '' FROM generate_series(101, 150) g;`
	bankTotal = 100 * 1000
)

// bankQueries share out company 1's accounts among three live queries.
var bankQueries = []string{
	`{"table":"items","where":[["v","<",500]]}`,
	`{"table":"items","where":[["v",">=",500],["note","==",""]]}`,
	`{"table":"items","where":[["v",">=",500],["note","!=",""]]}`,
}

// teller is a client with all bankQueries. Its methods report with error, for
// use in goroutines.
type teller struct {
	client  *apptest.Client
	queries []*apptest.Query
	frames  int
}

func newTeller(s *apptest.Server) *teller {
	tl := &teller{client: s.Connect(s.Owner("1"))}
	for i, text := range bankQueries {
		tl.queries = append(tl.queries, tl.client.Subscribe(i+1, text))
	}
	return tl
}

// readUntil reads frames until the answer to wait id, and holds each against
// the sum once all queries are there.
func (tl *teller) readUntil(id int) error {
	for {
		f, err := tl.client.TryRead()
		if err != nil {
			return err
		}
		switch {
		case f.Type == "error":
			return fmt.Errorf("error frame: %s", f.Raw)
		case f.Type == "waited" && f.ID == id:
			return nil
		case f.Type == "data":
			tl.frames++
			if err := tl.check(); err != nil {
				return fmt.Errorf("%w after %.1000s", err, f.Raw)
			}
		}
	}
}

func (tl *teller) check() error {
	sum, n := int64(0), 0
	for _, q := range tl.queries {
		if !q.Loaded {
			return nil
		}
		for _, r := range q.Rows {
			v, err := r["v"].(json.Number).Int64()
			if err != nil {
				return err
			}
			sum, n = sum+v, n+1
		}
	}
	if sum != bankTotal || n != 100 {
		return fmt.Errorf("%d accounts hold %d, want 100 with %d", n, sum, bankTotal)
	}
	return nil
}

// transfer is one commit that keeps the sum: money and notes move within
// company 1, now and then an account changes its id, and company 2 is busy too.
func transfer(ctx context.Context, conn *pgx.Conn) error {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }() // after a commit it does nothing
	for range 1 + rand.IntN(3) {
		_, err := tx.Exec(ctx, `WITH pair AS (
				SELECT id, row_number() OVER () AS n FROM (SELECT id FROM items WHERE company = 1 ORDER BY random() LIMIT 2) two)
			UPDATE items SET v = v + CASE WHEN n = 1 THEN $1::int ELSE -$1::int END, note = $2 FROM pair WHERE items.id = pair.id`,
			1+rand.IntN(400), []string{"", "x", "y"}[rand.IntN(3)])
		if err != nil {
			return err
		}
	}
	switch rand.IntN(8) {
	case 0:
		_, err = tx.Exec(ctx, `UPDATE items SET note = repeat('z', 200) WHERE company = 2`)
	case 1: // an account is closed and another opened with what it held
		_, err = tx.Exec(ctx, `WITH gone AS (DELETE FROM items WHERE id = (SELECT max(id) FROM items WHERE company = 1) RETURNING v)
			INSERT INTO items SELECT (SELECT max(id) + 1 FROM items), 1, v, '' FROM gone`)
	case 2:
		_, err = tx.Exec(ctx, `UPDATE items SET note = $1 WHERE company = 1`, []string{"", "x", "y"}[rand.IntN(3)])
	case 3: // an account goes to the other company; another takes its place
		_, err = tx.Exec(ctx, `WITH moved AS (UPDATE items SET company = 2 WHERE id = (SELECT min(id) FROM items WHERE company = 1) RETURNING v, note)
			INSERT INTO items SELECT (SELECT max(id) + 1 FROM items), 1, v, note FROM moved`)
	}
	if err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// runBank lets writers transfer until n commits are made and between has run least times,
// while tellers come, wait for positions and leave. between runs again and again meanwhile.
func runBank(t *testing.T, s *apptest.Server, n, least int, between func() error) {
	t.Helper()
	s.Exec(bankSQL)
	var writers, tellers sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	for range 2 {
		tl := newTeller(s)
		tellers.Go(func() {
			for id := 1; ; id++ {
				select {
				case <-done:
					return
				default:
				}
				if err := tl.client.TrySend([]byte(`{"type":"wait","id":` + fmt.Sprint(id) + `,"lsn":"0/1","timeout_ms":20000}`)); err != nil {
					t.Errorf("send: %v", err)
					return
				}
				if err := tl.readUntil(id); err != nil {
					t.Errorf("teller: %v", err)
					cancel()
					return
				}
			}
		})
	}
	var steps, rounds atomic.Int64
	for range 3 {
		conn := pgtest.MustConnect(t, s.AdminURL)
		writers.Go(func() {
			for ctx.Err() == nil && (steps.Add(1) <= int64(n) || rounds.Load() < int64(least)) {
				if err := transfer(context.Background(), conn); err != nil && !isConflict(err) {
					t.Errorf("transfer: %v", err)
					return
				}
			}
		})
	}
	finished := make(chan struct{})
	go func() { writers.Wait(); close(finished) }()
	for running := true; running && ctx.Err() == nil; {
		select {
		case <-finished:
			running = false
		default:
			if err := between(); err != nil {
				t.Error(err)
				cancel()
			}
			rounds.Add(1)
		}
	}
	writers.Wait()
	close(done)
	tellers.Wait()
	cancel()
}

// balance opens a teller anew and holds it against the sum.
func balance(s *apptest.Server) error {
	tl := newTeller(s)
	defer tl.client.Close()
	tl.client.Send(`{"type":"wait","id":1,"lsn":%q,"timeout_ms":20000}`, s.LSN())
	if err := tl.readUntil(1); err != nil {
		return err
	}
	for i, q := range tl.queries {
		if !q.Loaded {
			return fmt.Errorf("query %d was not there when its wait was answered", i)
		}
	}
	return nil
}
