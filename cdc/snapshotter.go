package cdc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// SnapshotterOptions bounds what snapshots may take from the database.
type SnapshotterOptions struct {
	DatabaseURL string
	// PasswordFile holds the password in place of one in DatabaseURL, and is read at
	// each connect; "" is none.
	PasswordFile string
	// Connections is how many snapshots run at once, beside urgentConnections for
	// what must not wait behind them. Zero means 4.
	Connections int
	// StatementTimeout bounds one SELECT. Zero means 60 s.
	StatementTimeout time.Duration
	// LockTimeout bounds the wait for a table that an ALTER holds, which takes up a
	// connection: who wants the snapshot tries again. Zero means 250 ms.
	LockTimeout time.Duration
	// Margin is how much longer than PostgreSQL's own timeout an answer may take. A
	// connection that has gone silent never says that a statement was given up. Zero
	// means 10 s.
	Margin time.Duration
}

// Snapshotter reads tables so that the rows can be joined exactly to the stream.
type Snapshotter struct {
	pool   *pgxpool.Pool
	urgent *pgxpool.Pool
	opts   SnapshotterOptions
	stream func() LSN // nil: there is none
}

// urgentConnections is how many connections are kept for heartbeats, visibility,
// the catalogue and urgent snapshots.
const urgentConnections = 2

// ErrUnwanted is returned for a snapshot that nobody wanted any more when it was
// its turn.
var ErrUnwanted = errors.New("snapshot no longer wanted")

// Select is one query of a snapshot.
type Select struct {
	Table TableName
	// SQL selects from Table; its parameters are sent as text.
	SQL  string
	Args []string
	// Types are the type OIDs that the result columns must have; a difference is
	// ErrShapeChanged.
	Types []uint32
	// Urgent does not wait behind other snapshots.
	Urgent bool
	// Unwanted is asked when it is the snapshot's turn; nil: it is wanted. Safe for
	// concurrent use.
	Unwanted func() bool
	// Row gets each row, text format, nil for NULL, valid during the call only.
	Row func(values [][]byte) error
}

// NewSnapshotter opens the pool; connections are made when needed.
func NewSnapshotter(ctx context.Context, opts SnapshotterOptions) (*Snapshotter, error) {
	if opts.Connections == 0 {
		opts.Connections = 4
	}
	if opts.StatementTimeout == 0 {
		opts.StatementTimeout = time.Minute
	}
	if opts.LockTimeout == 0 {
		opts.LockTimeout = 250 * time.Millisecond
	}
	if opts.Margin == 0 {
		opts.Margin = 10 * time.Second
	}
	cfg, err := opts.pool()
	if err != nil {
		return nil, err
	}
	s := &Snapshotter{opts: opts}
	for _, p := range []struct {
		pool        **pgxpool.Pool
		connections int
	}{{&s.pool, opts.Connections}, {&s.urgent, urgentConnections}} {
		one := cfg.Copy()
		one.MaxConns = int32(p.connections)
		if *p.pool, err = pgxpool.NewWithConfig(ctx, one); err != nil {
			return nil, fmt.Errorf("open snapshot pool: %w", err)
		}
	}
	return s, nil
}

// pool is what connections are made from, each by what the files that it needs hold then.
func (o SnapshotterOptions) pool() (*pgxpool.Config, error) {
	read := func() (*pgxpool.Config, error) {
		cfg, err := login{o.DatabaseURL, o.PasswordFile}.session()
		if err != nil {
			return nil, err
		}
		cfg.ConnConfig.RuntimeParams["statement_timeout"] = fmt.Sprint(o.StatementTimeout.Milliseconds())
		cfg.ConnConfig.RuntimeParams["lock_timeout"] = fmt.Sprint(o.LockTimeout.Milliseconds())
		return cfg, nil
	}
	cfg, err := read()
	if err != nil {
		return nil, err
	}
	cfg.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
		now, err := read()
		if err == nil {
			c.Config = now.ConnConfig.Config
		}
		return err
	}
	return cfg, nil
}

// Ping makes a connection where there is none, and says what to do where that fails.
func (s *Snapshotter) Ping(ctx context.Context) error { return explainTLS(s.urgent.Ping(ctx)) }

// Pool gives the connections to whoever reads the catalogue.
func (s *Snapshotter) Pool() *pgxpool.Pool { return s.urgent }

// Busy tells how many of the connections that read snapshots are in use.
func (s *Snapshotter) Busy() (busy, connections int) {
	stat := s.pool.Stat()
	return int(stat.AcquiredConns()), int(stat.MaxConns())
}

// Bound ends what is asked by Pool when no answer can be hoped for any more.
func (s *Snapshotter) Bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.opts.StatementTimeout+s.opts.Margin)
}

// Close waits for running snapshots and closes the connections.
func (s *Snapshotter) Close() {
	s.pool.Close()
	s.urgent.Close()
}

// Follow says how far the stream is that snapshots are to be joined with; safe for
// concurrent use. A database that has not come as far is another one, such as a standby
// that was promoted, or a backup put back: its snapshots are refused. To be called before
// any is taken.
func (s *Snapshotter) Follow(position func() LSN) { s.stream = position }

// reached is how far the database has come at least, if it is the stream's.
func (s *Snapshotter) reached() LSN {
	if s.stream == nil {
		return 0
	}
	return s.stream()
}

func (snap *Snapshot) reaches(least LSN) error {
	if snap.Position < least {
		return fmt.Errorf("the database is at %s, before it was at %s: it is another one than the stream's", snap.Position, least)
	}
	return nil
}

// Visible takes a snapshot without reading rows: what is visible by now.
func (s *Snapshotter) Visible(ctx context.Context) (Snapshot, error) {
	var text, insert, flush string
	var standby bool
	ctx, cancel := s.Bound(ctx)
	defer cancel()
	least := s.reached()
	if err := s.urgent.QueryRow(ctx, positionSQL).Scan(&text, &insert, &flush, &standby); err != nil {
		return Snapshot{}, fmt.Errorf("read snapshot: %w", err)
	}
	row := [][]byte{[]byte(text), []byte(insert), []byte(flush), []byte("f")}
	if standby {
		row[3] = []byte("t")
	}
	snap, _, err := parsePosition(row)
	if err == nil {
		err = snap.reaches(least)
	}
	return snap, err
}

// Clock is the database's, as commit times are: later than those of all commits that are
// visible by now.
func (s *Snapshotter) Clock(ctx context.Context) (micros int64, err error) {
	ctx, cancel := s.Bound(ctx)
	defer cancel()
	const sql = "SELECT (extract(epoch FROM clock_timestamp() - timestamptz '2000-01-01 00:00:00+00') * 1000000)::int8"
	if err := s.urgent.QueryRow(ctx, sql).Scan(&micros); err != nil {
		return 0, fmt.Errorf("read the clock: %w", err)
	}
	return micros, nil
}

// Heartbeat writes a logical message, so that the WAL is flushed up to now and
// the slot has something to move past.
func (s *Snapshotter) Heartbeat(ctx context.Context) error {
	ctx, cancel := s.Bound(ctx)
	defer cancel()
	conn, err := s.urgent.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("heartbeat: %w", err)
	}
	defer conn.Release()
	return emitHeartbeat(ctx, conn.Conn().PgConn())
}

// emitHeartbeat commits locally only: a synchronous standby that is away would
// hang it.
func emitHeartbeat(ctx context.Context, conn *pgconn.PgConn) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err := conn.Exec(ctx, `BEGIN; SET LOCAL synchronous_commit = local;
		SELECT pg_logical_emit_message(true, 'walwire', ''); COMMIT`).ReadAll()
	if err != nil {
		return fmt.Errorf("heartbeat: %w", err)
	}
	return nil
}
