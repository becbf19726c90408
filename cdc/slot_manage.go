package cdc

import (
	"context"
	"fmt"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
)

// Manageable is why the slot must not be touched: it is not one of walwire in this
// database, or somebody reads it. nil: it may.
func (h *SlotHealth) Manageable() error {
	name := quoteIdent(h.Name)
	switch {
	case h.Type != "logical":
		return fmt.Errorf("slot %s is a physical one, not walwire's", name)
	case h.Plugin != "pgoutput":
		return fmt.Errorf("slot %s is one of the plugin %q, not walwire's", name, h.Plugin)
	case h.Database != h.Here:
		return fmt.Errorf("slot %s belongs to the database %s, not to %s", name, quoteIdent(h.Database), quoteIdent(h.Here))
	case h.Active:
		return fmt.Errorf("slot %s is in use by pid %d (application %q): stop that first", name, h.ActivePID, h.Application)
	}
	return nil
}

// DropSlot drops a slot and lets PostgreSQL remove the WAL that it retained.
func DropSlot(ctx context.Context, conn *pgx.Conn, name string) error {
	if _, err := conn.Exec(ctx, "SELECT pg_drop_replication_slot($1)", name); err != nil {
		return fmt.Errorf("drop slot %s: %w", quoteIdent(name), explainSlot(err))
	}
	return nil
}

// AdvanceSlot moves a slot forward: what commits below to will not be sent.
func AdvanceSlot(ctx context.Context, conn *pgx.Conn, name string, to LSN) error {
	if _, err := conn.Exec(ctx, "SELECT pg_replication_slot_advance($1, $2::text::pg_lsn)", name, to.String()); err != nil {
		return fmt.Errorf("advance slot %s: %w", quoteIdent(name), explainSlot(err))
	}
	return nil
}

// FlushedPosition is a position below which everything has been committed, and all
// of it flushed.
func FlushedPosition(ctx context.Context, conn *pgx.Conn) (LSN, error) {
	var text string
	// What is flushed can lie inside a record, which a reader never reaches.
	if err := conn.QueryRow(ctx, "SELECT pg_current_wal_insert_lsn()::text").Scan(&text); err != nil {
		return 0, fmt.Errorf("read the position of the WAL: %w", err)
	}
	if err := emitHeartbeat(ctx, conn.PgConn()); err != nil {
		return 0, err
	}
	return pglogrepl.ParseLSN(text)
}
