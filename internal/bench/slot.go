package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// The slot and the publication are those of the reference configuration.
const (
	serverSlot  = "walwire"
	publication = "walwire"
)

const (
	// slotTime bounds the wait for a slot to be taken or to be read from. The
	// server waits up to 10 s between two attempts to connect.
	slotTime = 60 * time.Second
	pollPace = 2 * time.Millisecond
)

// pluginArgs are what every reader asks pgoutput for.
func pluginArgs() []string {
	return []string{"proto_version '1'", "publication_names '" + publication + "'"}
}

// makeSlot makes a slot at the present end of the WAL.
func makeSlot(ctx context.Context, conn *pgx.Conn, name string) error {
	if _, err := conn.Exec(ctx, "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", name); err != nil {
		return fmt.Errorf("make slot %s: %w", name, err)
	}
	return nil
}

// holder keeps the server's slot from being read: it has it open and reads
// nothing, so that PostgreSQL refuses the server, which tries again.
type holder struct{ conn *pgconn.PgConn }

// takeSlot ends the server's replication connection and takes its place.
func takeSlot(ctx context.Context, c *cluster) (*holder, error) {
	ctx, cancel := context.WithTimeout(ctx, slotTime)
	defer cancel()
	for {
		_, err := c.conn.Exec(ctx, `SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots
			WHERE slot_name = $1 AND active_pid IS NOT NULL`, serverSlot)
		if err != nil {
			return nil, fmt.Errorf("take the slot from the server: %w", err)
		}
		h, err := holdSlot(ctx, c.URL())
		if err == nil {
			return h, nil
		}
		if busy := new(pgconn.PgError); !errors.As(err, &busy) || busy.Code != "55006" { // object_in_use
			return nil, fmt.Errorf("take the slot from the server: %w", err)
		}
	}
}

func holdSlot(ctx context.Context, url string) (*holder, error) {
	cfg, err := pgconn.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	cfg.RuntimeParams["replication"] = "database"
	cfg.RuntimeParams["wal_sender_timeout"] = "0"
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	err = pglogrepl.StartReplication(ctx, conn, serverSlot, 0, pglogrepl.StartReplicationOptions{PluginArgs: pluginArgs()})
	if err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	return &holder{conn}, nil
}

// pid is the walsender that holds the slot.
func (h *holder) pid() uint32 { return h.conn.PID() }

// release lets the server have its slot. Nothing was acknowledged: the slot is
// where it was. Safe to call again.
func (h *holder) release() {
	_ = h.conn.Conn().Close() // a goodbye could block: PostgreSQL writes and nobody reads
}

// readerStart waits until a walsender other than the holder's has the slot open
// and gives the time when it was told to begin, by this machine's clock. ended, unless it is
// nil, is closed when the reader has ended.
func readerStart(ctx context.Context, conn *pgx.Conn, slot string, holder uint32, ended <-chan struct{}) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, slotTime)
	defer cancel()
	for {
		var start time.Time
		err := conn.QueryRow(ctx, `SELECT a.query_start FROM pg_replication_slots s JOIN pg_stat_activity a ON a.pid = s.active_pid
			WHERE s.slot_name = $1 AND s.active_pid <> $2 AND a.query LIKE 'START_REPLICATION%'`, slot, int64(holder)).Scan(&start)
		if err == nil {
			return start, nil
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return time.Time{}, fmt.Errorf("wait for a reader of slot %s: %w", slot, err)
		}
		select {
		case <-ended:
			return time.Time{}, fmt.Errorf("the reader of slot %s has ended", slot)
		default:
		}
		if err := pause(ctx, pollPace); err != nil {
			return time.Time{}, fmt.Errorf("wait for a reader of slot %s: %w", slot, err)
		}
	}
}

// resetDecoded lets decoded count from now on.
func resetDecoded(ctx context.Context, conn *pgx.Conn, slot string) error {
	if _, err := conn.Exec(ctx, "SELECT pg_stat_reset_replication_slot($1)", slot); err != nil {
		return fmt.Errorf("reset the statistics of slot %s: %w", slot, err)
	}
	return nil
}

// decoded is how many transactions PostgreSQL says it has decoded for a slot.
func decoded(ctx context.Context, conn *pgx.Conn, slot string) (transactions int64, err error) {
	err = conn.QueryRow(ctx, "SELECT total_txns FROM pg_stat_replication_slots WHERE slot_name = $1", slot).Scan(&transactions)
	if err != nil {
		return 0, fmt.Errorf("read the statistics of slot %s: %w", slot, err)
	}
	return transactions, nil
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
