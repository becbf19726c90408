package cdc

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Snapshot says which transactions a database snapshot sees, and where the WAL
// stood just after it was taken.
type Snapshot struct {
	Xmin, Xmax uint64   // 64-bit: with epoch
	Xip        []uint64 // in progress between them, ascending
	Position   LSN      // insert position read after the snapshot: every commit it sees lies below
}

// Sees reports whether the snapshot sees the committed transaction xid. The WAL
// carries 32 bits of it: the epoch is the one closest to the snapshot's.
func (s *Snapshot) Sees(xid uint32) bool {
	ahead := int32(xid - uint32(s.Xmax))
	if ahead >= 0 {
		return false
	}
	full := s.Xmax - uint64(-int64(ahead))
	if full < s.Xmin {
		return true
	}
	_, running := slices.BinarySearch(s.Xip, full)
	return !running
}

// parseSnapshot reads pg_snapshot's text: xmin:xmax:xip,xip.
func parseSnapshot(text string) (Snapshot, error) {
	var s Snapshot
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return s, fmt.Errorf("parse snapshot %q: want xmin:xmax:xip", text)
	}
	var err error
	if s.Xmin, err = strconv.ParseUint(parts[0], 10, 64); err != nil {
		return s, fmt.Errorf("parse snapshot %q: %w", text, err)
	}
	if s.Xmax, err = strconv.ParseUint(parts[1], 10, 64); err != nil {
		return s, fmt.Errorf("parse snapshot %q: %w", text, err)
	}
	if parts[2] == "" {
		return s, nil
	}
	for _, part := range strings.Split(parts[2], ",") {
		xid, err := strconv.ParseUint(part, 10, 64)
		if err != nil {
			return s, fmt.Errorf("parse snapshot %q: %w", text, err)
		}
		s.Xip = append(s.Xip, xid)
	}
	slices.Sort(s.Xip)
	return s, nil
}
