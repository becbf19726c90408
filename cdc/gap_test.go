package cdc

import (
	"bytes"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/walwire/walwire/internal/pgtest"
)

// xid is the id of the transaction that runs sql.
func (b *bench) xid(t *testing.T, sql string) (xid uint64) {
	t.Helper()
	if err := b.admin.QueryRow(t.Context(), sql+" RETURNING pg_current_xact_id()::text::int8").Scan(&xid); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return xid
}

// wantGap checks the n-th gap: it covers the commits of transaction lost, says why,
// and is the position from which the stream is complete.
func wantGap(t *testing.T, f *follower, n int, from LSN, lost uint64, why string) {
	t.Helper()
	if len(f.gaps) != n+1 {
		t.Fatalf("%d gaps, want %d", len(f.gaps), n+1)
	}
	tx := f.gaps[n]
	switch g := tx.Gap; {
	case g.From != from || !strings.Contains(g.Why, why):
		t.Errorf("gap %+v, want one from %s since %q", g, from, why)
	case tx.Commit <= from || tx.End != tx.Commit || tx.XID != 0 || len(tx.Changes) > 0 || tx.Oversize:
		t.Errorf("gap at %s to %s: %+v", tx.Commit, tx.End, tx)
	case g.XID <= lost:
		t.Errorf("gap with transaction id %d, transaction %d may be missing", g.XID, lost)
	case f.Floor() != tx.Commit || f.Status().Floor != tx.Commit:
		t.Errorf("complete from %s, the gap ends at %s", f.Floor(), tx.Commit)
	}
}

// The slot's first position is a gap too: a transaction can have committed below it
// and still be invisible. A slot that is there already is none.
func TestGapFirst(t *testing.T) {
	b := newBench(t)
	before := b.xid(t, "INSERT INTO t VALUES (1, 'before')")
	f := b.follow(t, func(c *Consumer) {
		if c.Floor() != 0 {
			t.Errorf("complete from %s before anything was read", c.Floor())
		}
	})
	f.until(t, "the gap", func() bool { return len(f.gaps) > 0 })
	wantGap(t, f, 0, 0, before, "is new")
	if got := b.confirmed(t); f.Floor() != got {
		t.Errorf("complete from %s, the slot starts at %s", f.Floor(), got)
	}
	b.exec(t, "INSERT INTO t VALUES (2, 'a')")
	f.reach(t, b.now(t))
	f.Acknowledge(f.txs[0].End)
	await(t, "the slot to be moved on", func() bool { return b.confirmed(t) == f.txs[0].End })
	b.kill(t)
	b.exec(t, "INSERT INTO t VALUES (3, 'b')")
	f.reach(t, b.now(t))
	wantGap(t, f, 0, 0, before, "is new") // going on is no gap
	f.stop()

	start := b.confirmed(t)
	f = b.follow(t)
	f.reach(t, b.now(t))
	if got := f.words(); len(f.gaps) != 0 || f.Floor() != start || !slices.Equal(got, []string{"I t(3,b)"}) {
		t.Errorf("%d gaps, complete from %s, want %s; got %q", len(f.gaps), f.Floor(), start, got)
	}
}

// What other programs do to the slot is a gap where the consumer may mend it.
func TestGapRecreate(t *testing.T) {
	lose := "INSERT INTO t VALUES (2, 'lost')"
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, b *bench) (lost uint64)
		why  string
	}{
		{"Dropped", func(t *testing.T, b *bench) uint64 {
			b.dropSlot(t)
			return b.xid(t, lose)
		}, "was gone"},
		{"MadeAnew", func(t *testing.T, b *bench) uint64 {
			b.dropSlot(t)
			defer b.makeSlot(t, "pgoutput")
			return b.xid(t, lose)
		}, "was moved to"},
		{"Advanced", func(t *testing.T, b *bench) uint64 {
			defer b.exec(t, "SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())", b.opts.Slot)
			return b.xid(t, lose)
		}, "was moved to"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, f := recreating(t)
			var lost uint64
			var handled LSN
			b.away(t, f, func() {
				handled = f.Status().Received
				lost = tt.do(t, b)
			})
			f.until(t, "the gap", func() bool { return len(f.gaps) == 2 })
			wantGap(t, f, 1, handled, lost, tt.why)
			f.connected(t)
			b.exec(t, "INSERT INTO t VALUES (3, 'new')")
			f.reach(t, b.now(t))
			if got := f.words(); !slices.Equal(got, []string{"I t(1,a)", "I t(3,new)"}) {
				t.Errorf("got %q", got)
			}
			if s := f.Status(); !s.Connected || s.Fatal || s.Err != nil {
				t.Errorf("status %+v", s)
			}
		})
	}
	t.Run("DroppedWhileConnected", func(t *testing.T) {
		b, f := recreating(t)
		await(t, "the slot to be dropped", func() bool {
			b.kill(t)
			_, err := b.admin.Exec(t.Context(), "SELECT pg_drop_replication_slot($1)", b.opts.Slot)
			return err == nil
		})
		f.until(t, "the gap", func() bool { return len(f.gaps) == 2 })
		wantGap(t, f, 1, f.gaps[1].Gap.From, 0, "was gone")
		b.exec(t, "INSERT INTO t VALUES (3, 'new')")
		f.reach(t, b.now(t))
	})
}

// Slots that are not walwire's are never dropped.
func TestGapForeignSlot(t *testing.T) {
	b := newBench(t)
	b.opts.RecreateLostSlot = true
	b.makeSlot(t, "test_decoding")
	wantFatal(t, b.follow(t), `plugin "test_decoding"`)
	b.confirmed(t) // still there
}

// One that waits for the slot takes over where the other ends, without a gap.
func TestGapTakeOver(t *testing.T) {
	b := newBench(t)
	first := b.follow(t)
	first.connected(t)
	second := b.follow(t)
	await(t, "the second consumer to find the slot in use", func() bool {
		err := second.Status().Err
		return err != nil && strings.Contains(err.Error(), "standing by")
	})
	b.exec(t, "INSERT INTO t VALUES (1, 'a')")
	b.exec(t, "INSERT INTO t VALUES (2, 'b')")
	first.reach(t, b.now(t))
	end := first.txs[0].End
	first.Acknowledge(end)
	await(t, "the slot to be moved on", func() bool { return b.confirmed(t) == end })
	first.stop()
	second.connected(t)
	second.reach(t, b.now(t))
	if got := second.words(); !slices.Equal(got, []string{"I t(2,b)"}) || second.Floor() != end || len(second.gaps) != 0 {
		t.Errorf("got %q from %s with %d gaps, want it from %s", got, second.Floor(), len(second.gaps), end)
	}
}

// A slot whose WAL was removed, in a running consumer and in one that starts.
func TestGapInvalidated(t *testing.T) {
	srv := pgtest.New(t, map[string]string{"max_slot_wal_keep_size": "1MB", "max_wal_size": "32MB", "min_wal_size": "32MB"})
	b := newBenchIn(t, srv.URL())
	b.opts.RecreateLostSlot = true
	f := b.follow(t)
	f.connected(t)
	b.exec(t, "INSERT INTO t VALUES (1, 'a')")
	f.reach(t, b.now(t))
	fill := func() { // nothing is acknowledged, so that it counts for the slot
		b.exec(t, "INSERT INTO unmapped (v) SELECT repeat('x', 1000) FROM generate_series(1, 1000)")
		b.exec(t, "SELECT pg_switch_wal()")
		b.exec(t, "CHECKPOINT")
	}
	await(t, "the slot to be made anew", func() bool {
		if f.Status().Connected { // else the new one would be lost before it is read
			fill()
		}
		return f.Floor() > f.gaps[0].Commit
	})
	f.until(t, "the gap", func() bool { return len(f.gaps) > 1 })
	wantGap(t, f, len(f.gaps)-1, f.gaps[len(f.gaps)-1].Gap.From, 0, "its WAL was removed")
	if g := f.gaps[1]; g.Gap.From < f.txs[0].End || g.Gap.From > g.Commit {
		t.Errorf("gap from %s to %s, a transaction before it ends at %s", g.Gap.From, g.Commit, f.txs[0].End)
	}
	id := 2 // the last checkpoints may have cost it the slot once more
	await(t, "a new row", func() bool {
		id++
		b.exec(t, "INSERT INTO t VALUES ($1, 'new')", id)
		b := f.feed.Take()
		return slices.ContainsFunc(b.Transactions, func(tx *Transaction) bool { return len(tx.Changes) > 0 })
	})
	f.stop()

	await(t, "the walsender to end", func() bool { return !b.active(t) })
	health := b.health(t)
	if health.Active || health.RetainedBytes <= 0 || health.SafeBytes == nil || health.Lost() != "" {
		t.Errorf("slot %+v", health)
	}
	await(t, "the slot to be lost", func() bool {
		fill()
		return b.health(t).Lost() != ""
	})
	if health = b.health(t); !strings.Contains(health.Lost(), "its WAL was removed") || health.Warning() == "" || health.SafeBytes != nil {
		t.Errorf("slot %+v", health)
	}
	var lost uint64
	if err := b.admin.QueryRow(t.Context(), "SELECT pg_current_xact_id()::text::int8").Scan(&lost); err != nil {
		t.Fatal(err)
	}
	// As if it were lost just after the first look: then the start says so, on servers
	// before 17, which give no reason in the catalogue.
	relay, through := newSilentRelay(t, b.opts.DatabaseURL)
	var looked atomic.Bool
	alter := func(p []byte) {
		if i := bytes.Index(p, []byte("\x00\x00\x00\x04lost")); i >= 0 && !looked.Swap(true) {
			copy(p[i+4:], "fine")
		}
	}
	relay.alter.Store(&alter)
	b.opts.DatabaseURL = through
	f = b.follow(t)
	f.until(t, "the gap", func() bool { return len(f.gaps) > 0 })
	wantGap(t, f, 0, 0, lost, "its WAL was removed")
	if !looked.Load() {
		t.Error("the first look saw the loss")
	}
}

// PostgreSQL 18 invalidates slots that nobody uses, and names the reason.
func TestSlotIdleTimeout(t *testing.T) {
	shared := newBench(t)
	var version int
	if err := shared.admin.QueryRow(t.Context(), "SELECT current_setting('server_version_num')::int").Scan(&version); err != nil {
		t.Fatal(err)
	}
	if version < 180000 {
		t.Skip("needs PostgreSQL 18")
	}
	b := newBenchIn(t, pgtest.New(t, map[string]string{"idle_replication_slot_timeout": "1s"}).URL())
	b.makeSlot(t, "pgoutput")
	await(t, "the slot to be invalidated", func() bool {
		b.exec(t, "CHECKPOINT")
		return b.health(t).Invalidation != ""
	})
	if why := b.health(t).Lost(); !strings.Contains(why, "idle_replication_slot_timeout") {
		t.Errorf("lost since %q", why)
	}
	wantLost(t, b.follow(t), "idle_replication_slot_timeout")
	b.opts.RecreateLostSlot = true
	f := b.follow(t)
	f.until(t, "the gap", func() bool { return len(f.gaps) > 0 })
	wantGap(t, f, 0, 0, 0, "idle_replication_slot_timeout")
}

// A slot that standbys keep in step.
func TestFailoverSlot(t *testing.T) {
	b := newBench(t)
	b.opts.FailoverSlot = true
	var version int
	if err := b.admin.QueryRow(t.Context(), "SELECT current_setting('server_version_num')::int").Scan(&version); err != nil {
		t.Fatal(err)
	}
	f := b.follow(t)
	if version < firstFailoverVersion {
		wantFatal(t, f, "slot_failover needs PostgreSQL 17")
		return
	}
	f.connected(t)
	if !b.health(t).Failover {
		t.Error("the slot was made without failover")
	}
	b.exec(t, "INSERT INTO t VALUES (1, 'a')")
	f.reach(t, b.now(t))
	if got := f.words(); !slices.Equal(got, []string{"I t(1,a)"}) {
		t.Errorf("got %q", got)
	}
}

// recreating is a consumer that makes a lost slot anew, and has read a transaction.
func recreating(t *testing.T) (*bench, *follower) {
	t.Helper()
	b := newBench(t)
	b.opts.RecreateLostSlot = true
	f := b.follow(t)
	f.connected(t)
	b.exec(t, "INSERT INTO t VALUES (1, 'a')")
	f.reach(t, b.now(t))
	return b, f
}
