package torture

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// reader follows the test's own slot into versions. It shares nothing with the
// server but the log itself. One goroutine.
type reader struct {
	url      string // of the database, not through a proxy
	tables   []*table
	versions *versions
	log      *slog.Logger

	relations map[uint32]*relation
	pending   []rowChange
	inside    bool // a transaction
}

// relation leads from the columns of the log to those of a table.
type relation struct {
	table   *table // nil: none of the test's
	leaf    string
	columns []int // by place in the log; -1: not the test's
}

// errHistory is a fault of the history itself: the run is void.
var errHistory = errors.New("history")

// follow reads until ctx ends, over as many connections as it takes.
func (r *reader) follow(ctx context.Context) error {
	for ctx.Err() == nil {
		err := r.connection(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, errHistory) {
			return err
		}
		r.log.Debug("history: connecting again", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

func (r *reader) connection(ctx context.Context) error {
	cfg, err := pgconn.ParseConfig(r.url)
	if err != nil {
		return err
	}
	for name, value := range map[string]string{"replication": "database", "DateStyle": "ISO", "TimeZone": "UTC", "IntervalStyle": "iso_8601",
		"extra_float_digits": "1", "bytea_output": "hex", "application_name": historySlot} {
		cfg.RuntimeParams[name] = value
	}
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = conn.Close(end)
	}()
	err = pglogrepl.StartReplication(ctx, conn, historySlot, pglogrepl.LSN(r.versions.reached()), pglogrepl.StartReplicationOptions{
		PluginArgs: []string{"proto_version '1'", "publication_names '" + historyPub + "'", "messages 'true'"}})
	if err != nil {
		var pg *pgconn.PgError
		if errors.As(err, &pg) && (pg.Code == "42704" || pg.Code == "55000") {
			return fmt.Errorf("%w: the slot is lost: %w", errHistory, err)
		}
		return err
	}
	r.relations, r.pending, r.inside = make(map[uint32]*relation), nil, false
	return r.stream(ctx, conn)
}

func (r *reader) stream(ctx context.Context, conn *pgconn.PgConn) error {
	const pace = 200 * time.Millisecond
	var due time.Time
	for {
		if !time.Now().Before(due) {
			position := pglogrepl.LSN(r.versions.reached())
			err := pglogrepl.SendStandbyStatusUpdate(ctx, conn, pglogrepl.StandbyStatusUpdate{
				WALWritePosition: position, WALFlushPosition: position, WALApplyPosition: position})
			if err != nil {
				return err
			}
			due = time.Now().Add(pace)
		}
		receive, cancel := context.WithDeadline(ctx, due)
		message, err := conn.ReceiveMessage(receive)
		cancel()
		if err != nil {
			if pgconn.Timeout(err) && ctx.Err() == nil {
				continue
			}
			return err
		}
		switch m := message.(type) {
		case *pgproto3.CopyData:
			reply, err := r.message(m.Data)
			if err != nil {
				return err
			}
			if reply {
				due = time.Time{}
			}
		case *pgproto3.ErrorResponse:
			return pgconn.ErrorResponseToPgError(m)
		}
	}
}

func (r *reader) message(data []byte) (reply bool, err error) {
	switch data[0] {
	case pglogrepl.PrimaryKeepaliveMessageByteID:
		k, err := pglogrepl.ParsePrimaryKeepaliveMessage(data[1:])
		if err != nil {
			return false, err
		}
		if !r.inside {
			r.versions.reach(uint64(k.ServerWALEnd))
		}
		return k.ReplyRequested, nil
	case pglogrepl.XLogDataByteID:
		x, err := pglogrepl.ParseXLogData(data[1:])
		if err != nil {
			return false, err
		}
		m, err := pglogrepl.Parse(x.WALData)
		if err != nil {
			return false, fmt.Errorf("%w: %w", errHistory, err)
		}
		if err := r.logical(m); err != nil {
			return false, fmt.Errorf("%w: %w", errHistory, err)
		}
	}
	return false, nil
}

func (r *reader) logical(m pglogrepl.Message) error {
	switch m := m.(type) {
	case *pglogrepl.BeginMessage:
		r.inside, r.pending = true, r.pending[:0]
	case *pglogrepl.CommitMessage:
		r.inside = false
		return r.versions.commit(uint64(m.TransactionEndLSN), r.pending)
	case *pglogrepl.RelationMessage:
		r.relations[m.RelationID] = r.relation(m)
	case *pglogrepl.InsertMessage:
		r.add('I', m.RelationID, m.Tuple, nil)
	case *pglogrepl.UpdateMessage:
		r.add('U', m.RelationID, m.NewTuple, m.OldTuple)
	case *pglogrepl.DeleteMessage:
		r.add('D', m.RelationID, nil, m.OldTuple)
	case *pglogrepl.LogicalDecodingMessage:
		if m.Prefix == marker && m.Transactional {
			r.pending = append(r.pending, rowChange{op: 'M', leaf: string(m.Content)})
		}
	case *pglogrepl.TruncateMessage:
		for _, id := range m.RelationIDs {
			r.add('T', id, nil, nil)
		}
	}
	return nil
}

func (r *reader) relation(m *pglogrepl.RelationMessage) *relation {
	rel := &relation{leaf: m.RelationName, columns: make([]int, len(m.Columns))}
	for _, t := range r.tables {
		if t.name == m.RelationName || slices.Contains(t.leaves, m.RelationName) {
			rel.table = t
		}
	}
	for i, c := range m.Columns {
		rel.columns[i] = -1
		if rel.table != nil {
			rel.columns[i], _ = rel.table.column(c.Name)
		}
	}
	return rel
}

func (r *reader) add(op byte, id uint32, row, old *pglogrepl.TupleData) {
	rel := r.relations[id]
	if rel == nil || rel.table == nil {
		return
	}
	r.pending = append(r.pending, rowChange{op: op, table: rel.table, leaf: rel.leaf, values: rel.cells(row), old: rel.cells(old)})
}

func (rel *relation) cells(t *pglogrepl.TupleData) []cell {
	if t == nil {
		return nil
	}
	out := make([]cell, len(rel.table.columns))
	for i, c := range t.Columns {
		if at := rel.columns[i]; at >= 0 {
			out[at] = cell{kind: c.DataType, text: string(c.Data)}
		}
	}
	return out
}
