package cdc

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// whyEnded reads what a stream that has ended already had to say.
func whyEnded(ctx context.Context, conn *pgconn.PgConn) error {
	for {
		msg, err := conn.ReceiveMessage(ctx)
		if err != nil {
			return err
		}
		if m, ok := msg.(*pgproto3.ErrorResponse); ok {
			return &StreamError{nil, explainSlot(pgconn.ErrorResponseToPgError(m))}
		}
	}
}

// startAgain is what mends a lost slot: nothing is kept across a start.
const startAgain = "start walwire again, or set on_slot_loss: recreate: it goes on from where the slot is then, or makes a new one, and all clients get new snapshots"

// firstFailoverVersion is the first server_version_num that knows failover slots.
const firstFailoverVersion = 170000

// identify checks that this is the primary, and the server of before.
func (c *Consumer) identify(ctx context.Context, conn *pgconn.PgConn) error {
	ctx, cancel := context.WithTimeout(ctx, c.answerTimeout)
	defer cancel()
	// The insert position, since what is flushed can lie inside a record.
	rows, err := simpleQuery(ctx, conn, `SELECT pg_is_in_recovery(), current_setting('wal_level'), current_setting('server_version_num'),
		CASE WHEN pg_is_in_recovery() THEN '0/0' ELSE pg_current_wal_insert_lsn() END`)
	if err != nil {
		return fmt.Errorf("identify server: %w", err)
	}
	if rows[0][0] == "t" {
		return errors.New("this server is a standby: walwire reads the primary; point database_url at it")
	}
	if rows[0][1] != "logical" {
		return errFatal{fmt.Errorf("wal_level is %q: run ALTER SYSTEM SET wal_level = 'logical' and restart PostgreSQL", rows[0][1])}
	}
	if c.version, err = strconv.Atoi(rows[0][2]); err != nil {
		return fmt.Errorf("identify server: %w", err)
	}
	end, err := pglogrepl.ParseLSN(rows[0][3])
	if err != nil {
		return fmt.Errorf("identify server: %w", err)
	}
	id, err := pglogrepl.IdentifySystem(ctx, conn)
	if err != nil {
		return fmt.Errorf("identify system: %w", err)
	}
	// A standby that was promoted before anything was read is as good as the primary of before.
	if c.system != "" && (c.system != id.SystemID || c.handled != 0 && c.timeline != id.Timeline) {
		return fmt.Errorf("%w: the server is system %s timeline %d, before it was %s timeline %d; "+startAgain,
			ErrHistoryChanged, id.SystemID, id.Timeline, c.system, c.timeline)
	}
	// A copy of the data directory put back keeps id and timeline.
	if end < c.handled {
		return fmt.Errorf("%w: the server's WAL ends at %s, before it had been read to %s: an earlier state was put back; "+startAgain,
			ErrHistoryChanged, end, c.handled)
	}
	c.system, c.timeline = id.SystemID, id.Timeline
	// Now, not once it streams: who takes the first of the feed asks which history it is of.
	status := *c.status.Load()
	status.SystemID, status.Timeline = c.system, c.timeline
	c.status.Store(&status)
	return nil
}

// standbyPace is how often a server that stands by looks at the slot.
const standbyPace = 100 * time.Millisecond

// ownPatience is how long our own walsender of before may read on: its process's id may be
// another's by then.
const ownPatience = 5 * time.Minute

// standBy waits while another server reads the slot, or our own walsender of before has
// not gone yet. Who has read it does not stand by for long: its clients would wait.
func (c *Consumer) standBy(ctx context.Context, conn *pgconn.PgConn) error {
	look := func() (*slotState, error) {
		ctx, cancel := context.WithTimeout(ctx, c.answerTimeout)
		defer cancel()
		return readSlot(ctx, conn, c.opts.Slot)
	}
	begun := time.Now()
	var taken time.Time // when another was first seen to read on
	for told := false; ; told = true {
		slot, err := look()
		if err != nil || slot == nil || !slot.active || slot.activePID == conn.PID() {
			return err
		}
		if !told {
			c.opts.Log.Info("standing by: another connection reads the slot", "slot", c.opts.Slot, "pid", slot.activePID)
			status := *c.status.Load()
			status.Err = fmt.Errorf("standing by: slot %q is read by another connection", c.opts.Slot)
			c.status.Store(&status)
		}
		switch {
		case c.handled == 0 || slot.activePID == c.walsender && time.Since(begun) < ownPatience:
		case taken.IsZero():
			taken = time.Now()
		case time.Since(taken) > c.opts.TakenPatience:
			return fmt.Errorf("%w: slot %q, connection %d", ErrSlotTaken, c.opts.Slot, slot.activePID)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(standbyPace):
		}
	}
}

// openSlot finds the slot, or makes it where nothing was ever read from it or a
// lost one may be made anew. Where the stream starts shows once it has.
func (c *Consumer) openSlot(ctx context.Context, conn *pgconn.PgConn) error {
	slot, database, err := c.lookUp(ctx, conn)
	if err != nil {
		return err
	}
	if slot == nil {
		switch {
		case c.handled == 0:
			c.missing("the slot is new")
		case c.opts.RecreateLostSlot:
			c.missing("the slot was gone and is new")
		default:
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
	case slot.lost() == "":
		return nil
	case !c.opts.RecreateLostSlot:
		return fmt.Errorf("%w: slot %q was invalidated: %s; drop it with SELECT pg_drop_replication_slot(%s) and start again",
			ErrSlotLost, c.opts.Slot, slot.lost(), quoteLiteral(c.opts.Slot))
	}
	c.missing("the slot was invalidated (" + slot.lost() + ") and made anew")
	if err := c.dropSlot(ctx, conn); err != nil {
		return err
	}
	return c.createSlot(ctx, conn)
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

// dropSlot drops an invalidated slot. It does not wait: one that is still in use is
// dropped by a later attempt.
func (c *Consumer) dropSlot(ctx context.Context, conn *pgconn.PgConn) error {
	ctx, cancel := context.WithTimeout(ctx, c.answerTimeout)
	defer cancel()
	if err := pglogrepl.DropReplicationSlot(ctx, conn, quoteIdent(c.opts.Slot), pglogrepl.DropReplicationSlotOptions{}); err != nil {
		return fmt.Errorf("drop slot %q: %w", c.opts.Slot, explainSlot(err))
	}
	c.opts.Log.Warn("dropped the lost replication slot", "slot", c.opts.Slot)
	return nil
}

func (c *Consumer) createSlot(ctx context.Context, conn *pgconn.PgConn) error {
	// The syntax of 17 knows failover, that of 14 is understood by all.
	options := "NOEXPORT_SNAPSHOT"
	if c.opts.FailoverSlot {
		if c.version < firstFailoverVersion {
			return errFatal{errors.New("slot_failover needs PostgreSQL 17: set it to false")}
		}
		options = "(SNAPSHOT 'nothing', FAILOVER true)"
	}
	c.logOpenTransactions(ctx, conn)
	c.walsender = conn.PID()
	rows, err := simpleQuery(ctx, conn, "CREATE_REPLICATION_SLOT "+quoteIdent(c.opts.Slot)+" LOGICAL pgoutput "+options)
	if pg := (*pgconn.PgError)(nil); errors.As(err, &pg) && pg.Code == "42710" && c.handled == 0 {
		c.gap = nil // another server was first, and knows of it
	}
	if err != nil {
		return fmt.Errorf("create slot %q: %w", c.opts.Slot, explainSlot(err))
	}
	c.opts.Log.Info("created replication slot", "slot", c.opts.Slot, "position", rows[0][1])
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

// start begins streaming at the last transaction handed over, so that it shows
// whether this is still the same history, at first at the slot's position. The
// server moves a start below confirmed_flush forward without a word, so that is
// looked up while the slot is ours: what lies between was acknowledged by somebody
// else, or it is another slot.
func (c *Consumer) start(ctx context.Context, conn *pgconn.PgConn) (*replication, error) {
	ctx, cancel := context.WithTimeout(ctx, c.answerTimeout)
	defer cancel()
	from, last := c.handled, c.last
	if last != (txIdentity{}) {
		from = last.commit
	}
	c.walsender = conn.PID()
	err := pglogrepl.StartReplication(ctx, conn, quoteIdent(c.opts.Slot), from, pglogrepl.StartReplicationOptions{
		PluginArgs: []string{"proto_version '1'", "publication_names " + quoteLiteral(quoteIdent(c.opts.Publication)), "messages 'true'"},
	})
	if err != nil {
		return nil, fmt.Errorf("start replication: %w", explainSlot(err))
	}
	side, err := connectSQL(ctx, c.opts.login())
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
	if slot.confirmed > c.handled || c.gap != nil {
		if c.handled != 0 && c.gap == nil {
			why := fmt.Sprintf("slot %q was moved to %s by another program, while walwire had handled %s", c.opts.Slot, slot.confirmed, c.handled)
			if !c.opts.RecreateLostSlot {
				return nil, fmt.Errorf("%w: %s; "+startAgain, ErrSlotLost, why)
			}
			c.missing(why)
		}
		if err := c.begin(ctx, side, max(slot.confirmed, c.handled)); err != nil {
			return nil, err
		}
	}
	timeout, err := senderTimeout(ctx, side)
	if err != nil {
		return nil, err
	}
	r := newReplication(c, conn, timeout)
	if slot.confirmed <= last.commit {
		r.expect = last
	}
	return r, nil
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
