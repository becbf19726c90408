package cdc

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

// poison spoils rows of t with a one-digit id and the text POISON on their way: a
// value in it, or all of the message.
func poison(t *testing.T, b *bench, back int) {
	t.Helper()
	relay, through := newSilentRelay(t, b.opts.DatabaseURL)
	b.opts.DatabaseURL = through
	alter := func(p []byte) {
		if i := bytes.Index(p, []byte("POISON")); i >= back {
			p[i-back] = '?'
		}
	}
	relay.alter.Store(&alter)
}

const (
	spoilValue   = 5  // the kind of the value: its type and length lie before it
	spoilMessage = 19 // the type of the insert message
)

func (b *bench) scan(t *testing.T) (*SlotFailure, error) {
	t.Helper()
	end, err := FlushedPosition(t.Context(), b.admin)
	if err != nil {
		t.Fatal(err)
	}
	return ScanSlot(t.Context(), b.opts, b.confirmed(t), end)
}

func (b *bench) mustScan(t *testing.T) *SlotFailure {
	t.Helper()
	failure, err := b.scan(t)
	if err != nil {
		t.Fatal(err)
	}
	return failure
}

// The first transaction that fails is found, and passing over it passes over no other.
func TestScanSlot(t *testing.T) {
	for _, tt := range []struct {
		name    string
		back    int
		changes int
		whole   bool
		want    string
	}{
		{"Value", spoilValue, 2, true, "a change of public.t can't be decoded"},
		{"Message", spoilMessage, 1, false, "can't be followed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.makeSlot(t, "pgoutput")
			start := b.confirmed(t)
			poison(t, b, tt.back)
			b.exec(t, "INSERT INTO t VALUES (1, 'before')")
			if failure := b.mustScan(t); failure != nil {
				t.Fatalf("nothing fails, found %+v", failure)
			}
			b.exec(t, "BEGIN; INSERT INTO u VALUES (1, 'x'); INSERT INTO t VALUES (2, 'POISON'); COMMIT")
			b.exec(t, "INSERT INTO t VALUES (3, 'after')")

			failure := b.mustScan(t)
			if failure == nil || failure.Transaction == nil {
				t.Fatalf("found %+v", failure)
			}
			tx := failure.Transaction
			if !strings.Contains(failure.Err.Error(), tt.want) || len(tx.Changes) != tt.changes || (tx.End != 0) != tt.whole || tx.XID == 0 || tx.Time == 0 {
				t.Errorf("found %+v: %v", tx, failure.Err)
			}
			if names := failure.Tables(); !slices.Contains(names, public("u")) || slices.Contains(names, public("t")) != tt.whole {
				t.Errorf("tables %v", names)
			}
			if got := b.confirmed(t); got != start || b.active(t) {
				t.Errorf("the slot is at %s, before the scan it was at %s; active %t", got, start, b.active(t))
			}

			var fatal *StreamError
			if !tt.whole { // the consumer ends there, and says where
				f := b.follow(t)
				if err := f.fails(t); !errors.As(err, &fatal) || !IsFatal(err) || fatal.Transaction.XID != tx.XID ||
					!strings.Contains(err.Error(), tx.Commit.String()) || !strings.Contains(err.Error(), "walwire slot skip") {
					t.Errorf("ended with %v", err)
				}
				await(t, "the slot to be free", func() bool { return !b.active(t) })
			}
			if err := AdvanceSlot(t.Context(), b.admin, b.opts.Slot, failure.Past()); err != nil {
				t.Fatal(err)
			}
			if failure := b.mustScan(t); failure != nil {
				t.Errorf("still found %+v", failure)
			}
			f := b.follow(t)
			f.reach(t, b.now(t))
			if got := f.words(); !slices.Equal(got, []string{"I t(3,after)"}) {
				t.Errorf("got %q", got)
			}
		})
	}
}

// An error of the server's that names no transaction, and what is no failure of the
// stream.
func TestScanSlotErrors(t *testing.T) {
	t.Run("OlderThanPublication", func(t *testing.T) {
		b := newBench(t)
		b.exec(t, "DROP PUBLICATION walwire")
		b.makeSlot(t, "pgoutput")
		b.exec(t, "INSERT INTO t VALUES (1, 'a')")
		b.exec(t, "CREATE PUBLICATION walwire FOR TABLE t")
		failure := b.mustScan(t)
		if failure == nil || !strings.Contains(failure.Err.Error(), "slot older than its publication") {
			t.Fatalf("found %+v", failure)
		}
		to := b.now(t)
		if err := AdvanceSlot(t.Context(), b.admin, b.opts.Slot, to); err != nil {
			t.Fatal(err)
		}
		b.exec(t, "INSERT INTO t VALUES (2, 'b')")
		if failure := b.mustScan(t); failure != nil { // it was but the position
			t.Errorf("still found %+v", failure)
		}
	})
	t.Run("InUse", func(t *testing.T) {
		b := newBench(t)
		f := b.follow(t)
		f.connected(t)
		if failure, err := b.scan(t); failure != nil || err == nil || !strings.Contains(err.Error(), "in use by another connection") {
			t.Errorf("found %+v, %v", failure, err)
		}
	})
	t.Run("Gone", func(t *testing.T) {
		b := newBench(t)
		b.opts.RecreateLostSlot = true
		b.makeSlot(t, "pgoutput")
		from := b.confirmed(t)
		b.dropSlot(t)
		if failure, err := ScanSlot(t.Context(), b.opts, from, b.now(t)); failure != nil || !errors.Is(err, ErrSlotLost) {
			t.Errorf("found %+v, %v", failure, err)
		}
		if h, err := ReadSlotHealth(t.Context(), b.admin, b.opts.Slot); h != nil || err != nil {
			t.Errorf("a slot was made: %+v, %v", h, err)
		}
	})
}
