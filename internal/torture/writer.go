package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// writer is a backend service: it writes rows that the schema allows, in
// transactions of all kinds. For one goroutine.
type writer struct {
	url     string
	index   int
	r       *rand.Rand
	tables  []*table
	written *atomic.Uint64 // a position that has been committed
	rows    *atomic.Int64  // changed so far, by all writers
	pace    func(rows int64) time.Duration
	noted   func(what string) // that a table was truncated
	conn    *pgx.Conn
	ids     int // of prepared transactions
	windows []*query
	desk    desk
}

// desk works off what is first in one of the windows, a few rows at a time.
type desk struct {
	query   *query
	company int
	left    int // transactions to come
}

// write writes until ctx ends. What it is told by a server in trouble, it lives with.
func (w *writer) write(ctx context.Context) error {
	defer w.disconnect()
	for ctx.Err() == nil {
		err := w.step(ctx)
		if err == nil || ctx.Err() != nil {
			continue
		}
		if !survivable(err) {
			return fmt.Errorf("writer %d: %w", w.index, err)
		}
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || w.conn != nil && w.conn.IsClosed() {
			w.disconnect()
			pause(ctx, 50*time.Millisecond)
		}
	}
	return nil
}

func (w *writer) disconnect() {
	if w.conn != nil {
		end, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = w.conn.Close(end)
		w.conn = nil
	}
}

// survivable says that a statement failed as it may: by another writer or by a fault.
func survivable(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return true // no connection
	}
	switch pg.Code {
	case "40P01", "40001", "23505", "55P03", "57014", // in each other's way
		"57P01", "57P02", "57P03", "53300", // the server ends, starts, or is full
		"23514", "42704", "25P02", "0A000": // no partition now; prepared transaction resolved by the janitor; cached plan
		return true
	}
	return false
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// step is one transaction.
func (w *writer) step(ctx context.Context) error {
	if w.conn == nil {
		if err := w.connect(ctx); err != nil {
			return err
		}
	}
	n, err := w.transaction(ctx)
	if err != nil {
		if !w.conn.IsClosed() {
			_, _ = w.conn.Exec(context.WithoutCancel(ctx), "ROLLBACK")
		}
		return err
	}
	w.rows.Add(n)
	if w.r.IntN(4) == 0 {
		if err := w.notePosition(ctx); err != nil {
			return err
		}
	}
	pause(ctx, w.pace(n))
	return nil
}

func (w *writer) connect(ctx context.Context) (err error) {
	if w.conn, err = pgx.Connect(ctx, w.url); err != nil {
		w.conn = nil
		return err
	}
	_, err = w.conn.Exec(ctx, "SET deadlock_timeout = '20ms'; SET lock_timeout = '2s'; SET statement_timeout = '20s'; SET IntervalStyle = 'iso_8601'")
	return err
}

func (w *writer) notePosition(ctx context.Context) error {
	var text string
	if err := w.conn.QueryRow(ctx, "SELECT pg_current_wal_insert_lsn()::text", pgx.QueryExecModeSimpleProtocol).Scan(&text); err != nil {
		return err
	}
	lsn, err := parseLSN(text)
	for old := w.written.Load(); err == nil && lsn > old && !w.written.CompareAndSwap(old, lsn); {
		old = w.written.Load()
	}
	return err
}

func (w *writer) transaction(ctx context.Context) (rows int64, err error) {
	if w.desk.left == 0 && len(w.windows) > 0 && w.r.IntN(20) == 0 {
		w.desk = desk{query: w.windows[w.r.IntN(len(w.windows))], company: 1 + w.r.IntN(companies), left: 10 + w.r.IntN(40)}
	}
	mode := []string{"on", "off", "local"}[w.r.IntN(3)]
	if err := w.exec(ctx, &rows, "BEGIN; SET LOCAL synchronous_commit = "+mode); err != nil {
		return 0, err
	}
	kind := w.r.IntN(100)
	switch {
	case kind < 3:
		err = w.bulk(ctx, &rows)
	case kind < 5:
		err = w.copyRows(ctx, &rows)
	case kind == 5 && w.r.IntN(8) == 0:
		err = w.truncate(ctx, &rows)
	case w.desk.left > 0 && kind < 60:
		err = w.workOff(ctx, &rows)
	default:
		for n := 1 + w.r.IntN(4); n > 0 && err == nil; n-- {
			err = w.change(ctx, &rows)
		}
	}
	if err == nil && w.r.IntN(4) == 0 {
		err = w.savepoint(ctx, &rows)
	}
	if err != nil {
		return 0, err
	}
	switch {
	case kind >= 96:
		return 0, w.exec(ctx, &rows, "ROLLBACK")
	case kind >= 93:
		return rows, w.prepare(ctx)
	}
	return rows, w.exec(ctx, &rows, "COMMIT")
}

// prepare commits in two phases, with something between them.
func (w *writer) prepare(ctx context.Context) error {
	w.ids++
	var none int64
	name := fmt.Sprintf("'torture %d %d'", w.index, w.ids)
	if err := w.exec(ctx, &none, "PREPARE TRANSACTION "+name); err != nil {
		return err
	}
	pause(ctx, time.Duration(w.r.IntN(40))*time.Millisecond)
	end := "COMMIT"
	if w.r.IntN(4) == 0 {
		end = "ROLLBACK"
	}
	return w.exec(context.WithoutCancel(ctx), &none, end+" PREPARED "+name)
}

// savepoint changes something, and takes it back or not; sometimes very often.
func (w *writer) savepoint(ctx context.Context, rows *int64) error {
	n := 1
	if w.r.IntN(40) == 0 {
		n = 70 // more than a snapshot lists
	}
	for range n {
		if err := w.exec(ctx, rows, "SAVEPOINT s"); err != nil {
			return err
		}
		before := *rows
		if err := w.change(ctx, rows); err != nil {
			return err
		}
		if w.r.IntN(2) == 0 {
			*rows = before
			if err := w.exec(ctx, rows, "ROLLBACK TO SAVEPOINT s"); err != nil {
				return err
			}
		}
		if n > 1 && w.r.IntN(4) > 0 {
			continue
		}
		if err := w.exec(ctx, rows, "RELEASE SAVEPOINT s"); err != nil {
			return err
		}
	}
	return nil
}

// exec runs statements and counts the rows they change.
func (w *writer) exec(ctx context.Context, rows *int64, sql string) error {
	results, err := w.conn.PgConn().Exec(ctx, sql).ReadAll()
	if err != nil {
		return fmt.Errorf("%.200s: %w", sql, err)
	}
	for _, r := range results {
		*rows += r.CommandTag.RowsAffected()
	}
	return nil
}

// table takes the tables in proportion to their rows.
func (w *writer) table() *table {
	total := 0
	for _, t := range w.tables {
		total += t.rows
	}
	n := w.r.IntN(total)
	for _, t := range w.tables {
		if n -= t.rows; n < 0 {
			return t
		}
	}
	return w.tables[0]
}

// keyList is SQL for some keys of a table.
func (w *writer) keyList(t *table, n int) string {
	keys := make([]string, n)
	for i := range keys {
		parts := t.key(w.r, w.r.IntN(t.rows), 1+w.r.IntN(companies))
		for j := range parts {
			parts[j] = t.columns[j].literal(parts[j])
		}
		keys[i] = "(" + strings.Join(parts, ", ") + ")"
	}
	return strings.Join(keys, ", ")
}

func (t *table) keyNames() string { return names(t.columns[:t.keys]) }

func (t *table) columnNames() string { return names(t.columns) }

func names(columns []column) string {
	out := make([]string, len(columns))
	for i := range columns {
		out[i] = columns[i].name
	}
	return strings.Join(out, ", ")
}
