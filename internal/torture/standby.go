package torture

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// standbyName is the synchronous standby that commits wait for, and its slot.
const standbyName = "torture_standby"

// standby is a synchronous standby that keeps nothing and takes its time to
// acknowledge. Meanwhile a commit can be decoded, and is not yet visible: what the
// hand-off from a snapshot to the stream is about. One goroutine.
type standby struct {
	url  string
	log  *slog.Logger
	r    *rand.Rand
	away atomic.Bool // acknowledges nothing
}

// acknowledgement is a position and when it is told.
type acknowledgement struct {
	position pglogrepl.LSN
	due      time.Time
}

func (s *standby) follow(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := s.connection(ctx); err != nil && ctx.Err() == nil {
			s.log.Debug("standby: connecting again", "error", err)
		}
		pause(ctx, 20*time.Millisecond)
	}
	return nil
}

func (s *standby) connection(ctx context.Context) error {
	cfg, err := pgconn.ParseConfig(s.url)
	if err != nil {
		return err
	}
	cfg.RuntimeParams["replication"], cfg.RuntimeParams["application_name"] = "true", standbyName
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = conn.Close(end)
	}()
	system, err := pglogrepl.IdentifySystem(ctx, conn)
	if err != nil {
		return err
	}
	err = pglogrepl.StartReplication(ctx, conn, standbyName, system.XLogPos, pglogrepl.StartReplicationOptions{Mode: pglogrepl.PhysicalReplication, Timeline: system.Timeline})
	if err != nil {
		return err
	}
	return s.stream(ctx, conn, system.XLogPos)
}

func (s *standby) stream(ctx context.Context, conn *pgconn.PgConn, told pglogrepl.LSN) error {
	const tick = 3 * time.Millisecond
	var waiting []acknowledgement
	var last time.Time
	for {
		due := told
		for len(waiting) > 0 && !s.away.Load() && !time.Now().Before(waiting[0].due) {
			due, waiting = waiting[0].position, waiting[1:]
		}
		if due > told || time.Since(last) > time.Second {
			told, last = due, time.Now()
			err := pglogrepl.SendStandbyStatusUpdate(ctx, conn, pglogrepl.StandbyStatusUpdate{WALWritePosition: told, WALFlushPosition: told, WALApplyPosition: told})
			if err != nil {
				return err
			}
		}
		receive, cancel := context.WithTimeout(ctx, tick)
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
			if m.Data[0] != pglogrepl.XLogDataByteID {
				continue
			}
			x, err := pglogrepl.ParseXLogData(m.Data[1:])
			if err != nil {
				return err
			}
			waiting = append(waiting, acknowledgement{x.WALStart + pglogrepl.LSN(len(x.WALData)), time.Now().Add(time.Duration(s.r.IntN(12)) * time.Millisecond)})
		case *pgproto3.ErrorResponse:
			return pgconn.ErrorResponseToPgError(m)
		}
	}
}
