package cdc

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"
)

func TestSnapshotSees(t *testing.T) {
	const epoch = uint64(1) << 32
	for _, tt := range []struct {
		name string
		snap Snapshot
		xid  uint32
		want bool
	}{
		{"BelowXmin", Snapshot{Xmin: 100, Xmax: 110, Xip: []uint64{100, 105}}, 99, true},
		{"Running", Snapshot{Xmin: 100, Xmax: 110, Xip: []uint64{100, 105}}, 105, false},
		{"IsXmin", Snapshot{Xmin: 100, Xmax: 110, Xip: []uint64{100, 105}}, 100, false},
		{"Between", Snapshot{Xmin: 100, Xmax: 110, Xip: []uint64{100, 105}}, 106, true},
		{"IsXmax", Snapshot{Xmin: 100, Xmax: 110}, 110, false},
		{"AboveXmax", Snapshot{Xmin: 100, Xmax: 110}, 111, false},
		{"NothingRuns", Snapshot{Xmin: 110, Xmax: 110}, 109, true},
		{"XidOfTheEpochBefore", Snapshot{Xmin: epoch + 5, Xmax: epoch + 7}, 0xfffffff0, true},
		{"RunningOfTheEpochBefore", Snapshot{Xmin: epoch - 3, Xmax: epoch + 7, Xip: []uint64{epoch - 3}}, 0xfffffffd, false},
		{"XidOfTheEpochAfter", Snapshot{Xmin: epoch - 3, Xmax: epoch - 1}, 5, false},
		{"LaterEpoch", Snapshot{Xmin: 7*epoch + 3, Xmax: 7*epoch + 9, Xip: []uint64{7*epoch + 3, 7*epoch + 4}}, 4, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.snap.Sees(tt.xid); got != tt.want {
				t.Errorf("Sees(%d) = %t, want %t", tt.xid, got, tt.want)
			}
		})
	}
}

// The truth has 64 bits: what PostgreSQL calls visible of ids that it could have
// in use at the same time, which are less than 2^31 apart.
func TestSnapshotSeesModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := rapid.OneOf(
			rapid.Uint64Range(1<<31, 1<<40),
			rapid.Map(rapid.Uint64Range(1, 1<<8), func(epoch uint64) uint64 { return epoch << 32 }),
		).Draw(t, "base")
		around := rapid.OneOf(rapid.Int64Range(-20, 20), rapid.Int64Range(-(1<<30)+1, 1<<30-1))
		xmax := base + uint64(around.Draw(t, "xmax"))
		snap := Snapshot{Xmin: xmax, Xmax: xmax}
		for _, back := range rapid.SliceOfNDistinct(rapid.Uint64Range(1, 40), 0, 10, rapid.ID[uint64]).Draw(t, "running") {
			snap.Xip = append(snap.Xip, xmax-back)
			snap.Xmin = min(snap.Xmin, xmax-back)
		}
		slices.Sort(snap.Xip)
		full := base + uint64(around.Draw(t, "xid"))
		if len(snap.Xip) > 0 && rapid.Bool().Draw(t, "near") {
			full = snap.Xip[0] + rapid.Uint64Range(0, 45).Draw(t, "ahead")
		}
		want := full < snap.Xmax && !slices.Contains(snap.Xip, full)
		if got := snap.Sees(uint32(full)); got != want {
			t.Fatalf("%d:%d:%v sees %d: %t, want %t", snap.Xmin, snap.Xmax, snap.Xip, full, got, want)
		}
	})
}

func TestParseSnapshot(t *testing.T) {
	t.Run("OK", func(t *testing.T) {
		s, err := parseSnapshot("4294967290:4294967300:4294967295,4294967290")
		if err != nil || s.Xmin != 4294967290 || s.Xmax != 4294967300 || !slices.Equal(s.Xip, []uint64{4294967290, 4294967295}) {
			t.Errorf("got %+v, %v", s, err)
		}
		if s, err = parseSnapshot("7:7:"); err != nil || s.Xmin != 7 || s.Xmax != 7 || len(s.Xip) != 0 {
			t.Errorf("got %+v, %v", s, err)
		}
	})
	for _, text := range []string{"", "1", "1:2", "1:2:3:4", "x:2:", "1:x:", "1:2:x", "1:2:3,", "1:2:,3", "-1:2:", "1:18446744073709551616:", "1: 2:"} {
		t.Run("Err "+text, func(t *testing.T) {
			if s, err := parseSnapshot(text); err == nil {
				t.Errorf("parseSnapshot(%q) = %+v, want an error", text, s)
			}
		})
	}
}

// A database that has not come as far as the stream is another one.
func TestSnapshotOfAnother(t *testing.T) {
	b := newBench(t)
	s := newTestSnapshotter(t, b, SnapshotterOptions{})
	var stream atomic.Uint64
	s.Follow(func() LSN { return LSN(stream.Load()) })
	stream.Store(uint64(b.now(t)))
	var rows []string
	if _, err := s.Read(t.Context(), selectT(&rows)); err != nil {
		t.Fatal(err)
	}
	snap, err := s.Visible(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stream.Store(uint64(snap.Position) + 1<<30)
	if _, err := s.Read(t.Context(), selectT(&rows)); err == nil || !strings.Contains(err.Error(), "another one") {
		t.Errorf("read: %v", err)
	}
	if _, err := s.Visible(t.Context()); err == nil || !strings.Contains(err.Error(), "another one") {
		t.Errorf("visible: %v", err)
	}
}

func TestParsePosition(t *testing.T) {
	row := func(columns ...string) [][]byte {
		values := make([][]byte, len(columns))
		for i, c := range columns {
			values[i] = []byte(c)
		}
		return values
	}
	snap, flushed, err := parsePosition(row("5:9:7", "1/A0", "1/90", "f"))
	if err != nil || snap.Position != 0x1000000A0 || flushed != 0x100000090 || snap.Xmax != 9 {
		t.Errorf("got %+v, %s, %v", snap, flushed, err)
	}
	for name, bad := range map[string][][]byte{
		"Standby":  row("5:9:7", "1/A0", "1/90", "t"),
		"Snapshot": row("5:9", "1/A0", "1/90", "f"),
		"Insert":   row("5:9:7", "A0", "1/90", "f"),
		"Flush":    row("5:9:7", "1/A0", "", "f"),
	} {
		t.Run("Err"+name, func(t *testing.T) {
			if _, _, err := parsePosition(bad); err == nil {
				t.Error("want an error")
			}
		})
	}
}
