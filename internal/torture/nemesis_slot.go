package torture

import (
	"context"
	"fmt"
	"syscall"
	"time"
)

// overSlot does something to walwire's slot, which must not be in use: with
// walwire down, or right after its walsender was ended.
func (n *nemesis) overSlot(ctx context.Context, sql string) error {
	defer n.run.chronicle.note("slot")
	if err := n.awaitSlot(ctx); err != nil {
		return err
	}
	down := n.r.IntN(2) == 0
	if down {
		n.stage.server.hold(syscall.SIGKILL)
		defer n.stage.server.release()
		pause(ctx, n.some(500*time.Millisecond))
	}
	const end = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '" + serverSlot + "' AND active_pid IS NOT NULL; "
	for range 300 {
		// It fails while walwire holds the slot again already, or has none now.
		if n.stage.try(ctx, end+sql) == nil {
			return nil
		}
		pause(ctx, 10*time.Millisecond)
	}
	return errNotDone
}

func (n *nemesis) slotDrop(ctx context.Context) error {
	return n.overSlot(ctx, "SELECT pg_drop_replication_slot('"+serverSlot+"')")
}

func (n *nemesis) slotAdvance(ctx context.Context) error {
	return n.overSlot(ctx, "SELECT pg_replication_slot_advance('"+serverSlot+"', pg_current_wal_flush_lsn())")
}

// awaitSlot waits for a slot that can be lost.
func (n *nemesis) awaitSlot(ctx context.Context) error {
	for used := false; !used; pause(ctx, 50*time.Millisecond) {
		if err := n.stage.query(ctx, &used, "SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '"+serverSlot+"' AND active AND confirmed_flush_lsn IS NOT NULL)"); err != nil {
			return err
		}
	}
	return nil
}

// slotInvalid has PostgreSQL remove the log that walwire's slot needs, and not
// what the history's slot needs.
func (n *nemesis) slotInvalid(ctx context.Context) error {
	defer n.run.chronicle.note("slot")
	if err := n.awaitSlot(ctx); err != nil {
		return err
	}
	n.stage.server.hold(syscall.SIGKILL)
	defer n.stage.server.release()
	const (
		segment = 16 << 20
		behind  = `SELECT coalesce((SELECT (pg_current_wal_lsn() - restart_lsn)::bigint FROM pg_replication_slots WHERE slot_name = '%s'), 0)`
	)
	for i := range 40 {
		var server, history int64
		if err := n.stage.query(ctx, &server, fmt.Sprintf(behind, serverSlot)); err != nil {
			return err
		}
		if err := n.stage.query(ctx, &history, fmt.Sprintf(behind, historySlot)); err != nil {
			return err
		}
		if i%10 == 9 {
			n.run.log.Info("slots are behind", "server", server, "history", history)
		}
		if keep := (history/segment + 2) * segment; server > keep+2*segment {
			return n.limitSlots(ctx, keep/(1<<20))
		}
		// More log, and a record of what is running, for the history to move to.
		err := n.stage.exec(ctx, "SELECT pg_logical_emit_message(false, 'filler', repeat('x', 1000000)) FROM generate_series(1, 12)")
		if err == nil {
			err = n.stage.exec(ctx, "CHECKPOINT")
		}
		if err != nil {
			return err
		}
		pause(ctx, 50*time.Millisecond)
	}
	return errNotDone // the history's slot does not move on
}

// limitSlots bounds what slots keep for the time of a checkpoint.
func (n *nemesis) limitSlots(ctx context.Context, megabytes int64) error {
	for _, sql := range []string{
		fmt.Sprintf("ALTER SYSTEM SET max_slot_wal_keep_size = '%dMB'", megabytes), "SELECT pg_reload_conf()", "SELECT pg_sleep(0.1)", "CHECKPOINT",
		"ALTER SYSTEM RESET max_slot_wal_keep_size", "SELECT pg_reload_conf()",
	} {
		if err := n.stage.exec(ctx, sql); err != nil {
			return err
		}
	}
	var status string
	if err := n.stage.query(ctx, &status, "SELECT coalesce((SELECT wal_status FROM pg_replication_slots WHERE slot_name = '"+serverSlot+"'), 'none')"); err != nil {
		return err
	}
	if status != "lost" {
		return errNotDone
	}
	return nil
}
