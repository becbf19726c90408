package cdc

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
)

// slotState is a row of pg_replication_slots as far as resuming depends on it.
type slotState struct {
	plugin    string
	database  string
	active    bool
	activePID uint32
	confirmed LSN
	walStatus string
}

// identify checks that this is the primary, and the server of before.
func (c *Consumer) identify(ctx context.Context, conn *pgconn.PgConn) error {
	rows, err := simpleQuery(ctx, conn, "SELECT pg_is_in_recovery(), current_setting('wal_level'), current_database()")
	if err != nil {
		return fmt.Errorf("identify server: %w", err)
	}
	if rows[0][0] == "t" {
		return errors.New("this server is a standby: walwire reads the primary; point database_url at it")
	}
	if rows[0][1] != "logical" {
		return errFatal{fmt.Errorf("wal_level is %q: run ALTER SYSTEM SET wal_level = 'logical' and restart PostgreSQL", rows[0][1])}
	}
	id, err := pglogrepl.IdentifySystem(ctx, conn)
	if err != nil {
		return fmt.Errorf("identify system: %w", err)
	}
	if c.system != "" && (c.system != id.SystemID || c.timeline != id.Timeline) {
		return fmt.Errorf("%w: the server is system %s timeline %d, before it was %s timeline %d",
			ErrSlotLost, id.SystemID, id.Timeline, c.system, c.timeline)
	}
	c.system, c.timeline = id.SystemID, id.Timeline
	return nil
}

// openSlot finds the slot, or makes it where nothing was ever read from it, and
// sets the position to start from.
func (c *Consumer) openSlot(ctx context.Context, conn *pgconn.PgConn) error {
	slot, err := readSlot(ctx, conn, c.opts.Slot)
	if err != nil {
		return err
	}
	if slot == nil {
		if c.handled != 0 {
			return fmt.Errorf("%w: slot %q is gone; it had been read to %s", ErrSlotLost, c.opts.Slot, c.handled)
		}
		return c.createSlot(ctx, conn)
	}
	switch {
	case slot.plugin != "pgoutput":
		return errFatal{fmt.Errorf("slot %q uses the plugin %q, not pgoutput: choose another slot name, or drop it with SELECT pg_drop_replication_slot(%s)",
			c.opts.Slot, slot.plugin, quoteLiteral(c.opts.Slot))}
	case slot.walStatus == "lost":
		return fmt.Errorf("%w: slot %q was invalidated (its WAL was removed); drop it with SELECT pg_drop_replication_slot(%s) and start again",
			ErrSlotLost, c.opts.Slot, quoteLiteral(c.opts.Slot))
	}
	if c.handled == 0 {
		c.handled = slot.confirmed
		c.Acknowledge(slot.confirmed)
	}
	return nil
}

func (c *Consumer) createSlot(ctx context.Context, conn *pgconn.PgConn) error {
	c.logOpenTransactions(ctx, conn)
	res, err := pglogrepl.CreateReplicationSlot(ctx, conn, quoteIdent(c.opts.Slot), "pgoutput",
		pglogrepl.CreateReplicationSlotOptions{Mode: pglogrepl.LogicalReplication, SnapshotAction: "NOEXPORT_SNAPSHOT"})
	if err != nil {
		return fmt.Errorf("create slot %q: %w", c.opts.Slot, explainSlot(err))
	}
	lsn, err := pglogrepl.ParseLSN(res.ConsistentPoint)
	if err != nil {
		return fmt.Errorf("create slot %q: %w", c.opts.Slot, err)
	}
	c.opts.Log.Info("created replication slot", "slot", c.opts.Slot, "position", lsn.String())
	c.handled = lsn
	c.Acknowledge(lsn)
	return nil
}

// logOpenTransactions names what slot creation will wait for.
func (c *Consumer) logOpenTransactions(ctx context.Context, conn *pgconn.PgConn) {
	rows, err := simpleQuery(ctx, conn, `SELECT pid, coalesce(usename, ''), coalesce(application_name, ''), coalesce(xact_start::text, '')
		FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() ORDER BY xact_start LIMIT 10`)
	if err != nil {
		c.opts.Log.Warn("can't list open transactions", "error", err)
		return
	}
	for _, r := range rows {
		c.opts.Log.Info("slot creation waits for an open transaction", "pid", r[0], "user", r[1], "application", r[2], "since", r[3])
	}
}

// start begins streaming at the handled position. The server moves a start
// below confirmed_flush forward without a word, so that is looked up while the
// slot is ours: what lies between was acknowledged by somebody else.
func (c *Consumer) start(ctx context.Context, conn *pgconn.PgConn) (*replication, error) {
	err := pglogrepl.StartReplication(ctx, conn, quoteIdent(c.opts.Slot), c.handled, pglogrepl.StartReplicationOptions{
		PluginArgs: []string{"proto_version '1'", "publication_names " + quoteLiteral(quoteIdent(c.opts.Publication)), "messages 'true'"},
	})
	if err != nil {
		return nil, fmt.Errorf("start replication: %w", explainSlot(err))
	}
	side, err := connectSQL(ctx, c.opts.DatabaseURL)
	if err != nil {
		return nil, fmt.Errorf("check the slot after start: %w", err)
	}
	defer closeConn(side)
	slot, err := readSlot(ctx, side, c.opts.Slot)
	if err != nil {
		return nil, err
	}
	if slot == nil || slot.activePID != conn.PID() {
		return nil, errors.New("the slot is not ours after start: another program took it")
	}
	if slot.confirmed > c.handled {
		return nil, fmt.Errorf("%w: slot %q was moved to %s by another program; walwire had handled %s", ErrSlotLost, c.opts.Slot, slot.confirmed, c.handled)
	}
	timeout, err := senderTimeout(ctx, side)
	if err != nil {
		return nil, err
	}
	return newReplication(c, conn, timeout), nil
}

func readSlot(ctx context.Context, conn *pgconn.PgConn, name string) (*slotState, error) {
	rows, err := simpleQuery(ctx, conn, `SELECT plugin, coalesce(database, ''), active, coalesce(active_pid, 0),
		coalesce(confirmed_flush_lsn, '0/0'), coalesce(wal_status, '') FROM pg_replication_slots WHERE slot_name = `+quoteLiteral(name))
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
	return &slotState{plugin: r[0], database: r[1], active: r[2] == "t", activePID: uint32(pid), confirmed: lsn, walStatus: r[5]}, nil
}

func senderTimeout(ctx context.Context, conn *pgconn.PgConn) (time.Duration, error) {
	rows, err := simpleQuery(ctx, conn, "SELECT setting FROM pg_settings WHERE name = 'wal_sender_timeout'")
	if err != nil {
		return 0, fmt.Errorf("read wal_sender_timeout: %w", err)
	}
	ms, err := strconv.Atoi(rows[0][0])
	if err != nil {
		return 0, fmt.Errorf("read wal_sender_timeout: %w", err)
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// explainSlot adds what to do to the errors an operator can mend.
func explainSlot(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	switch {
	case pg.Code == "55006": // object_in_use: another walwire, or our own walsender not yet gone
		return fmt.Errorf("the slot is in use by another connection: %w", err)
	case pg.Code == "53400": // configuration_limit_exceeded
		return errFatal{fmt.Errorf("no free replication slot: raise max_replication_slots and restart PostgreSQL, or drop one that nobody reads: %w", err)}
	case pg.Code == "42501":
		return errFatal{fmt.Errorf("the role may not replicate: run ALTER ROLE name REPLICATION as a superuser: %w", err)}
	case pg.Code == "42704" && strings.Contains(pg.Message, "publication"):
		return errFatal{fmt.Errorf("create the publication first (walwire check prints the SQL): %w", err)}
	case pg.Code == "55000" && strings.Contains(pg.Message, "can no longer get changes"):
		return fmt.Errorf("%w: %w", ErrSlotLost, err)
	}
	return err
}
