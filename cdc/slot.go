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
	"github.com/jackc/pgx/v5/pgproto3"
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

// whyEnded reads what a stream that has ended already had to say.
func whyEnded(ctx context.Context, conn *pgconn.PgConn) error {
	for {
		msg, err := conn.ReceiveMessage(ctx)
		if err != nil {
			return err
		}
		if m, ok := msg.(*pgproto3.ErrorResponse); ok {
			return explainSlot(pgconn.ErrorResponseToPgError(m))
		}
	}
}

// kind says what a slot is that is not pgoutput's.
func (s *slotState) kind() string {
	if s.plugin == "" {
		return "a physical one"
	}
	return "one of the plugin " + strconv.Quote(s.plugin)
}

// startAgain is what mends a lost slot: nothing is kept across a start.
const startAgain = "start walwire again: it goes on from where the slot is then, or makes a new one, and all clients get new snapshots"

// identify checks that this is the primary, and the server of before.
func (c *Consumer) identify(ctx context.Context, conn *pgconn.PgConn) error {
	ctx, cancel := context.WithTimeout(ctx, c.answerTimeout)
	defer cancel()
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
		return fmt.Errorf("%w: the server is system %s timeline %d, before it was %s timeline %d; "+startAgain,
			ErrSlotLost, id.SystemID, id.Timeline, c.system, c.timeline)
	}
	c.system, c.timeline = id.SystemID, id.Timeline
	return nil
}

// openSlot finds the slot, or makes it where nothing was ever read from it, and
// sets the position to start from.
func (c *Consumer) openSlot(ctx context.Context, conn *pgconn.PgConn) error {
	slot, database, err := c.lookUp(ctx, conn)
	if err != nil {
		return err
	}
	if slot == nil {
		if c.handled != 0 {
			return fmt.Errorf("%w: slot %q is gone, after it had been read to %s; "+startAgain, ErrSlotLost, c.opts.Slot, c.handled)
		}
		return c.createSlot(ctx, conn)
	}
	switch {
	case slot.plugin != "pgoutput":
		return errFatal{fmt.Errorf("slot %q is %s, not one of pgoutput: choose another slot name, or drop it with SELECT pg_drop_replication_slot(%s)",
			c.opts.Slot, slot.kind(), quoteLiteral(c.opts.Slot))}
	case slot.database != database:
		return errFatal{fmt.Errorf("slot %q belongs to the database %q, not to %q: choose another slot name", c.opts.Slot, slot.database, database)}
	case slot.walStatus == "lost":
		return fmt.Errorf("%w: slot %q was invalidated (its WAL was removed); drop it with SELECT pg_drop_replication_slot(%s) and start again",
			ErrSlotLost, c.opts.Slot, quoteLiteral(c.opts.Slot))
	}
	if c.handled == 0 {
		c.reach(slot.confirmed)
		c.Acknowledge(slot.confirmed)
	}
	return nil
}

// lookUp reads the slot, nil where there is none, and the database's name. The
// publication must be there: START_REPLICATION does not look, the stream would
// break at the first change, and a slot made before its publication stays broken.
func (c *Consumer) lookUp(ctx context.Context, conn *pgconn.PgConn) (slot *slotState, database string, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.answerTimeout)
	defer cancel()
	rows, err := simpleQuery(ctx, conn, "SELECT current_database(), EXISTS (SELECT FROM pg_publication WHERE pubname = "+quoteLiteral(c.opts.Publication)+")")
	if err != nil {
		return nil, "", fmt.Errorf("look for publication %q: %w", c.opts.Publication, err)
	}
	if rows[0][1] != "t" {
		return nil, "", errFatal{fmt.Errorf("publication %q does not exist in the database %q: create it first (walwire check prints the SQL)",
			c.opts.Publication, rows[0][0])}
	}
	slot, err = readSlot(ctx, conn, c.opts.Slot)
	return slot, rows[0][0], err
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
	c.reach(lsn)
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
	ctx, cancel := context.WithTimeout(ctx, c.answerTimeout)
	defer cancel()
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
		return nil, fmt.Errorf("start replication: the stream ended at once: %w", whyEnded(ctx, conn))
	}
	if slot.confirmed > c.handled {
		return nil, fmt.Errorf("%w: slot %q was moved to %s by another program, while walwire had handled %s; "+startAgain, ErrSlotLost, c.opts.Slot, slot.confirmed, c.handled)
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

// invalidated recognises what the versions from 14 to 18 say of a slot that was
// invalidated between openSlot's look and the start.
func invalidated(message string) bool {
	for _, s := range []string{"cannot read from logical replication slot", "can no longer get changes", "can no longer access replication slot"} {
		if strings.Contains(message, s) {
			return true
		}
	}
	return false
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
		return errFatal{fmt.Errorf("the publication did not exist yet, or no longer, where the stream stands: a slot older than its publication must be dropped (pg_drop_replication_slot) and made anew: %w", err)}
	case pg.Code == "55000" && invalidated(pg.Message):
		return fmt.Errorf("%w: %w", ErrSlotLost, err)
	}
	return err
}
