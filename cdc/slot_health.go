package cdc

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
)

// SlotHealth is a replication slot as the server sees it, with what it keeps.
type SlotHealth struct {
	Name        string
	Type        string // logical or physical
	Plugin      string // "" of a physical one
	Database    string
	Here        string // the database that was asked
	Active      bool
	ActivePID   int32  // 0 where inactive
	Application string // of who reads it
	WALStatus   string // reserved, extended, unreserved or lost
	// Invalidation is PostgreSQL's name for why it was invalidated, "" where it was
	// not or the server does not say.
	Invalidation string
	Failover     bool // kept in step by standbys
	Confirmed    LSN  // where a reader goes on; zero of a physical one
	Restart      LSN  // WAL is kept from here on; zero once it is lost
	Current      LSN  // where the server writes
	// RetainedBytes is how much WAL the server keeps for it.
	RetainedBytes int64
	// SafeBytes is how much more WAL may be written before it is in danger; nil where
	// nothing bounds it, or it is lost.
	SafeBytes *int64
}

// Lost is why nothing can be read from the slot any more, "" where something can.
func (h *SlotHealth) Lost() string { return lostBecause(h.WALStatus, h.Invalidation) }

// LagBytes is how much was written behind what the reader acknowledged.
func (h *SlotHealth) LagBytes() int64 {
	if h.Confirmed == 0 {
		return 0
	}
	return int64(h.Current - min(h.Confirmed, h.Current))
}

// Warning is what the operator should know of a slot that still can be read, ""
// for nothing.
func (h *SlotHealth) Warning() string {
	switch why := h.Lost(); {
	case why != "":
		return "the slot is lost: " + why
	case h.WALStatus == "unreserved":
		return "the slot retains more WAL than max_slot_wal_keep_size: the next checkpoint may remove it"
	}
	return ""
}

// slotHealthSQL has texts for positions, which pgx knows no type for. A standby
// writes no WAL.
const slotHealthSQL = `
SELECT slot_name::text, slot_type, coalesce(plugin::text, ''), coalesce(database::text, ''), current_database()::text, active, coalesce(active_pid, 0),
	coalesce((SELECT r.application_name FROM pg_catalog.pg_stat_replication r WHERE r.pid = active_pid), ''),
	coalesce(wal_status, ''), ` + invalidationSQL + `, coalesce((to_jsonb(s)->>'failover')::bool, false),
	coalesce(confirmed_flush_lsn, '0/0')::text, coalesce(restart_lsn, '0/0')::text, coalesce(now, '0/0')::text,
	coalesce(now - restart_lsn, 0)::int8, safe_wal_size
FROM pg_catalog.pg_replication_slots s, (SELECT CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_current_wal_lsn() END) w(now)
WHERE slot_name = $1`

// ReadSlotHealth reads a slot; nil where there is none. It costs one look into the
// server's memory.
func ReadSlotHealth(ctx context.Context, q CatalogQuerier, name string) (*SlotHealth, error) {
	rows, err := q.Query(ctx, slotHealthSQL, name)
	if err != nil {
		return nil, fmt.Errorf("read slot %q: %w", name, err)
	}
	var h SlotHealth
	var confirmed, restart, current string
	_, err = pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (struct{}, error) {
		return struct{}{}, row.Scan(&h.Name, &h.Type, &h.Plugin, &h.Database, &h.Here, &h.Active, &h.ActivePID, &h.Application,
			&h.WALStatus, &h.Invalidation, &h.Failover, &confirmed, &restart, &current, &h.RetainedBytes, &h.SafeBytes)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read slot %q: %w", name, err)
	}
	for _, p := range []struct {
		to   *LSN
		text string
	}{{&h.Confirmed, confirmed}, {&h.Restart, restart}, {&h.Current, current}} {
		if *p.to, err = pglogrepl.ParseLSN(p.text); err != nil {
			return nil, fmt.Errorf("read slot %q: %w", name, err)
		}
	}
	return &h, nil
}
