package cdc

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/internal/pgtest"
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// bench is a database with the publication "walwire" of the tables t and u, a
// table that is not published, and a role that may do no more than it needs.
type bench struct {
	admin *pgx.Conn
	url   string // the superuser's
	role  string
	opts  ConsumerOptions // as the role
}

const benchSQL = `
	CREATE TABLE t (id int PRIMARY KEY, v text);
	CREATE TABLE u (id int PRIMARY KEY, v text);
	CREATE TABLE unmapped (id serial PRIMARY KEY, v text);
	ALTER TABLE t REPLICA IDENTITY FULL;
	ALTER TABLE u REPLICA IDENTITY FULL;
	CREATE PUBLICATION walwire FOR TABLE t, u`

func newBench(t *testing.T) *bench {
	t.Helper()
	return newBenchIn(t, pgtest.ClusterURL(t))
}

// newBenchIn is newBench in the server that adminURL leads to.
func newBenchIn(t *testing.T, adminURL string) *bench {
	t.Helper()
	b := &bench{url: pgtest.DatabaseIn(t, adminURL)}
	b.admin = pgtest.MustConnect(t, b.url)
	pgtest.MustExec(t, b.admin, benchSQL)
	b.role = testRole(t, b.admin, "REPLICATION")
	pgtest.MustExec(t, b.admin, "GRANT SELECT ON t, u TO "+b.role)
	b.opts = ConsumerOptions{
		DatabaseURL: pgtest.WithUser(t, b.url, b.role, "x"),
		Slot:        pgtest.Unique("slot"),
		Publication: "walwire",
		MaxBackoff:  200 * time.Millisecond,
		Log:         slog.New(slog.DiscardHandler),
	}
	return b
}

// senderTimeout is after how long the server gives up a consumer that says nothing, and
// half of how long the consumer waits for the server: shorter than a slow machine may
// stand still, so it is for tests that a new connection does not disturb.
func (b *bench) senderTimeout(t *testing.T, timeout string) {
	t.Helper()
	b.exec(t, "ALTER ROLE "+b.role+" SET wal_sender_timeout = '"+timeout+"'")
}

func (b *bench) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	pgtest.MustExec(t, b.admin, sql, args...)
}

// reconnect is for a server that was restarted.
func (b *bench) reconnect(t *testing.T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), b.url)
	if err != nil {
		t.Fatal(err)
	}
	*b.admin = *conn // in place, since the clean-up goes by it
}

func (b *bench) lsn(t *testing.T, sql string, args ...any) LSN {
	t.Helper()
	var text string
	if err := b.admin.QueryRow(t.Context(), sql, args...).Scan(&text); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	lsn, err := pglogrepl.ParseLSN(text)
	if err != nil {
		t.Fatal(err)
	}
	return lsn
}

func (b *bench) confirmed(t *testing.T) LSN {
	t.Helper()
	return b.lsn(t, "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = $1", b.opts.Slot)
}

// now is the position behind everything that was committed, all of it on disk.
func (b *bench) now(t *testing.T) LSN {
	t.Helper()
	// Not the flush position: that can lie inside a record.
	lsn := b.lsn(t, "SELECT pg_current_wal_insert_lsn()::text")
	b.exec(t, "SELECT pg_logical_emit_message(true, 'test', '')")
	return lsn
}

// kill ends the walsender that reads the slot; false when nobody does.
func (b *bench) kill(t *testing.T) bool {
	t.Helper()
	tag := pgtest.MustExec(t, b.admin, "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active", b.opts.Slot)
	return tag.RowsAffected() > 0
}

// away keeps the consumer from the slot while f runs.
func (b *bench) away(t *testing.T, f *follower, do func()) {
	t.Helper()
	b.exec(t, "ALTER ROLE "+b.role+" NOLOGIN")
	b.kill(t)
	await(t, "the consumer to be away", func() bool {
		b.kill(t)
		return !f.Status().Connected && !b.active(t)
	})
	do()
	b.exec(t, "ALTER ROLE "+b.role+" LOGIN")
}

func (b *bench) active(t *testing.T) (active bool) {
	t.Helper()
	err := b.admin.QueryRow(t.Context(), "SELECT active FROM pg_replication_slots WHERE slot_name = $1", b.opts.Slot).Scan(&active)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		t.Fatal(err)
	}
	return active
}

// follower is a running consumer and what it has handed over.
type follower struct {
	*Consumer
	feed     *Feed
	ended    chan struct{}  // Run has returned
	err      error          // of Run, once ended is closed
	stop     func()         // ends Run and waits for it
	txs      []*Transaction // without gaps
	gaps     []*Transaction
	last     LSN // commit handed over
	progress LSN
}

// follow runs a consumer until the test ends.
func (b *bench) follow(t *testing.T, change ...func(*Consumer)) *follower {
	t.Helper()
	return b.followInto(t, NewFeed(64<<20), change...)
}

func (b *bench) followInto(t *testing.T, feed *Feed, change ...func(*Consumer)) *follower {
	t.Helper()
	f := &follower{feed: feed, Consumer: NewConsumer(b.opts, feed), ended: make(chan struct{})}
	f.statusInterval = 300 * time.Millisecond
	for _, c := range change {
		c(f.Consumer)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(f.ended)
		f.err = f.Run(ctx)
	}()
	f.stop = func() {
		cancel()
		<-f.ended
	}
	t.Cleanup(f.stop)
	return f
}

// until takes the feed until ok.
func (f *follower) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for !ok() {
		select {
		case <-f.feed.Ready():
			b := f.feed.Take()
			if b.Progress < f.progress {
				t.Fatalf("progress went from %s back to %s", f.progress, b.Progress)
			}
			for _, tx := range b.Transactions {
				if tx.Commit <= f.last {
					t.Fatalf("a commit at %s after one at %s", tx.Commit, f.last)
				}
				f.last = tx.Commit
				if tx.Gap != nil {
					f.gaps = append(f.gaps, tx)
				} else {
					f.txs = append(f.txs, tx)
				}
			}
			f.progress = b.Progress
			if len(b.Transactions) > 0 { // a slow machine is not a fault
				deadline.Reset(patience)
			}
		case <-f.ended:
			t.Fatalf("waiting for %s: the consumer ended: %v", what, f.err)
		case <-deadline.C:
			t.Fatalf("waited in vain for %s; progress %s, %d transactions, status %+v", what, f.progress, len(f.txs), f.Status())
		}
	}
}

// reach awaits a position as a hand-off does.
func (f *follower) reach(t *testing.T, lsn LSN) {
	t.Helper()
	f.Await(lsn)
	f.until(t, "progress to "+lsn.String(), func() bool { return f.progress >= lsn })
}

func (f *follower) connected(t *testing.T) {
	t.Helper()
	await(t, "the consumer to be connected", func() bool {
		select {
		case <-f.ended:
			t.Fatalf("the consumer ended: %v", f.err)
		default:
		}
		return f.Status().Connected
	})
}

// fails waits for Run's error.
func (f *follower) fails(t *testing.T) error {
	t.Helper()
	select {
	case <-f.ended:
		return f.err
	case <-time.After(patience):
		t.Fatalf("the consumer did not end; status %+v", f.Status())
		return nil
	}
}

// words are the transactions with changes, rendered.
func (f *follower) words() []string {
	var words []string
	for _, tx := range f.txs {
		if len(tx.Changes) > 0 {
			words = append(words, renderTx(tx))
		}
	}
	return words
}
