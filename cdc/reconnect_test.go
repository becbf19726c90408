package cdc

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/internal/pgserver"
	"github.com/walwire/walwire/internal/pgtest"
)

// series writes rising ids to t, one commit each or many, until stopped; it
// connects again when the server goes away.
type series struct {
	written  atomic.Int64 // ids below it were asked for
	stopping atomic.Bool
	ended    chan struct{}
}

func newSeries(t *testing.T, url string) *series {
	t.Helper()
	s := &series{ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		ctx := context.Background() // a statement given up could still commit
		for !s.stopping.Load() {
			conn, err := pgx.Connect(ctx, url)
			if err != nil {
				time.Sleep(5 * time.Millisecond) // the server is on its way
				continue
			}
			s.write(ctx, conn)
			_ = conn.Close(ctx)
		}
	}()
	t.Cleanup(s.finish)
	return s
}

func (s *series) finish() {
	s.stopping.Store(true)
	<-s.ended
}

func (s *series) write(ctx context.Context, conn *pgx.Conn) {
	for n := 0; !s.stopping.Load(); n++ {
		first, count := s.written.Load(), int64(1)
		if n%50 == 49 {
			count = 1000 // likely to be cut in the middle
		}
		s.written.Add(count) // also where it fails: it may have been committed
		_, err := conn.Exec(ctx, "INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series($1::bigint, $2::bigint) i", first, first+count-1)
		if err != nil {
			return
		}
	}
}

// checkSeries compares what arrived with what is in the table.
func checkSeries(t *testing.T, b *bench, f *follower) {
	t.Helper()
	rows, err := b.admin.Query(t.Context(), "SELECT id::text FROM t ORDER BY t.id")
	if err != nil {
		t.Fatal(err)
	}
	want, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, tx := range f.txs {
		if i > 0 && tx.Commit <= f.txs[i-1].Commit {
			t.Errorf("transaction at %s after the one at %s", tx.Commit, f.txs[i-1].Commit)
		}
		for _, c := range tx.Changes {
			_, id := c.New.Column(0)
			got = append(got, string(id))
		}
	}
	if !slices.Equal(got, want) { // one writer: commit order is the order of ids
		i := 0
		for i < len(got) && i < len(want) && got[i] == want[i] {
			i++
		}
		t.Errorf("%d rows arrived in %d transactions, the table has %d; they differ from row %d on", len(got), len(f.txs), len(want), i)
	}
}

// A walsender that dies again and again, also in the middle of transactions: nothing
// is lost or doubled, whatever was acknowledged.
func TestConsumerReconnect(t *testing.T) {
	b := newBench(t)
	b.opts.MaxBackoff = 20 * time.Millisecond
	f := b.follow(t)
	f.connected(t)
	s := newSeries(t, b.url)
	for n := range 12 {
		more := len(f.txs) + 60
		f.until(t, "transactions", func() bool { return len(f.txs) >= more })
		if n%3 == 0 {
			f.Acknowledge(f.txs[len(f.txs)-20].End)
		}
		await(t, "a walsender to kill", func() bool { return b.kill(t) })
	}
	s.finish()
	f.reach(t, b.now(t))
	checkSeries(t, b, f)
}

// The server goes down and comes back, in order and as in a crash.
func TestConsumerServerRestart(t *testing.T) {
	srv := pgtest.New(t, nil)
	b := newBenchIn(t, srv.URL())
	f := b.follow(t)
	f.connected(t)
	s := newSeries(t, b.url)
	for _, mode := range []pgserver.StopMode{pgserver.Fast, pgserver.Immediate, pgserver.Fast} {
		more := len(f.txs) + 60
		f.until(t, "transactions", func() bool { return len(f.txs) >= more })
		f.Acknowledge(f.txs[len(f.txs)-30].End)
		if mode == pgserver.Fast { // a server that stops waits for its readers to acknowledge everything
			pgtest.RestartInOrder(t, srv)
		} else if err := srv.Restart(t.Context(), mode); err != nil {
			t.Fatal(err)
		}
	}
	more := len(f.txs) + 60
	f.until(t, "transactions", func() bool { return len(f.txs) >= more })
	s.finish()
	b.reconnect(t)
	f.reach(t, b.now(t))
	checkSeries(t, b, f)
}

// A connection on which nothing comes any more is given up, and made again.
func TestConsumerSilentPeer(t *testing.T) {
	b := newBench(t)
	b.senderTimeout(t, "900ms")
	relay, through := newSilentRelay(t, b.opts.DatabaseURL)
	b.opts.DatabaseURL = through
	f := b.follow(t, func(c *Consumer) { c.minSilence = 2 * time.Second })
	f.connected(t)
	b.exec(t, "INSERT INTO t VALUES (1, 'heard')")
	f.reach(t, b.now(t))
	before := relay.accepted()
	relay.silence()
	b.exec(t, "INSERT INTO t VALUES (2, 'not heard at first')")
	f.until(t, "the row", func() bool { return len(f.words()) == 2 })
	if relay.accepted() == before {
		t.Error("no new connection was made")
	}
	if got := f.words(); !slices.Equal(got, []string{"I t(1,heard)", "I t(2,not heard at first)"}) {
		t.Errorf("got %q", got)
	}
}

// The same where the stream never said a word and nobody awaits anything.
func TestConsumerSilentStream(t *testing.T) {
	b := newBench(t)
	b.senderTimeout(t, "900ms")
	relay, through := newSilentRelay(t, b.opts.DatabaseURL)
	b.opts.DatabaseURL = through
	f := b.follow(t, func(c *Consumer) { c.minSilence = 2 * time.Second })
	f.connected(t)
	relay.silence()
	b.exec(t, "INSERT INTO t VALUES (1, 'a')")
	f.until(t, "the row", func() bool { return len(f.words()) == 1 })
}

// A server that lets the consumer in and then answers nothing must not be waited
// for without end.
func TestConsumerSilentAnswer(t *testing.T) {
	b := newBench(t)
	relay, through := newSilentRelay(t, b.opts.DatabaseURL)
	b.opts.DatabaseURL = through
	relay.mute.Store(true)
	f := b.follow(t, func(c *Consumer) { c.answerTimeout = time.Second })
	await(t, "the first connection to be given up", func() bool { return relay.accepted() >= 2 })
	if s := f.Status(); s.Connected || s.Fatal || s.Err == nil {
		t.Errorf("status %+v", s)
	}
	relay.mute.Store(false)
	f.connected(t)
}

// While it can't connect, the status says why; this is no reason to end.
func TestConsumerUnreachable(t *testing.T) {
	b := newBench(t)
	b.exec(t, "ALTER ROLE "+b.role+" NOLOGIN")
	f := b.follow(t)
	await(t, "an error", func() bool {
		s := f.Status()
		return s.Err != nil && strings.Contains(s.Err.Error(), "not permitted to log in")
	})
	if s := f.Status(); s.Connected || s.Fatal {
		t.Errorf("status %+v", s)
	}
	b.exec(t, "ALTER ROLE "+b.role+" LOGIN")
	f.connected(t)
}

// A server on which nothing happens is not a dead one.
func TestConsumerIdle(t *testing.T) {
	b := newBench(t)
	b.senderTimeout(t, "8s")
	f := b.follow(t, func(c *Consumer) { c.minSilence = 2 * time.Second }) // 16 s by wal_sender_timeout
	f.connected(t)
	age := func() (pid int, old bool) {
		const sql = `SELECT s.active_pid, clock_timestamp() - r.backend_start > interval '20 s'
			FROM pg_replication_slots s JOIN pg_stat_replication r ON r.pid = s.active_pid WHERE slot_name = $1`
		if err := b.admin.QueryRow(t.Context(), sql, b.opts.Slot).Scan(&pid, &old); err != nil {
			t.Fatalf("the connection is gone: %v", err)
		}
		return pid, old
	}
	first, _ := age()
	await(t, "the connection to be older than the bound on silence", func() bool {
		pid, old := age()
		if pid != first {
			t.Fatal("the connection was made again")
		}
		return old
	})
}
