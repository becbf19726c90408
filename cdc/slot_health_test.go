package cdc

import "testing"

func (b *bench) health(t *testing.T) *SlotHealth {
	t.Helper()
	h, err := ReadSlotHealth(t.Context(), b.admin, b.opts.Slot)
	if err != nil || h == nil {
		t.Fatalf("slot %v, %v", h, err)
	}
	return h
}

// What a slot retains, and who reads it.
func TestSlotHealth(t *testing.T) {
	b := newBench(t)
	if h, err := ReadSlotHealth(t.Context(), b.admin, b.opts.Slot); h != nil || err != nil {
		t.Fatalf("no slot: %+v, %v", h, err)
	}
	f := b.follow(t)
	f.connected(t)
	before := b.health(t)
	if before.Plugin != "pgoutput" || before.Type != "logical" || before.Database != before.Here || !before.Active ||
		before.ActivePID == 0 || before.Application != ApplicationName || before.WALStatus != "reserved" ||
		before.Confirmed != f.Floor() || before.Restart == 0 || before.Warning() != "" {
		t.Errorf("slot %+v", before)
	}
	b.exec(t, "INSERT INTO unmapped (v) SELECT repeat('x', 1000) FROM generate_series(1, 1000)")
	if h := b.health(t); h.RetainedBytes < before.RetainedBytes+1e6 || h.LagBytes() < 1e6 {
		t.Errorf("retained %d, then %d; lag %d", before.RetainedBytes, h.RetainedBytes, h.LagBytes())
	}
	f.reach(t, b.now(t))
	f.Acknowledge(f.progress)
	await(t, "the lag to go", func() bool { return b.health(t).LagBytes() < 1e6 })
}
