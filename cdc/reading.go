package cdc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	beginSQL = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
	// The snapshot is the transaction's first; F is read after it, so every
	// commit that the snapshot sees lies below F.
	// A standby has no such positions: asking it is an error.
	positionSQL = `SELECT pg_current_snapshot()::text,
		CASE WHEN pg_is_in_recovery() THEN '' ELSE pg_current_wal_insert_lsn()::text END,
		CASE WHEN pg_is_in_recovery() THEN '' ELSE pg_current_wal_flush_lsn()::text END,
		pg_is_in_recovery()`
)

// Read runs q in a snapshot of its own, in one round trip; see ReadAll.
func (s *Snapshotter) Read(ctx context.Context, q Select) (snap Snapshot, err error) {
	s.ReadAll(ctx, []Select{q}, func(_ int, of Snapshot, readErr error) { snap, err = of, readErr })
	return snap, err
}

// ReadAll runs queries of one table in one snapshot and one round trip, and calls done for
// each once its rows have been read. The table is locked (ACCESS SHARE) before the
// snapshot is taken: an ALTER TABLE that rewrites it between the two would leave the
// snapshot without rows. Flushes the WAL up to the snapshot's position where it was not. A
// query that fails fails alone: those behind it are read in another snapshot.
func (s *Snapshotter) ReadAll(ctx context.Context, queries []Select, done func(i int, snap Snapshot, err error)) {
	r := reading{s: s, queries: queries, done: func(i int, snap Snapshot, err error) {
		if err != nil && !errors.Is(err, ErrUnwanted) {
			err = fmt.Errorf("snapshot of %s: %w", queries[i].Table, err)
		}
		done(i, snap, err)
	}}
	for i := range queries {
		r.left = append(r.left, i)
	}
	for len(r.left) > 0 {
		r.some(ctx)
	}
}

// reading is queries being read in one snapshot, or more where some fail.
type reading struct {
	s       *Snapshotter
	queries []Select
	done    func(i int, snap Snapshot, err error)
	left    []int     // of queries: those that are not done
	begun   time.Time // the first of them
}

// first ends the first query that is left.
func (r *reading) first(snap Snapshot, err error) {
	i := r.left[0]
	r.left = r.left[1:]
	r.done(i, snap, err)
	r.begun = time.Now()
}

// some reads queries up to the first that fails.
func (r *reading) some(ctx context.Context) {
	pool := r.s.pool
	if r.queries[0].Urgent {
		pool = r.s.urgent
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		r.fail(err)
		return
	}
	defer conn.Release()
	var wanted []int
	for _, i := range r.left {
		if q := &r.queries[i]; q.Unwanted != nil && q.Unwanted() {
			r.done(i, Snapshot{}, ErrUnwanted)
		} else {
			wanted = append(wanted, i)
		}
	}
	if r.left = wanted; len(wanted) == 0 {
		return
	}
	o := &r.s.opts
	bounded, cancel := context.WithTimeout(ctx, o.LockTimeout+time.Duration(len(wanted))*o.StatementTimeout+o.Margin)
	defer cancel()
	r.begun = time.Now()
	positioned, err := r.run(bounded, conn.Conn().PgConn())
	if err == nil {
		return
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "57014" && time.Since(r.begun) < o.StatementTimeout {
		err = fmt.Errorf("canceled by somebody: %s", pg.Message) // not a timeout: may be tried again
	}
	if positioned {
		r.first(Snapshot{}, err)
	} else {
		r.fail(err)
	}
}

// fail ends all queries that are left.
func (r *reading) fail(err error) {
	for len(r.left) > 0 {
		r.first(Snapshot{}, err)
	}
}

// run reads the queries that are left; positioned says that an error is the first one's.
func (r *reading) run(ctx context.Context, conn *pgconn.PgConn) (positioned bool, err error) {
	statements := preparedBy(conn)
	statements.room(ctx, conn, len(r.left)+1)
	position, err := statements.name(ctx, conn, positionSQL)
	names := make([]string, len(r.left))
	for n := 0; n < len(names) && err == nil; n++ {
		names[n], err = statements.name(ctx, conn, r.queries[r.left[n]].SQL)
	}
	if isLocked(err) {
		return false, err // as it would be for LOCK TABLE, after as long again
	}
	least := r.s.reached()
	p := conn.StartPipeline(ctx)
	p.SendQueryParams(beginSQL, nil, nil, nil, nil)
	p.SendQueryParams("LOCK TABLE "+r.queries[0].Table.String()+" IN ACCESS SHARE MODE", nil, nil, nil, nil)
	send(p, position, positionSQL, nil)
	for n, i := range r.left {
		send(p, names[n], r.queries[i].SQL, textArgs(r.queries[i].Args))
	}
	p.SendQueryParams("COMMIT", nil, nil, nil, nil)
	if err := p.Sync(); err != nil {
		return false, errors.Join(err, p.Close())
	}
	snap, flushed, err := readPosition(p)
	if err == nil {
		err = snap.reaches(least)
	}
	if positioned = err == nil; positioned {
		err = r.readPipeline(p, snap)
	}
	// Close drains what an error left unread.
	if closeErr := p.Close(); err == nil {
		err = closeErr
	}
	if err != nil && conn.TxStatus() != 'I' && !conn.IsClosed() {
		_, rollbackErr := conn.Exec(ctx, "ROLLBACK").ReadAll()
		err = errors.Join(err, rollbackErr)
	}
	if pg := new(pgconn.PgError); errors.As(err, &pg) && !isLocked(err) || errors.Is(err, ErrShapeChanged) {
		statements.forget(ctx, conn)
	}
	if positioned && flushed < snap.Position && !conn.IsClosed() { // also for those that are done
		err = errors.Join(err, emitHeartbeat(ctx, conn))
	}
	if err == nil {
		r.first(snap, nil)
	}
	return positioned, err
}

// isLocked reports whether a table was locked for longer than LockTimeout.
func isLocked(err error) bool {
	pg := new(pgconn.PgError)
	return errors.As(err, &pg) && pg.Code == "55P03" // lock_not_available
}

// send sends a query, by the name that it is prepared under, if any.
func send(p *pgconn.Pipeline, name, sql string, args [][]byte) {
	if name == "" {
		p.SendQueryParams(sql, args, nil, nil, nil)
	} else {
		p.SendQueryPrepared(name, args, nil, nil)
	}
}

func readPosition(p *pgconn.Pipeline) (snap Snapshot, flushed LSN, err error) {
	if err := skipResults(p, 2); err != nil { // BEGIN, LOCK TABLE
		return snap, 0, err
	}
	rr, err := nextResult(p)
	if err != nil {
		return snap, 0, err
	}
	res := rr.Read()
	if res.Err != nil {
		return snap, 0, res.Err
	}
	return parsePosition(res.Rows[0])
}

// readPipeline takes the queries' answers. Each is done once it is read, so that who asked
// for it does not wait for the others; the last is for the caller to end.
func (r *reading) readPipeline(p *pgconn.Pipeline, snap Snapshot) error {
	for {
		rr, err := nextResult(p)
		if err != nil {
			return err
		}
		if err := readRows(rr, r.queries[r.left[0]]); err != nil {
			return err
		}
		if len(r.left) == 1 {
			return skipResults(p, 1) // COMMIT
		}
		r.first(snap, nil)
	}
}

func readRows(rr *pgconn.ResultReader, q Select) error {
	fields := rr.FieldDescriptions()
	var err error
	if len(fields) != len(q.Types) {
		err = fmt.Errorf("%w: %d columns instead of %d", ErrShapeChanged, len(fields), len(q.Types))
	}
	for i := 0; err == nil && i < len(fields); i++ {
		if fields[i].DataTypeOID != q.Types[i] {
			err = fmt.Errorf("%w: column %s", ErrShapeChanged, fields[i].Name)
		}
	}
	for rr.NextRow() {
		if err == nil {
			err = q.Row(rr.Values())
		}
	}
	if _, closeErr := rr.Close(); closeErr != nil {
		return closeErr
	}
	return err
}

func parsePosition(row [][]byte) (snap Snapshot, flushed LSN, err error) {
	if string(row[3]) == "t" {
		return snap, 0, errors.New("this server is a standby, whose snapshots don't say what is in progress: point database_url at the primary")
	}
	if snap, err = parseSnapshot(string(row[0])); err != nil {
		return snap, 0, err
	}
	if snap.Position, err = pglogrepl.ParseLSN(string(row[1])); err != nil {
		return snap, 0, err
	}
	flushed, err = pglogrepl.ParseLSN(string(row[2]))
	return snap, flushed, err
}

func nextResult(p *pgconn.Pipeline) (*pgconn.ResultReader, error) {
	res, err := p.GetResults()
	if err != nil {
		return nil, err
	}
	rr, ok := res.(*pgconn.ResultReader)
	if !ok {
		return nil, fmt.Errorf("unexpected result %T", res)
	}
	return rr, nil
}

func skipResults(p *pgconn.Pipeline, n int) error {
	for range n {
		rr, err := nextResult(p)
		if err != nil {
			return err
		}
		if _, err := rr.Close(); err != nil {
			return err
		}
	}
	return nil
}

func textArgs(args []string) [][]byte {
	values := make([][]byte, len(args))
	for i, a := range args {
		values[i] = []byte(a)
	}
	return values
}
