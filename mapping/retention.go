package mapping

import (
	"time"

	"github.com/goccy/go-yaml/ast"
)

// Retention bounds the log of recent changes from which clients resume, and with
// it what the replication slot keeps for a restart.
type Retention struct {
	Age     time.Duration // since the commit
	Memory  ByteSize      // of rows
	Changes int
	WAL     ByteSize // that PostgreSQL keeps for it
}

// DefaultRetention is that of a configuration that names none.
func DefaultRetention() Retention {
	return Retention{Age: 5 * time.Minute, Memory: 64 * MiB, Changes: 500_000, WAL: GiB}
}

func (d *decoder) retention(n ast.Node, path string, r *Retention) {
	d.object(n, path,
		field{"age", "", d.durationField(&r.Age)},
		field{"memory", "", d.sizeField(&r.Memory)},
		field{"changes", "", d.intField(&r.Changes)},
		field{"wal", "", d.sizeField(&r.WAL)},
	)
}

func (v *validator) retention(r Retention) {
	v.between("retention.age", r.Age, time.Second, 24*time.Hour)
	inRange(v, "retention.memory", r.Memory, MiB, 64*GiB)
	inRange(v, "retention.changes", r.Changes, 1000, 1_000_000_000)
	inRange(v, "retention.wal", r.WAL, MiB, 1024*GiB)
}

// minCursorKey is the least length of cursor_key, in octets.
const minCursorKey = 32

func (v *validator) cursorKey(key Secret) {
	if !key.IsZero() && len(key.Reveal()) < minCursorKey {
		v.report("cursor_key", "needs at least %d octets: make one with openssl rand -base64 48", minCursorKey)
	}
}
