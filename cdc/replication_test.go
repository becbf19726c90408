package cdc

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// testReplication is a stream without a connection, in the middle of which
// messages can be put.
func testReplication(t *testing.T) *replication {
	t.Helper()
	c := NewConsumer(ConsumerOptions{Log: slog.New(slog.DiscardHandler)}, NewFeed(1<<20))
	c.reach(50)
	r := newReplication(c, nil, time.Minute)
	mustCopy(t, r, wireData(wireRelation(1, "t", "id", "v")))
	return r
}

func mustCopy(t *testing.T, r *replication, messages ...[]byte) {
	t.Helper()
	for _, m := range messages {
		if err := r.copyData(m); err != nil {
			t.Fatal(err)
		}
	}
}

// A keepalive says how far the server has read, not how far it has sent: inside a
// transaction it must not pass for progress.
func TestKeepaliveInsideTransaction(t *testing.T) {
	r := testReplication(t)
	mustCopy(t, r, wireData(wireBegin(7, 100)), wireKeepalive(110), wireData(wireInsert(1, "1", "a")), wireKeepalive(150))
	if b := r.feed.Take(); b.Progress != 0 || len(b.Transactions) != 0 || r.handled != 50 {
		t.Fatalf("progress %s, handled %s while the transaction is half read", b.Progress, r.handled)
	}
	mustCopy(t, r, wireData(wireCommit(100, 120)))
	if b := r.feed.Take(); b.Progress != 120 || len(b.Transactions) != 1 || r.handled != 120 {
		t.Fatalf("progress %s, handled %s after the commit", b.Progress, r.handled)
	}
	mustCopy(t, r, wireKeepalive(150))
	if b := r.feed.Take(); b.Progress != 150 || r.handled != 150 || r.Status().Received != 150 {
		t.Errorf("progress %s, handled %s, status %s after a keepalive", b.Progress, r.handled, r.Status().Received)
	}
	mustCopy(t, r, wireKeepalive(60)) // it can start below what was confirmed
	if b := r.feed.Take(); b.Progress != 150 || r.handled != 150 {
		t.Errorf("progress %s, handled %s after a keepalive from before", b.Progress, r.handled)
	}
}

func TestCopyDataMalformed(t *testing.T) {
	for name, data := range map[string][]byte{
		"Empty":             {},
		"ShortKeepalive":    wireKeepalive(60)[:17],
		"LongKeepalive":     append(wireKeepalive(60), 0),
		"DataWithoutHeader": wireData(nil)[:20],
		"DataWithoutBody":   wireData(nil),
		"Unknown":           []byte("x2345678901234567890123456789"),
	} {
		t.Run("Err"+name, func(t *testing.T) {
			if err := testReplication(t).copyData(data); err == nil || !strings.Contains(err.Error(), "malformed copy data") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Silence is judged by a bound above the server's own, whatever it is.
func TestReplicationTimes(t *testing.T) {
	c := NewConsumer(ConsumerOptions{Log: slog.New(slog.DiscardHandler)}, NewFeed(1<<20))
	for _, tt := range []struct{ sender, interval, silence time.Duration }{
		{0, 10 * time.Second, 3 * time.Minute},
		{time.Second, time.Second / 3, 30 * time.Second},
		{20 * time.Second, 20 * time.Second / 3, 40 * time.Second},
		{time.Minute, 10 * time.Second, 2 * time.Minute},
		{time.Hour, 10 * time.Second, 2 * time.Hour},
	} {
		r := newReplication(c, nil, tt.sender)
		if r.interval != tt.interval || r.silence != tt.silence {
			t.Errorf("wal_sender_timeout %s: status every %s, dead after %s, want %s and %s", tt.sender, r.interval, r.silence, tt.interval, tt.silence)
		}
	}
}

// A server that shuts down asks for a status at every answer; one that is well
// does so now and then.
func TestShuttingDown(t *testing.T) {
	start := time.Now()
	ask := func(pause time.Duration) (asks int) {
		r := testReplication(t)
		for asks = 1; asks <= 1000; asks++ {
			if r.shuttingDown(start.Add(time.Duration(asks) * pause)) {
				break
			}
		}
		return asks
	}
	if got := ask(10 * time.Millisecond); got != shutdownAsks {
		t.Errorf("noticed at ask %d, want %d", got, shutdownAsks)
	}
	if got := ask(200 * time.Millisecond); got <= 1000 {
		t.Errorf("five asks a second pass for a shutdown, at ask %d", got)
	}
}

func TestBackoff(t *testing.T) {
	const first, most = 50 * time.Millisecond, time.Second
	for range 100 {
		b := newBackoff(first, most)
		for i, want := range []time.Duration{first, 2 * first, 4 * first, 8 * first, 16 * first, most, most} {
			if got := b.next(); got < want/2 || got > want {
				t.Fatalf("wait %d is %s, want between %s and %s", i, got, want/2, want)
			}
		}
		b.reset()
		if got := b.next(); got > first {
			t.Fatalf("the wait after a reset is %s", got)
		}
	}
	if got := newBackoff(first, time.Millisecond).next(); got > time.Millisecond {
		t.Errorf("the first wait is %s where the most is 1 ms", got)
	}
}

// A server that takes nothing is not waited for without end.
func TestStatusNotTaken(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	config, err := pgconn.ParseConfig("postgres://nobody@127.0.0.1/none")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgconn.Construct(&pgconn.HijackedConn{Conn: ours, Config: config})
	if err != nil {
		t.Fatal(err)
	}
	r := testReplication(t)
	r.conn = conn
	r.silence = 50 * time.Millisecond
	if err := r.sendStatus(true); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("silent for too long: %v", err)
	}
	r.silence = time.Hour
	time.AfterFunc(50*time.Millisecond, r.end)
	if err := r.sendStatus(true); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("at the end: %v", err)
	}
}
