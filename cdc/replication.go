package cdc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

const (
	maxStatusInterval = 10 * time.Second
	// awaitPace is how often a keepalive is asked for while somebody waits.
	awaitPace = time.Millisecond
	// defaultSilence is the bound on silence where wal_sender_timeout is off.
	defaultSilence = 3 * time.Minute
	// maxUntold is how much WAL PostgreSQL is let keep, in octets, because it has not
	// been told yet that it may forget it: the next status can be far.
	maxUntold = 4 << 20
	// shutdownAsks is how many times within shutdownWindow a server asks for a
	// status only when it shuts down. Otherwise it does so after half of
	// wal_sender_timeout without one.
	shutdownAsks   = 10
	shutdownWindow = time.Second
)

// replication is one started stream. Its goroutine reads the socket and sends
// the status; interrupt makes it look at what else there is to do.
type replication struct {
	*Consumer
	conn     *pgconn.PgConn
	interval time.Duration // between two status messages
	silence  time.Duration // longer than this without a byte is a dead connection

	assembly
	// expect is the transaction that has to come first, since it was the last before:
	// otherwise this is another history. Zero: none has to.
	expect   txIdentity
	messages uint64
	// messagesSeen is messages when the clock was last looked at: housekeeping
	// sees from it that the server spoke, without a clock read per message.
	messagesSeen uint64
	lastHeard    time.Time
	lastStatus   time.Time
	lastAsked    time.Time
	told         atomic.Uint64 // LSN acknowledged by the last status

	asks      int // for a status, by the server, since asksSince
	asksSince time.Time
}

func newReplication(c *Consumer, conn *pgconn.PgConn, senderTimeout time.Duration) *replication {
	r := &replication{Consumer: c, conn: conn, interval: maxStatusInterval, silence: defaultSilence}
	if senderTimeout > 0 {
		r.interval = min(senderTimeout/3, c.statusInterval)
		// Above wal_sender_timeout: the walsender is silent while it decodes a
		// large transaction, and gives up by itself only after its own timeout.
		r.silence = max(2*senderTimeout, c.minSilence)
	}
	r.assembly = assembly{consumer: c, relations: make(map[uint32]*Relation)}
	r.lastHeard = time.Now()
	return r
}

// interrupt wakes the reader from a blocked read. Safe for concurrent use.
func (r *replication) interrupt() { _ = r.conn.Conn().SetReadDeadline(time.Unix(1, 0)) }

// end wakes the reader for good: what it is sending may take a moment. Safe for concurrent use.
func (r *replication) end() {
	_ = r.conn.Conn().SetWriteDeadline(time.Now().Add(time.Second))
	r.interrupt()
}

func (r *replication) read(ctx context.Context) error {
	// Sends the first status, and sets the first deadline: without one, a peer
	// that never says a word would be waited for without end.
	if err := r.housekeep(ctx); err != nil {
		return err
	}
	for {
		msg, err := r.receive(ctx)
		if err != nil {
			return err
		}
		if err := r.message(msg); err != nil {
			return err
		}
		if r.feed.full() {
			if err := r.awaitSpace(ctx); err != nil {
				return err
			}
		}
	}
}

// receive returns the next message. Between reads it sends what is due, and it
// returns an error when ctx ends or the server has been silent for too long.
func (r *replication) receive(ctx context.Context) (pgproto3.BackendMessage, error) {
	for {
		msg, err := r.conn.ReceiveMessage(context.Background())
		if err == nil {
			return msg, nil
		}
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			return nil, fmt.Errorf("read replication stream: %w", err)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err := r.housekeep(ctx); err != nil {
			return nil, err
		}
	}
}

// housekeep sends what is due and sets the next read deadline.
func (r *replication) housekeep(ctx context.Context) error {
	now := time.Now()
	if r.messages != r.messagesSeen {
		r.messagesSeen, r.lastHeard = r.messages, now
	}
	if now.Sub(r.lastHeard) > r.silence {
		return fmt.Errorf("nothing heard from PostgreSQL for %s: the connection is dead", r.silence)
	}
	waiting := LSN(r.want.Load()) > r.handled
	ask := waiting && now.Sub(r.lastAsked) >= awaitPace
	due := now.Sub(r.lastStatus) >= r.interval || r.untold()
	if ask || due {
		// An idle server answers nothing of itself, as long as it hears from us.
		quiet := due && now.Sub(r.lastHeard) >= r.interval/2
		if err := r.sendStatus(ask || quiet); err != nil {
			return err
		}
	}
	next := r.lastStatus.Add(r.interval)
	if waiting {
		next = r.lastAsked.Add(awaitPace)
	}
	if err := r.conn.Conn().SetReadDeadline(next); err != nil {
		return fmt.Errorf("set read deadline: %w", err)
	}
	// An interrupt before the new deadline was set would be lost.
	if ctx.Err() != nil || !waiting && LSN(r.want.Load()) > r.handled || r.untold() {
		r.interrupt()
	}
	return nil
}

// untold reports whether much was acknowledged since the last status. Safe for
// concurrent use.
func (r *replication) untold() bool { return r.acknowledged.Load() >= r.told.Load()+maxUntold }

func (r *replication) sendStatus(ask bool) error {
	now, acknowledged := time.Now(), r.acknowledged.Load()
	// A peer that takes nothing is as dead as one that says nothing.
	if err := r.conn.Conn().SetWriteDeadline(now.Add(r.silence)); err != nil {
		return fmt.Errorf("set write deadline: %w", err)
	}
	err := pglogrepl.SendStandbyStatusUpdate(context.Background(), r.conn, pglogrepl.StandbyStatusUpdate{
		WALWritePosition: r.handled,
		WALFlushPosition: LSN(acknowledged),
		WALApplyPosition: LSN(acknowledged),
		ClientTime:       now,
		ReplyRequested:   ask,
	})
	if err != nil {
		return fmt.Errorf("send status: %w", err)
	}
	r.lastStatus = now
	r.told.Store(acknowledged)
	if ask {
		r.lastAsked = now
	}
	return nil
}

// awaitSpace waits until downstream has taken what the feed holds; the status
// goes out meanwhile.
func (r *replication) awaitSpace(ctx context.Context) error {
	for r.feed.full() {
		tick, cancel := context.WithTimeout(ctx, r.interval)
		r.feed.awaitSpace(tick)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Since(r.lastStatus) >= r.interval || r.untold() {
			if err := r.sendStatus(false); err != nil {
				return err
			}
		}
	}
	r.lastHeard = time.Now()
	return nil
}

func (r *replication) message(msg pgproto3.BackendMessage) error {
	r.messages++
	switch m := msg.(type) {
	case *pgproto3.CopyData:
		return r.copyData(m.Data)
	case *pgproto3.ErrorResponse:
		return &StreamError{r.tx, explainSlot(pgconn.ErrorResponseToPgError(m))}
	case *pgproto3.CopyDone:
		return errors.New("the server ended the stream")
	case *pgproto3.NoticeResponse:
		return r.skippedPublication(m)
	case *pgproto3.ParameterStatus:
		return nil
	}
	return fmt.Errorf("read replication stream: unexpected message %T", msg)
}

// skippedPublication is an error where the notice says that the publication is
// not there at the change being decoded. Up to PostgreSQL 17 the server then ends
// the stream; since 18 it warns and leaves out every change, ours among them. The
// message may be in any language, so it is known by the function it comes from.
func (r *replication) skippedPublication(m *pgproto3.NoticeResponse) error {
	if m.Code != "55000" || m.Routine != "LoadPublications" {
		return nil
	}
	return &StreamError{r.tx, explainSlot(&pgconn.PgError{Severity: m.Severity, Code: "42704", // as up to 17
		Message: fmt.Sprintf("publication %q does not exist", r.opts.Publication)})}
}

// copyData handles one message of the streaming replication protocol:
// XLogData ('w') or a primary keepalive ('k').
func (r *replication) copyData(data []byte) error {
	switch {
	case len(data) > 25 && data[0] == pglogrepl.XLogDataByteID:
		done, err := r.assembly.add(data[25:])
		if err != nil {
			return &StreamError{r.tx, err}
		}
		if done != nil {
			done.Sent = int64(binary.BigEndian.Uint64(data[17:]))
			return r.handle(done)
		}
	case len(data) == 18 && data[0] == pglogrepl.PrimaryKeepaliveMessageByteID:
		return r.keepalive(LSN(binary.BigEndian.Uint64(data[1:])), data[17] == 1)
	default:
		return fmt.Errorf("read replication stream: malformed copy data of %d octets", len(data))
	}
	return nil
}

func (r *replication) handle(tx *Transaction) error {
	if is := identityOf(tx); r.expect != (txIdentity{}) {
		if is != r.expect {
			return r.otherHistory(fmt.Sprintf("transaction %d at %s", tx.XID, tx.Commit))
		}
		r.expect = txIdentity{}
		return nil // handed over before
	} else {
		r.last = is
	}
	if r.newest == 0 || int32(tx.XID-r.newest) > 0 { // they are given out in a circle
		r.newest = tx.XID
	}
	r.reach(tx.End)
	r.feed.append(tx)
	return nil
}

// txIdentity tells a transaction from every other, also from those of another history
// at the same position.
type txIdentity struct {
	commit, end LSN
	xid         uint32
	time        int64
}

func identityOf(tx *Transaction) txIdentity { return txIdentity{tx.Commit, tx.End, tx.XID, tx.Time} }

func (r *replication) otherHistory(found string) error {
	return fmt.Errorf("%w: where transaction %d was read at %s, the server has %s: an earlier state was put back; "+startAgain,
		ErrHistoryChanged, r.expect.xid, r.expect.commit, found)
}

// keepalive moves Progress when no transaction is half read. The position can
// lie below what was handled: the maximum counts.
func (r *replication) keepalive(end LSN, reply bool) error {
	if r.expect != (txIdentity{}) && end >= r.expect.end {
		return r.otherHistory("none")
	}
	if r.assembly.tx == nil && end > r.handled {
		r.reach(end)
		r.feed.progress(end)
	}
	if !reply {
		return nil
	}
	if r.shuttingDown(time.Now()) {
		return errors.New("the server is shutting down")
	}
	return r.sendStatus(false)
}

// shuttingDown notices from the server's asking that it wants to end. It waits
// until everything is acknowledged and asks again at every answer; but what is
// acknowledged can wait for things that a server on its way down no longer does.
// The connection is let go then: PostgreSQL keeps the WAL, so nothing is lost.
func (r *replication) shuttingDown(now time.Time) bool {
	if now.Sub(r.asksSince) > shutdownWindow {
		r.asks, r.asksSince = 0, now
	}
	r.asks++
	return r.asks >= shutdownAsks
}
