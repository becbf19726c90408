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

	ConnectionAttemptsPerSecond int // of one address
	ConnectionAttemptsBurst     int // of one address, after a time without any
	ConnectionsPerAddress       int // open at once, as the next two
	ConnectionsPerUser          int
	ConnectionsPerCompany       int
	FramesPerSecond             int      // that one connection may send
	FramesBurst                 int      // that one connection may send, after a time without any
	Memory                      ByteSize // of all live queries and the log of recent changes
	TicketsPerUser              int      // handed out, and neither used nor expired
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

		ConnectionAttemptsPerSecond: 100,
		ConnectionAttemptsBurst:     500,
		ConnectionsPerAddress:       500,
		ConnectionsPerUser:          50,
		ConnectionsPerCompany:       20_000,
		FramesPerSecond:             50,
		FramesBurst:                 200,
		Memory:                      GiB,
		TicketsPerUser:              20,
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
		field{"connection_attempts_per_second", "", d.intField(&l.ConnectionAttemptsPerSecond)},
		field{"connection_attempts_burst", "", d.intField(&l.ConnectionAttemptsBurst)},
		field{"connections_per_address", "", d.intField(&l.ConnectionsPerAddress)},
		field{"connections_per_user", "", d.intField(&l.ConnectionsPerUser)},
		field{"connections_per_company", "", d.intField(&l.ConnectionsPerCompany)},
		field{"frames_per_second", "", d.intField(&l.FramesPerSecond)},
		field{"frames_burst", "", d.intField(&l.FramesBurst)},
		field{"memory", "", d.sizeField(&l.Memory)},
		field{"tickets_per_user", "", d.intField(&l.TicketsPerUser)},
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
	inRange(v, "limits.connection_attempts_per_second", l.ConnectionAttemptsPerSecond, 1, 100_000)
	inRange(v, "limits.connection_attempts_burst", l.ConnectionAttemptsBurst, 1, 1_000_000)
	inRange(v, "limits.connections_per_address", l.ConnectionsPerAddress, 1, 1_000_000)
	inRange(v, "limits.connections_per_user", l.ConnectionsPerUser, 1, 1_000_000)
	inRange(v, "limits.connections_per_company", l.ConnectionsPerCompany, 1, 10_000_000)
	inRange(v, "limits.frames_per_second", l.FramesPerSecond, 1, 100_000)
	inRange(v, "limits.frames_burst", l.FramesBurst, 1, 1_000_000)
	inRange(v, "limits.memory", l.Memory, 16*MiB, 1024*GiB)
	inRange(v, "limits.tickets_per_user", l.TicketsPerUser, 1, 10_000)
}
