package mapping

import (
	"time"

	"github.com/goccy/go-yaml/ast"
)

// Limits bound what one client can ask for, and what the server asks of the
// database.
type Limits struct {
	AuthDeadline        time.Duration // from connecting to a valid token
	FrameBytes          ByteSize      // the largest frame a client may send
	Subscriptions       int           // open at once on one connection
	Rows                int           // in one query; a larger one is refused
	SnapshotConnections int           // to the database, for snapshots
	SnapshotTimeout     time.Duration // statement_timeout of a snapshot
	WaitTimeout         time.Duration // the longest wait for a position
	FilterValues        int           // in one list of a filter
	FilterDepth         int           // of and, or and not within each other
	FilterNodes         int           // conditions in one filter
	TokenBytes          ByteSize      // the largest token
}

// DefaultLimits are those of a configuration that names none.
func DefaultLimits() Limits {
	return Limits{
		AuthDeadline:        5 * time.Second,
		FrameBytes:          64 * KiB,
		Subscriptions:       100,
		Rows:                10_000,
		SnapshotConnections: 4,
		SnapshotTimeout:     30 * time.Second,
		WaitTimeout:         30 * time.Second,
		FilterValues:        100,
		FilterDepth:         10,
		FilterNodes:         200,
		TokenBytes:          8 * KiB,
	}
}

func (d *decoder) limits(n ast.Node, path string, l *Limits) {
	d.object(n, path,
		field{"auth_deadline", "", d.durationField(&l.AuthDeadline)},
		field{"frame_bytes", "", d.sizeField(&l.FrameBytes)},
		field{"subscriptions", "", d.intField(&l.Subscriptions)},
		field{"rows", "", d.intField(&l.Rows)},
		field{"snapshot_connections", "", d.intField(&l.SnapshotConnections)},
		field{"snapshot_timeout", "", d.durationField(&l.SnapshotTimeout)},
		field{"wait_timeout", "", d.durationField(&l.WaitTimeout)},
		field{"filter_values", "", d.intField(&l.FilterValues)},
		field{"filter_depth", "", d.intField(&l.FilterDepth)},
		field{"filter_nodes", "", d.intField(&l.FilterNodes)},
		field{"token_bytes", "", d.sizeField(&l.TokenBytes)},
	)
}

func (v *validator) limits(l Limits) {
	v.between("limits.auth_deadline", l.AuthDeadline, 100*time.Millisecond, time.Minute)
	v.between("limits.snapshot_timeout", l.SnapshotTimeout, 100*time.Millisecond, time.Hour)
	v.between("limits.wait_timeout", l.WaitTimeout, time.Millisecond, 10*time.Minute)
	inRange(v, "limits.frame_bytes", l.FrameBytes, KiB, 16*MiB)
	inRange(v, "limits.token_bytes", l.TokenBytes, 256, MiB)
	inRange(v, "limits.subscriptions", l.Subscriptions, 1, 100_000)
	inRange(v, "limits.rows", l.Rows, 1, 10_000_000)
	inRange(v, "limits.snapshot_connections", l.SnapshotConnections, 1, 1000)
	inRange(v, "limits.filter_values", l.FilterValues, 1, 10_000)
	inRange(v, "limits.filter_depth", l.FilterDepth, 1, 100)
	inRange(v, "limits.filter_nodes", l.FilterNodes, 1, 10_000)
}
