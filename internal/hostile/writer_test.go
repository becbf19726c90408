package hostile_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/internal/pgtest"
)

// pace is the time between two commits of a writer.
const pace = 20 * time.Millisecond

// writer commits steadily: the n-th commit inserts a notification called n, and calls
// the head so. Whoever shows both sees commits whole.
type writer struct {
	conn  *pgx.Conn
	phase *atomic.Int32
	quit  chan struct{}
	done  chan error

	mu      sync.Mutex // protects following
	commits []commit   // the n-th at n-1
}

// commit is when one was asked for, and in which phase.
type commit struct {
	at    time.Time
	phase int32
}

func prepareWriter(t *testing.T, url string, phase *atomic.Int32) *writer {
	w := &writer{conn: pgtest.MustConnect(t, url), phase: phase, quit: make(chan struct{}), done: make(chan error, 1)}
	pgtest.MustExec(t, w.conn, `INSERT INTO notifications (company_id, kind, title) VALUES ($1, 'reminder', '0')`, companyH)
	return w
}

func (w *writer) start(t *testing.T) {
	go func() { w.done <- w.run(context.WithoutCancel(t.Context())) }()
}

func (w *writer) run(ctx context.Context) error {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-w.quit:
			return nil
		case <-tick.C:
		}
		if err := w.write(ctx, n); err != nil {
			return fmt.Errorf("commit %d: %w", n, err)
		}
	}
}

func (w *writer) write(ctx context.Context, n int) error {
	tx, err := w.conn.Begin(ctx)
	if err != nil {
		return err
	}
	title := fmt.Sprint(n)
	if _, err := tx.Exec(ctx, `INSERT INTO notifications (company_id, kind, title) VALUES ($1, 'system', $2)`, companyH, title); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE notifications SET title = $2 WHERE company_id = $1 AND kind = 'reminder'`, companyH, title); err != nil {
		return err
	}
	w.mu.Lock()
	w.commits = append(w.commits, commit{time.Now(), w.phase.Load()})
	w.mu.Unlock()
	return tx.Commit(ctx)
}

// commit gives the n-th.
func (w *writer) commit(n int) commit {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.commits[n-1]
}

// stop ends the writing and gives the number of commits that the database has.
func (w *writer) stop(t *testing.T) int {
	close(w.quit)
	if err := <-w.done; err != nil {
		t.Fatalf("write: %v", err)
	}
	var n int
	if err := w.conn.QueryRow(t.Context(), `SELECT count(*) FROM notifications WHERE company_id = $1 AND kind = 'system'`, companyH).Scan(&n); err != nil {
		t.Fatal(err)
	}
	if n == 0 || n != len(w.commits) {
		t.Fatalf("the database has %d commits of %d", n, len(w.commits))
	}
	return n
}
