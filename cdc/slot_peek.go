package cdc

import (
	"context"
	"fmt"
	"log/slog"
)

// PeekSlot reads what a slot holds up to now, as a Consumer would, and hands each
// transaction to visit, in order. It reads a temporary copy of the slot, so that nothing
// is moved, and a server that follows the slot notices nothing. It needs a slot to spare
// in max_replication_slots.
func PeekSlot(ctx context.Context, opts ConsumerOptions, visit func(*Transaction) error) error {
	conn, err := connectSQL(ctx, opts.login())
	if err != nil {
		return explainTLS(err)
	}
	defer closeConn(conn) // and the copy with it
	slot, err := readSlot(ctx, conn, opts.Slot)
	switch {
	case err != nil:
		return err
	case slot == nil:
		return fmt.Errorf("there is no slot %q: it is made when a server first starts, and holds what was written since", opts.Slot)
	case slot.plugin != "pgoutput":
		return fmt.Errorf("slot %q is %s, not one of pgoutput", opts.Slot, slot.kind())
	case slot.lost() != "":
		return fmt.Errorf("slot %q was invalidated: %s", opts.Slot, slot.lost())
	}
	copied := fmt.Sprintf("walwire_peek_%d", conn.PID())
	if _, err := simpleQuery(ctx, conn, "SELECT pg_catalog.pg_copy_logical_replication_slot("+quoteLiteral(opts.Slot)+", "+quoteLiteral(copied)+", true)"); err != nil {
		return fmt.Errorf("copy slot %q: %w", opts.Slot, explainSlot(err))
	}
	opts.Log = slog.New(slog.DiscardHandler)
	a := assembly{consumer: NewConsumer(opts, nil), relations: make(map[uint32]*Relation)}
	sql := "SELECT data FROM pg_catalog.pg_logical_slot_peek_binary_changes($1, NULL, NULL, 'proto_version', '1', 'publication_names', $2)"
	rows := conn.ExecParams(ctx, sql, textArgs([]string{copied, quoteIdent(opts.Publication)}), nil, nil, []int16{1})
	for rows.NextRow() && err == nil {
		var tx *Transaction
		if tx, err = a.add(rows.Values()[0]); tx != nil && err == nil {
			err = visit(tx)
		}
	}
	if _, closeErr := rows.Close(); closeErr != nil {
		return fmt.Errorf("read slot %q: %w", opts.Slot, explainSlot(closeErr))
	}
	if err != nil {
		return err
	}
	// Not left to the connection's end, which PostgreSQL notices in its own time.
	if _, err := simpleQuery(ctx, conn, "SELECT pg_catalog.pg_drop_replication_slot("+quoteLiteral(copied)+")"); err != nil {
		return fmt.Errorf("drop the copy of slot %q: %w", opts.Slot, err)
	}
	return nil
}
