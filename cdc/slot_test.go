package cdc

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/walwire/walwire/internal/pgtest"
)

// wantLost checks that the consumer ended since it lost its slot.
func wantLost(t *testing.T, f *follower, wants ...string) {
	t.Helper()
	err := f.fails(t)
	if !errors.Is(err, ErrSlotLost) || !IsFatal(err) {
		t.Fatalf("ended with %v, want ErrSlotLost", err)
	}
	for _, want := range wants {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	if s := f.Status(); s.Connected || !s.Fatal || !errors.Is(s.Err, ErrSlotLost) {
		t.Errorf("status %+v", s)
	}
}

// wantFatal checks that the consumer ended with an error that says what to do.
func wantFatal(t *testing.T, f *follower, wants ...string) {
	t.Helper()
	err := f.fails(t)
	if !IsFatal(err) || errors.Is(err, ErrSlotLost) {
		t.Fatalf("ended with %v, want a fatal error that is no lost slot", err)
	}
	for _, want := range wants {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	if s := f.Status(); s.Connected || !s.Fatal {
		t.Errorf("status %+v", s)
	}
}

func (b *bench) dropSlot(t *testing.T) {
	t.Helper()
	b.exec(t, "SELECT pg_drop_replication_slot($1)", b.opts.Slot)
}

func (b *bench) makeSlot(t *testing.T, plugin string) {
	t.Helper()
	b.exec(t, "SELECT pg_create_logical_replication_slot($1, $2)", b.opts.Slot, plugin)
}

// What another program does to the slot is never passed over.
func TestConsumerSlotLost(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, b *bench)
		want string
	}{
		{"Dropped", func(t *testing.T, b *bench) { b.dropSlot(t) }, "is gone"},
		{"MadeAnew", func(t *testing.T, b *bench) {
			b.dropSlot(t)
			b.exec(t, "INSERT INTO t VALUES (2, 'between')")
			b.makeSlot(t, "pgoutput")
		}, "was moved to"},
		{"Advanced", func(t *testing.T, b *bench) {
			b.exec(t, "INSERT INTO t VALUES (2, 'skipped')")
			b.exec(t, "SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())", b.opts.Slot)
		}, "was moved to"},
		{"Read", func(t *testing.T, b *bench) {
			b.exec(t, "INSERT INTO t VALUES (2, 'taken')")
			b.exec(t, "SELECT pg_logical_slot_get_binary_changes($1, NULL, NULL, 'proto_version', '1', 'publication_names', 'walwire')", b.opts.Slot)
		}, "was moved to"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			f := b.follow(t)
			f.connected(t)
			b.exec(t, "INSERT INTO t VALUES (1, 'a')")
			f.reach(t, b.now(t))
			b.away(t, f, func() { tt.do(t, b) })
			wantLost(t, f, tt.want, b.opts.Slot, "start walwire again")
			// And that mends it.
			f = b.follow(t)
			f.connected(t)
			b.exec(t, "INSERT INTO t VALUES (3, 'new')")
			f.until(t, "the new row", func() bool {
				words := f.words()
				return len(words) > 0 && words[len(words)-1] == "I t(3,new)"
			})
		})
	}
}

// The slot is taken by somebody else: wait for it.
func TestConsumerSlotInUse(t *testing.T) {
	b := newBench(t)
	first := b.follow(t)
	first.connected(t)
	second := b.follow(t)
	await(t, "the second consumer to find the slot in use", func() bool {
		err := second.Status().Err
		return err != nil && strings.Contains(err.Error(), "standing by")
	})
	if s := second.Status(); s.Connected || s.Fatal {
		t.Errorf("status %+v", s)
	}
	b.exec(t, "INSERT INTO t VALUES (1, 'a')")
	first.reach(t, b.now(t))
	first.stop()
	second.connected(t)
	second.reach(t, b.now(t))
	if got := second.words(); len(got) != 1 || got[0] != "I t(1,a)" {
		t.Errorf("got %q", got) // not acknowledged by the first
	}
}

// What only the operator can mend ends the consumer, and says so.
func TestConsumerFatal(t *testing.T) {
	t.Run("OtherPlugin", func(t *testing.T) {
		b := newBench(t)
		b.makeSlot(t, "test_decoding")
		wantFatal(t, b.follow(t), `plugin "test_decoding"`, "pg_drop_replication_slot")
	})
	t.Run("PhysicalSlot", func(t *testing.T) {
		b := newBench(t)
		b.exec(t, "SELECT pg_create_physical_replication_slot($1)", b.opts.Slot)
		t.Cleanup(func() { // it belongs to no database, so nobody else drops it
			_, err := b.admin.Exec(context.Background(), "SELECT pg_drop_replication_slot($1)", b.opts.Slot)
			if err != nil {
				t.Error(err)
			}
		})
		wantFatal(t, b.follow(t), "a physical one", "choose another slot name")
	})
	t.Run("OtherDatabase", func(t *testing.T) {
		b, other := newBench(t), newBench(t)
		other.opts.Slot = b.opts.Slot
		other.makeSlot(t, "pgoutput")
		wantFatal(t, b.follow(t), "belongs to the database", "choose another slot name")
	})
	t.Run("NoPublication", func(t *testing.T) {
		b := newBench(t)
		b.opts.Publication = "absent"
		wantFatal(t, b.follow(t), `publication "absent" does not exist`, "create it first")
		if b.active(t) {
			t.Error("a slot was made without its publication")
		}
	})
	t.Run("PublicationDropped", func(t *testing.T) {
		b := newBench(t)
		f := b.follow(t)
		f.connected(t)
		b.exec(t, "DROP PUBLICATION walwire; INSERT INTO t VALUES (1, 'a')")
		wantFatal(t, f, "publication", "walwire")
	})
	t.Run("SlotOlderThanPublication", func(t *testing.T) {
		b := newBench(t)
		b.exec(t, "DROP PUBLICATION walwire")
		b.makeSlot(t, "pgoutput")
		b.exec(t, "INSERT INTO t VALUES (1, 'a')")
		b.exec(t, "CREATE PUBLICATION walwire FOR TABLE t")
		wantFatal(t, b.follow(t), "slot older than its publication", "pg_drop_replication_slot")
	})
	t.Run("NoReplication", func(t *testing.T) {
		b := newBench(t)
		b.exec(t, "ALTER ROLE "+b.role+" NOREPLICATION")
		wantFatal(t, b.follow(t), "may not replicate", "ALTER ROLE")
	})
	t.Run("BadURL", func(t *testing.T) {
		b := newBench(t)
		b.opts.DatabaseURL = "postgres://127.0.0.1:port/x"
		wantFatal(t, b.follow(t), "parse database_url")
	})
}

// Settings of the server that make reading impossible.
func TestConsumerServerSettings(t *testing.T) {
	t.Run("WALLevel", func(t *testing.T) {
		b := newBenchIn(t, pgtest.New(t, map[string]string{"wal_level": "replica"}).URL())
		wantFatal(t, b.follow(t), `wal_level is "replica"`, "ALTER SYSTEM SET wal_level")
	})
	t.Run("SmallServer", func(t *testing.T) {
		srv := pgtest.New(t, map[string]string{"max_replication_slots": "1",
			"max_slot_wal_keep_size": "1MB", "max_wal_size": "32MB", "min_wal_size": "32MB"})
		b := newBenchIn(t, srv.URL())
		b.exec(t, "SELECT pg_create_physical_replication_slot('other')")
		wantFatal(t, b.follow(t), "no free replication slot", "max_replication_slots")
		b.exec(t, "SELECT pg_drop_replication_slot('other')")

		f := b.follow(t)
		f.connected(t)
		b.exec(t, "INSERT INTO t VALUES (1, 'a')")
		f.reach(t, b.now(t))
		// Nothing is acknowledged, and the WAL is removed all the same.
		await(t, "the slot to be lost", func() bool {
			b.exec(t, "INSERT INTO unmapped (v) SELECT repeat('x', 1000) FROM generate_series(1, 1000)")
			b.exec(t, "SELECT pg_switch_wal()")
			b.exec(t, "CHECKPOINT")
			select {
			case <-f.ended:
				return true
			default:
				return false
			}
		})
		wantLost(t, f, "its WAL was removed", "pg_drop_replication_slot")
		wantLost(t, b.follow(t), "its WAL was removed", "pg_drop_replication_slot") // starting again does not hide it
		b.dropSlot(t)
		b.follow(t).connected(t)
	})
	t.Run("Standby", func(t *testing.T) {
		primary := pgtest.New(t, nil)
		b := newBenchIn(t, primary.URL())
		testHeartbeatWithoutStandby(t, b, newTestSnapshotter(t, b, SnapshotterOptions{}))
		standby := startStandby(t, primary)
		b.opts.DatabaseURL = pgtest.WithDatabase(t, standby.Config().ConnString(), standby.Config().Database)
		f := b.follow(t)
		await(t, "the consumer to see a standby", func() bool {
			err := f.Status().Err
			return err != nil && strings.Contains(err.Error(), "is a standby")
		})
		s := newTestSnapshotter(t, b, SnapshotterOptions{})
		if _, err := s.Visible(t.Context()); err == nil || !strings.Contains(err.Error(), "standby") {
			t.Errorf("Visible on a standby: %v", err)
		}
		_, err := s.Read(t.Context(), Select{Table: TableName{"pg_catalog", "pg_class"}, SQL: "SELECT 1", Types: []uint32{23}})
		if err == nil || !strings.Contains(err.Error(), "standby") {
			t.Errorf("Read on a standby: %v", err)
		}
	})
}
