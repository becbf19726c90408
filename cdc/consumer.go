package cdc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// ConsumerOptions says where to read from and within which bounds.
type ConsumerOptions struct {
	// DatabaseURL connects as a role with LOGIN and REPLICATION.
	DatabaseURL string
	// PasswordFile holds the password in place of one in DatabaseURL, and is read at
	// each connect; "" is none.
	PasswordFile string
	Slot         string
	Publication  string
	// MaxTransactionBytes bounds one transaction in memory; past it the
	// transaction is delivered as Oversize. Zero means 64 MiB.
	MaxTransactionBytes int
	// MaxBackoff bounds the wait between two connections. Zero means 10 s.
	MaxBackoff time.Duration
	// MinSilence is the least time after which a connection is dead on which nothing
	// comes; twice wal_sender_timeout where that is more. Zero means 30 s.
	MinSilence time.Duration
	// TakenPatience is how long another program may read a slot that was read here: then it
	// is a server, whose the clients are now (ErrSlotTaken). Zero means 3 s.
	TakenPatience time.Duration
	// RecreateLostSlot lets the consumer make a lost slot anew, or go on with one that
	// another program moved, and hand over a Gap. Otherwise it ends with ErrSlotLost.
	RecreateLostSlot bool
	// FailoverSlot makes a new slot one that standbys keep in step (PostgreSQL 17).
	FailoverSlot bool
	Log          *slog.Logger
}

func (o ConsumerOptions) login() login { return login{o.DatabaseURL, o.PasswordFile} }

// Status is what a Consumer says of itself, for readiness and metrics.
type Status struct {
	Connected bool
	// Err is why it is not connected, nil while it is.
	Err error
	// Fatal is set when Err needs the operator.
	Fatal bool
	// Received is the position up to which every commit was handed over.
	Received LSN
	// Floor is the position from which on the stream is complete: the slot's at the
	// start, or the last Gap's. Zero until the stream has begun.
	Floor        LSN
	Acknowledged LSN
	SystemID     string
	Timeline     int32
}

// Consumer reads one slot of one database into a Feed. Run owns the replication
// connection: one goroutine reads it and sends the status messages.
type Consumer struct {
	opts ConsumerOptions
	feed *Feed

	received     atomic.Uint64 // handled, for Status
	floor        atomic.Uint64 // see Status; set before anything above it is in the feed
	acknowledged atomic.Uint64 // LSN that PostgreSQL may forget up to
	want         atomic.Uint64 // LSN that somebody waits for
	wake         atomic.Pointer[replication]
	status       atomic.Pointer[Status]

	// What follows belongs to Run's goroutine.
	handled   LSN        // zero until the stream has first begun
	last      txIdentity // of the last transaction handed over since it began; zero: none
	newest    uint32     // the newest of all transaction ids handed over; zero: none
	walsender uint32     // process id of ours, of now or before; zero: none
	gap       *Gap       // to be handed over when it begins again; nil: none
	version   int        // server_version_num
	system    string
	timeline  int32
	arena     *txArena
	// answerTimeout bounds each step from connecting to streaming that PostgreSQL
	// answers at once; making a slot is none of them.
	answerTimeout time.Duration
	// minSilence is the least time after which a silent server is given up.
	minSilence time.Duration
	// statusInterval is the most between two status messages.
	statusInterval time.Duration

	standsBy bool // Run waits while another connection reads the slot; who only looks at it does not
}

// NewConsumer makes a consumer that appends to feed.
func NewConsumer(opts ConsumerOptions, feed *Feed) *Consumer {
	if opts.MaxTransactionBytes == 0 {
		opts.MaxTransactionBytes = 64 << 20
	}
	if opts.MaxBackoff == 0 {
		opts.MaxBackoff = 10 * time.Second
	}
	if opts.MinSilence == 0 {
		opts.MinSilence = 30 * time.Second
	}
	if opts.TakenPatience == 0 {
		opts.TakenPatience = 3 * time.Second
	}
	c := &Consumer{
		opts: opts, feed: feed, arena: newTxArena(),
		answerTimeout: 30 * time.Second, minSilence: opts.MinSilence, statusInterval: maxStatusInterval,
	}
	c.status.Store(&Status{Err: errors.New("not connected yet")})
	return c
}

// Status returns the latest status. Safe for concurrent use.
func (c *Consumer) Status() Status {
	s := *c.status.Load()
	s.Received = LSN(c.received.Load())
	s.Floor = c.Floor()
	s.Acknowledged = LSN(c.acknowledged.Load())
	return s
}

// Floor is Status' Floor. Safe for concurrent use.
func (c *Consumer) Floor() LSN { return LSN(c.floor.Load()) }

// Acknowledge lets PostgreSQL forget the WAL below lsn. It never moves back.
// Safe for concurrent use.
func (c *Consumer) Acknowledge(lsn LSN) {
	raise(&c.acknowledged, uint64(lsn))
	if r := c.wake.Load(); r != nil && r.untold() {
		r.interrupt()
	}
}

// Await asks the walsender for keepalives until Progress reaches lsn; it
// replaces what was awaited before. It returns at once. Safe for concurrent use.
func (c *Consumer) Await(lsn LSN) {
	if uint64(lsn) <= c.want.Swap(uint64(lsn)) {
		return
	}
	if r := c.wake.Load(); r != nil {
		r.interrupt()
	}
}

// Run reads until ctx ends or an error needs the operator (see IsFatal). Lost
// connections are made again with backoff; nothing is lost or doubled by that.
func (c *Consumer) Run(ctx context.Context) error {
	c.standsBy = true
	backoff := newBackoff(50*time.Millisecond, c.opts.MaxBackoff)
	for {
		before := c.handled
		err := c.follow(ctx)
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		fatal := IsFatal(err) && !(c.opts.RecreateLostSlot && errors.Is(err, ErrSlotLost)) // the next attempt makes it anew
		c.status.Store(&Status{Err: err, Fatal: fatal, SystemID: c.system, Timeline: c.timeline})
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case fatal:
			return fmt.Errorf("follow slot %q: %w", c.opts.Slot, err)
		}
		// Not at every start: a stream that always breaks at the same place would
		// be asked for again many times a second.
		if c.handled > before {
			backoff.reset()
		}
		wait := backoff.next()
		c.opts.Log.Warn("replication interrupted, connecting again", "error", err, "in", wait, "position", c.handled.String())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// follow connects, starts replication at the last handled position and reads
// until something breaks.
func (c *Consumer) follow(ctx context.Context) error {
	conn, err := connectReplication(ctx, c.opts.login())
	var unread *loginError
	switch {
	case errors.As(err, &unread) && c.handled == 0:
		return errFatal{err}
	case err != nil: // a login that was read once has a file that is just being replaced
		return explainConnect(err)
	}
	defer closeConn(conn)
	if err := c.identify(ctx, conn); err != nil {
		return err
	}
	if c.standsBy {
		if err := c.standBy(ctx, conn); err != nil {
			return err
		}
	}
	if err := c.openSlot(ctx, conn); err != nil {
		return err
	}
	r, err := c.start(ctx, conn)
	if err != nil {
		return err
	}
	c.wake.Store(r)
	defer c.wake.Store(nil)
	c.status.Store(&Status{Connected: true, SystemID: c.system, Timeline: c.timeline})
	c.opts.Log.Info("following the WAL", "slot", c.opts.Slot, "from", c.handled.String())
	stop := context.AfterFunc(ctx, r.end)
	defer stop()
	return r.read(ctx)
}

// reach moves the handled position forward.
func (c *Consumer) reach(lsn LSN) {
	c.handled = max(c.handled, lsn)
	c.received.Store(uint64(c.handled))
}

// raise sets a to v unless it is larger already.
func raise(a *atomic.Uint64, v uint64) {
	for old := a.Load(); v > old && !a.CompareAndSwap(old, v); old = a.Load() {
	}
}

func closeConn(conn *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
	// A connection that broke closes itself, in a goroutine of its own.
	select {
	case <-conn.CleanupDone():
	case <-ctx.Done():
	}
}

// backoff doubles with full jitter on its upper half.
type backoff struct{ first, max, current time.Duration }

func newBackoff(first, most time.Duration) *backoff {
	first = min(first, most)
	return &backoff{first: first, max: most, current: first}
}

func (b *backoff) reset() { b.current = b.first }

func (b *backoff) next() time.Duration {
	d := b.current/2 + rand.N(b.current/2+1)
	b.current = min(b.current*2, b.max)
	return d
}
