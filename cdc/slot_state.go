package cdc

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
)

// slotState is a row of pg_replication_slots as far as resuming depends on it.
type slotState struct {
	plugin       string
	database     string
	active       bool
	activePID    uint32
	confirmed    LSN
	walStatus    string
	invalidation string
}

// invalidationSQL is why slot s was invalidated, "" where it was not or the server
// does not say: 17 and newer give a reason. 16 has a flag, conflicting, which it sets
// for every slot that is lost.
const invalidationSQL = `coalesce(to_jsonb(s)->>'invalidation_reason', '')`

func readSlot(ctx context.Context, conn *pgconn.PgConn, name string) (*slotState, error) {
	rows, err := simpleQuery(ctx, conn, `SELECT coalesce(plugin, ''), coalesce(database, ''), active, coalesce(active_pid, 0),
		coalesce(confirmed_flush_lsn, '0/0'), coalesce(wal_status, ''), `+invalidationSQL+`
		FROM pg_catalog.pg_replication_slots s WHERE slot_name = `+quoteLiteral(name))
	if err != nil {
		return nil, fmt.Errorf("read slot %q: %w", name, err)
	}
	if len(rows) == 0 {
		return nil, nil
	}
	r := rows[0]
	pid, err := strconv.ParseUint(r[3], 10, 32)
	if err != nil {
		return nil, fmt.Errorf("read slot %q: %w", name, err)
	}
	lsn, err := pglogrepl.ParseLSN(r[4])
	if err != nil {
		return nil, fmt.Errorf("read slot %q: %w", name, err)
	}
	return &slotState{plugin: r[0], database: r[1], active: r[2] == "t", activePID: uint32(pid),
		confirmed: lsn, walStatus: r[5], invalidation: r[6]}, nil
}

// kind says what a slot is that is not pgoutput's.
func (s *slotState) kind() string {
	if s.plugin == "" {
		return "a physical one"
	}
	return "one of the plugin " + strconv.Quote(s.plugin)
}

// lost is why nothing can be read from the slot any more, "" where something can.
func (s *slotState) lost() string { return lostBecause(s.walStatus, s.invalidation) }

// lostBecause words PostgreSQL's reasons for invalidating a slot.
func lostBecause(walStatus, reason string) string {
	const removed = "its WAL was removed: it fell further behind than max_slot_wal_keep_size allows"
	why := ""
	switch {
	case reason == "" && walStatus == "lost":
		return removed
	case reason == "wal_removed":
		why = removed
	case reason == "idle_timeout":
		why = "nobody read it for longer than idle_replication_slot_timeout allows"
	case reason == "rows_removed":
		why = "rows of the catalogue that it needs are gone"
	case reason == "wal_level_insufficient":
		why = "wal_level was not logical for a time"
	default:
		return reason
	}
	return why + " (" + reason + ")"
}
