package cdc

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// The kinds of transaction, one by one: each arrives whole, once, in order.
func TestConsumerTransactions(t *testing.T) {
	b := newBench(t)
	f := b.follow(t)
	f.connected(t)
	long := strings.Repeat("0123456789abcdef", 1000)
	b.exec(t, "ALTER TABLE t ALTER v SET STORAGE EXTERNAL")
	for _, sql := range []string{
		"INSERT INTO t VALUES (1, 'a'), (2, NULL)",
		"UPDATE t SET v = 'b' WHERE id = 1",
		"UPDATE t SET id = 3 WHERE id = 1",
		"DELETE FROM t WHERE id = 3",
		"BEGIN; INSERT INTO t VALUES (4, 'x'); ROLLBACK",
		"BEGIN; INSERT INTO t VALUES (5, 'x'); SAVEPOINT s; INSERT INTO t VALUES (6, 'x'); ROLLBACK TO s; INSERT INTO t VALUES (7, 'y'); SAVEPOINT s2; UPDATE t SET v = 'z' WHERE id = 5; RELEASE s2; COMMIT",
		"INSERT INTO unmapped (v) VALUES ('x')",
		"BEGIN; INSERT INTO u VALUES (1, 'p'); INSERT INTO t VALUES (8, 'p'); PREPARE TRANSACTION 'p1'",
		"INSERT INTO t VALUES (9, 'between')",
		"BEGIN; INSERT INTO t VALUES (10, 'p'); PREPARE TRANSACTION 'p2'",
		"ROLLBACK PREPARED 'p2'",
		"COMMIT PREPARED 'p1'",
		"SELECT pg_logical_emit_message(true, 'other', 'in a transaction')",
		"SELECT pg_logical_emit_message(false, 'other', 'in none')",
		"TRUNCATE t, u",
		fmt.Sprintf("INSERT INTO t VALUES (11, '%s')", long),
		"UPDATE t SET id = 12",
	} {
		b.exec(t, sql)
	}
	f.reach(t, b.now(t))
	want := []string{
		"I t(1,a) I t(2,)",
		"U t(1,a>1,b)",
		"U t(1,b>3,b)",
		"D t(3,b>)",
		"I t(5,x) I t(7,y) U t(5,x>5,z)",
		"I t(9,between)",
		"I u(1,p) I t(8,p)",
		"T t T u",
		"I t(11," + long + ")",
		"U t(11," + long + ">12," + long + ")", // the unchanged TOASTed value is filled in
	}
	if got := f.words(); !slices.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for i, tx := range f.txs {
		if tx.Commit >= tx.End || i > 0 && tx.Commit < f.txs[i-1].End {
			t.Errorf("transaction %d lies at %s to %s, the one before ends at %s", i, tx.Commit, tx.End, f.txs[max(i-1, 0)].End)
		}
		if age := time.Since(tx.CommitTime()); age < -time.Minute || age > time.Minute {
			t.Errorf("transaction %d was committed %s ago", i, age)
		}
	}
}

// A first start makes the slot; a second one goes on with it.
func TestConsumerMakesSlot(t *testing.T) {
	b := newBench(t)
	f := b.follow(t)
	f.connected(t)
	var plugin string
	var temporary, active bool
	err := b.admin.QueryRow(t.Context(), "SELECT plugin, temporary, active FROM pg_replication_slots WHERE slot_name = $1", b.opts.Slot).
		Scan(&plugin, &temporary, &active)
	if err != nil || plugin != "pgoutput" || temporary || !active {
		t.Errorf("slot: plugin %s, temporary %t, active %t, %v", plugin, temporary, active, err)
	}
	if s := f.Status(); s.Err != nil || s.Fatal || s.SystemID == "" || s.Timeline != 1 || s.Received == 0 || s.Acknowledged == 0 {
		t.Errorf("status %+v", s)
	}
	f.stop()
	if f.Status().Connected {
		t.Error("connected after its end")
	}
	b.exec(t, "INSERT INTO t VALUES (1, 'while away')")
	f = b.follow(t)
	f.reach(t, b.now(t))
	if got := f.words(); !slices.Equal(got, []string{"I t(1,while away)"}) {
		t.Errorf("got %q", got)
	}
}

// Progress follows the WAL where nothing of ours is written, so that the slot can
// be moved on.
func TestConsumerProgress(t *testing.T) {
	b := newBench(t)
	f := b.follow(t)
	f.connected(t)
	t.Run("Idle", func(t *testing.T) {
		f.reach(t, b.now(t))
	})
	t.Run("ForeignWrites", func(t *testing.T) {
		b.exec(t, "INSERT INTO unmapped (v) SELECT repeat('x', 100) FROM generate_series(1, 10000)")
		end := b.now(t)
		f.until(t, "progress without anybody asking", func() bool { return f.progress >= end })
		f.Acknowledge(f.progress)
		await(t, "the slot to be moved on", func() bool { return b.confirmed(t) >= end })
	})
}

// An awaited position comes at once, also where the commit was asynchronous.
func TestConsumerAwait(t *testing.T) {
	b := newBench(t)
	b.senderTimeout(t, "0") // what nobody asks for comes after seconds
	s := newTestSnapshotter(t, b, SnapshotterOptions{})
	f := b.follow(t)
	f.connected(t)
	var waits []time.Duration
	for n := range 60 {
		if n%2 == 0 {
			b.exec(t, "INSERT INTO unmapped (v) VALUES ('x')")
		} else {
			b.exec(t, "BEGIN; SET LOCAL synchronous_commit = off; INSERT INTO unmapped (v) VALUES ('x'); COMMIT")
		}
		target := b.lsn(t, "SELECT pg_current_wal_insert_lsn()::text")
		if target > b.lsn(t, "SELECT pg_current_wal_flush_lsn()::text") {
			if err := s.Heartbeat(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		start := time.Now()
		f.reach(t, target)
		waits = append(waits, time.Since(start))
	}
	slices.Sort(waits)
	t.Logf("median %s, most %s", waits[len(waits)/2], waits[len(waits)-1])
	if median := waits[len(waits)/2]; median > 500*time.Millisecond {
		t.Errorf("progress to an awaited position took %s at the median", median)
	}
}

// What was awaited before the stream began is asked for once it has.
func TestConsumerAwaitBeforeStart(t *testing.T) {
	b := newBench(t)
	b.senderTimeout(t, "0") // nothing comes of itself
	b.exec(t, "ALTER ROLE "+b.role+" NOLOGIN")
	f := b.follow(t)
	target := b.now(t) + 100
	f.Await(target)
	b.exec(t, "ALTER ROLE "+b.role+" LOGIN")
	f.connected(t)
	b.exec(t, "INSERT INTO unmapped (v) SELECT repeat('x', 100) FROM generate_series(1, 100)")
	f.until(t, "progress", func() bool { return f.progress >= target })
}

// confirmed_flush follows what was acknowledged and never passes it.
func TestConsumerAcknowledge(t *testing.T) {
	b := newBench(t)
	f := b.follow(t)
	f.connected(t)
	first := b.confirmed(t)
	b.exec(t, "INSERT INTO t VALUES (1, 'a')")
	b.exec(t, "INSERT INTO t VALUES (2, 'b')")
	f.reach(t, b.now(t))
	if got := b.confirmed(t); got != first {
		t.Errorf("confirmed %s, nothing was acknowledged since %s", got, first)
	}
	end := f.txs[0].End
	f.Acknowledge(end)
	f.Acknowledge(end - 1) // never back
	await(t, "the slot to be moved on", func() bool { return b.confirmed(t) == end })
	f.reach(t, b.now(t))
	if got := b.confirmed(t); got != end || f.Status().Acknowledged != end {
		t.Errorf("confirmed %s, acknowledged was %s", got, end)
	}
	f.stop()
	// The acknowledged one does not come again, the other does.
	f = b.follow(t)
	f.reach(t, b.now(t))
	if got := f.words(); !slices.Equal(got, []string{"I t(2,b)"}) {
		t.Errorf("got %q", got)
	}
}

// A transaction past the bound comes without its rows; those around it come whole.
func TestConsumerOversize(t *testing.T) {
	b := newBench(t)
	b.opts.MaxTransactionBytes = 100 << 10
	f := b.follow(t)
	f.connected(t)
	b.exec(t, "INSERT INTO t VALUES (0, 'before')")
	b.exec(t, "BEGIN; INSERT INTO u VALUES (1, 'x'); INSERT INTO t SELECT i, repeat('x', 50) FROM generate_series(1, 5000) i; COMMIT")
	b.exec(t, "INSERT INTO t VALUES (-1, 'after')")
	f.reach(t, b.now(t))
	if got := f.words(); !slices.Equal(got, []string{"I t(0,before)", "I t(-1,after)"}) {
		t.Errorf("got %q", got)
	}
	i := slices.IndexFunc(f.txs, func(tx *Transaction) bool { return tx.Oversize })
	if i < 0 || len(f.txs[i].Touched) != 2 || len(f.txs[i].Changes) != 0 {
		t.Fatalf("oversize transaction %d of %d", i, len(f.txs))
	}
}

// While nobody takes the feed, PostgreSQL keeps the WAL, memory stays bounded, and
// the status messages keep the connection alive.
func TestConsumerFeedFull(t *testing.T) {
	b := newBench(t)
	b.senderTimeout(t, "8s")
	feed := NewFeed(1 << 20)
	f := b.followInto(t, feed)
	f.connected(t)
	for n := range 30 {
		b.exec(t, "INSERT INTO t SELECT $1 * 1000 + i, repeat('x', 1000) FROM generate_series(1, 1000) i", n)
	}
	await(t, "the feed to be full", feed.full)
	sender := func() (pid, replies int) {
		err := b.admin.QueryRow(t.Context(), `SELECT pid, floor(extract(epoch from reply_time) * 1000) FROM pg_stat_replication r
			WHERE pid = (SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1)`, b.opts.Slot).Scan(&pid, &replies)
		if err != nil {
			t.Fatalf("the walsender is gone: %v", err)
		}
		return pid, replies
	}
	pid, since := sender()
	await(t, "status messages for twice wal_sender_timeout", func() bool {
		_, last := sender()
		return last > since+16000
	})
	if now, _ := sender(); now != pid {
		t.Errorf("the walsender is %d, before it was %d", now, pid)
	}
	feed.mu.Lock()
	held := feed.bytes
	feed.mu.Unlock()
	if held > 4<<20 {
		t.Errorf("the feed of 1 MiB holds %d octets", held)
	}
	f.reach(t, b.now(t))
	if len(f.words()) != 30 {
		t.Errorf("%d transactions, want 30", len(f.words()))
	}
}

// Run leaves no goroutine behind, however it ends.
func TestConsumerLeaks(t *testing.T) {
	b := newBench(t)
	idle := goleak.IgnoreCurrent()
	f := b.follow(t)
	f.connected(t)
	b.exec(t, "INSERT INTO t VALUES (1, 'a')")
	f.reach(t, b.now(t))
	b.kill(t)
	f.reach(t, b.now(t))
	f.stop()
	goleak.VerifyNone(t, idle)

	b.opts.Publication = "missing"
	f = b.follow(t)
	f.fails(t)
	goleak.VerifyNone(t, idle)
}
