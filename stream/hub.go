package stream

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/cdc/pgvalue"
)

// Options are a Hub's parts and bounds.
type Options struct {
	Feed        *cdc.Feed
	Consumer    Consumer
	Snapshotter *cdc.Snapshotter
	// LoadSchema reads the catalogue and binds the mapping to it. It is called
	// again when the stream shows that a table has changed its columns.
	LoadSchema func(ctx context.Context) (*Schema, error)

	// Fingerprints sums up the catalogue of the mapped tables. It is asked every
	// CatalogInterval: what it shows may have changed rows without a change in the
	// stream. nil: not asked.
	Fingerprints func(ctx context.Context) (map[cdc.TableName]cdc.Fingerprint, error)
	// CatalogInterval is 2 s when zero.
	CatalogInterval time.Duration

	// Connections is the Snapshotter's: one company takes at most all but one.
	// Zero means 4.
	Connections  int
	ChainBytes   int   // log of one view; zero means 1 MiB
	InboxBytes   int   // unprocessed changes of one company; zero means 64 MiB
	RowsPerQuery int   // rows one live query may hold; zero means 100,000
	Memory       int64 // of all live queries and logs, in octets, see memory; zero: no bound
	// VisibilityInterval is how often is asked which commits all new snapshots
	// will see. Zero means 250 ms.
	VisibilityInterval time.Duration
	// Retention bounds the log from which clients resume.
	Retention Retention
	// CursorKey is what cursors are encrypted with; servers that share it take each
	// other's. None: one of this Hub's own.
	CursorKey []byte
	// Admitted are the places in the publication of which all writers know, by table; nil:
	// those that Run finds.
	Admitted map[cdc.TableName]string
	Log      *slog.Logger
	Metrics  *Metrics
}

// Consumer is what the hub needs of the reader of the WAL.
type Consumer interface {
	// Acknowledge lets PostgreSQL forget the WAL below lsn.
	Acknowledge(lsn cdc.LSN)
	// Await asks PostgreSQL to tell its progress until lsn is reached. It
	// replaces what was awaited before.
	Await(lsn cdc.LSN)
	// Status names the server and where the stream began.
	Status() cdc.Status
}

// Hub takes the ordered feed apart by company. One goroutine, Run's, owns
// everything here that is not marked otherwise; others reach it by post.
type Hub struct {
	Options
	calls   chan func()
	running chan struct{} // closed when Run takes calls
	done    chan struct{} // closed when Run has ended
	group   sync.WaitGroup
	ctx     context.Context // Run's

	schema      atomic.Pointer[Schema]
	served      atomic.Pointer[tables]
	shapes      map[string]*shape // by the mapping's table name
	relations   map[uint32]*shape // by relation OID, leaves included
	bindings    map[*cdc.Relation]*binding
	asked       map[*cdc.Relation]bool    // unknown or stale, and the schema was read for it
	broken      map[string]*Error         // tables that can't be served, by name
	quarantined map[string]bool           // those of them of which a change could not be decoded
	prints      fingerprints              // of the catalogue in force
	marks       map[cdc.TableName]string  // what a table's rows must not outlive: cursors end with it
	admitted    map[cdc.TableName]string  // the place in the publication as of which a table is complete
	admitting   map[cdc.TableName]string  // the place for which one waits to be
	joining     map[cdc.TableName]joining // served tables that are not complete yet
	look        chan struct{}             // capacity 1: the catalogue is to be looked at
	see         chan struct{}             // capacity 1: the log is to be kept within its bounds
	confirmed   atomic.Pointer[time.Time]
	unconfirmed []unconfirmed
	back        bool // the log is looked through: what can't be decoded is known
	companies   map[string]*company
	ring        ring
	// known are tables as they were last served. What leaves one, a partition, the table
	// itself where it is made anew, or what it was in the publication, takes changes with it
	// that the log tells no more: holes. life is a digest of all of known, lives are those that
	// have been.
	known       map[string]tableLife
	holes       map[string]hole
	life        uint32
	lives       map[uint32]uint64 // with their numbers, which rise
	begun       cdc.LSN           // where the WAL was when known began
	begunAt     int64             // and when
	lifeN       uint64
	told        uint64                       // how often companies were told what is served
	logs        uint64                       // companyLogs so far
	companyType atomic.Pointer[pgvalue.Type] // of the tables' company columns; nil: none was ever served
	touched     []*company                   // by the transaction being routed
	current     *cdc.Transaction             // being routed, nil between

	memory   memory
	sealer   *sealer
	epoch    atomic.Pointer[string] // names the history that positions belong to
	after    uint64                 // snapshots must have left transaction ids up to here behind
	marked   taken                  // when idle clients were last told their cursor
	tidied   taken                  // when the log was last kept within its bounds
	markedAt time.Time

	position   cdc.LSN            // every commit below has been routed
	unseen     []*cdc.Transaction // routed, and not yet shown visible by any snapshot
	waiters    []waiter
	visible    atomic.Pointer[cdc.Snapshot] // the latest snapshot known
	visited    atomic.Uint64                // position, for readers elsewhere
	lag        atomic.Int64                 // how far behind its writers the stream is, in microseconds
	pending    atomic.Int64                 // len(unseen), for readers elsewhere
	anchored   atomic.Bool                  // see Anchored
	beating    bool                         // a heartbeat is under way
	lastBeat   time.Time
	nearest    cdc.LSN   // no waiter waits for less
	eagerUntil time.Time // the newest waiter is young until then
	swept      time.Time // when the waiters were last looked through
}

type waiter struct {
	lsn   cdc.LSN
	since time.Time
	until time.Time   // zero: waits for ever
	beat  time.Time   // of the last heartbeat written for it
	gone  func() bool // nobody waits any more; nil: walwire itself waits
	fn    func(position cdc.LSN)
}

// NewHub makes a hub. Run starts it.
func NewHub(o Options) (*Hub, error) {
	o.Retention.setDefaults()
	if len(o.CursorKey) == 0 {
		o.CursorKey = make([]byte, 32)
		_, _ = rand.Read(o.CursorKey) // never fails
	}
	sealer, err := newSealer(o.CursorKey)
	if err != nil {
		return nil, fmt.Errorf("cursor key: %w", err)
	}
	if o.Connections == 0 {
		o.Connections = 4
	}
	if o.ChainBytes == 0 {
		o.ChainBytes = 1 << 20
	}
	if o.InboxBytes == 0 {
		o.InboxBytes = 64 << 20
	}
	if o.RowsPerQuery == 0 {
		o.RowsPerQuery = 100_000
	}
	if o.CatalogInterval == 0 {
		o.CatalogInterval = 2 * time.Second
	}
	if o.VisibilityInterval == 0 {
		o.VisibilityInterval = 250 * time.Millisecond
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics()
	}
	h := &Hub{
		Options:     o,
		memory:      memory{most: o.Memory},
		sealer:      sealer,
		ring:        ring{scopes: make(map[string]*scope)},
		markedAt:    time.Now(),
		calls:       make(chan func()),
		look:        make(chan struct{}, 1),
		see:         make(chan struct{}, 1),
		running:     make(chan struct{}),
		done:        make(chan struct{}),
		bindings:    make(map[*cdc.Relation]*binding),
		asked:       make(map[*cdc.Relation]bool),
		broken:      make(map[string]*Error),
		quarantined: make(map[string]bool),
		admitted:    maps.Clone(o.Admitted),
		admitting:   make(map[cdc.TableName]string),
		companies:   make(map[string]*company),
		known:       make(map[string]tableLife),
	}
	if h.Snapshotter != nil {
		h.Snapshotter.Follow(h.Position)
	}
	return h, nil
}

// Run routes until ctx ends. It returns when all its goroutines have ended.
func (h *Hub) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	h.ctx = ctx
	defer func() {
		cancel()
		close(h.done)
		h.group.Wait()
		h.Metrics.Companies.Set(0) // they outlive the hub
		h.Metrics.Views.Set(0)
		h.Metrics.Quarantined.Set(0)
	}()
	schema, known := h.awaitSchema()
	if schema == nil {
		return ctx.Err()
	}
	if h.admitted == nil {
		h.admitted = make(map[cdc.TableName]string)
		for name, f := range known {
			h.admitted[name] = f.Publication
		}
	}
	h.begun, h.begunAt = h.lostUpTo()
	h.take(schema, known)
	h.group.Go(h.watchCatalog)
	h.group.Go(h.watchVisibility)
	close(h.running)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		var beat <-chan time.Time
		if len(h.waiters) > 0 {
			beat = tick.C
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case fn := <-h.calls:
			fn()
		case <-h.Feed.Ready():
			h.batch(h.Feed.Take())
		case <-beat:
			h.nudge()
		}
	}
}

// post runs fn in the hub's goroutine; false when the hub has ended.
func (h *Hub) post(fn func()) bool { return h.postContext(context.Background(), fn) }

// postContext is post for who does not wait longer than ctx. A hub that reads the
// schema takes nothing meanwhile.
func (h *Hub) postContext(ctx context.Context, fn func()) bool {
	select {
	case <-h.running:
	case <-h.done:
		return false
	case <-ctx.Done():
		return false
	}
	select {
	case h.calls <- fn:
		return true
	case <-h.done:
		return false
	case <-ctx.Done():
		return false
	}
}

// Position is what has been routed. Safe for concurrent use.
func (h *Hub) Position() cdc.LSN { return cdc.LSN(h.visited.Load()) }

// Schema is the one in force, nil before Run has loaded it. Safe for concurrent use.
func (h *Hub) Schema() *Schema { return h.schema.Load() }

// serving is what is served now. Safe for concurrent use.
func (h *Hub) serving() *tables {
	if t := h.served.Load(); t != nil {
		return t
	}
	return &tables{}
}

// readiness says why not everything is served, nil when it is.
func (h *Hub) readiness() error {
	if h.Schema() == nil {
		return errors.New("the schema has not been read yet")
	}
	for _, err := range h.serving().broken {
		return err
	}
	return nil
}

// await calls fn, in the hub's goroutine, once every commit below lsn is routed,
// or never when patience (zero: none) runs out first or whoever waits is gone.
func (h *Hub) await(lsn cdc.LSN, patience time.Duration, gone func() bool, fn func(position cdc.LSN)) {
	if lsn <= h.position {
		fn(h.position)
		return
	}
	w := waiter{lsn: lsn, since: time.Now(), gone: gone, fn: fn}
	if patience > 0 {
		w.until = w.since.Add(patience)
	}
	if len(h.waiters) == 0 || lsn < h.nearest {
		h.nearest = lsn
	}
	h.waiters = append(h.waiters, w)
	h.eagerUntil = w.since.Add(eager)
	h.ask(w.since)
}

// release calls the waiters that the position has reached.
func (h *Hub) release() {
	if len(h.waiters) == 0 || h.position < h.nearest {
		return
	}
	h.nearest = ^cdc.LSN(0)
	kept := h.waiters[:0]
	var reached []waiter
	for _, w := range h.waiters {
		if w.lsn <= h.position {
			reached = append(reached, w)
		} else {
			kept = append(kept, w)
			h.nearest = min(h.nearest, w.lsn)
		}
	}
	clear(h.waiters[len(kept):])
	h.waiters = kept
	for _, w := range reached {
		w.fn(h.position)
	}
}

const (
	// eager is how long keepalives are asked for at the pace of hand-offs. A
	// client may wait for a position that never comes.
	eager = 100 * time.Millisecond
	// flushAfter is when a waiter is taken to wait for WAL that is not flushed.
	flushAfter = 5 * time.Millisecond
	// flushAgain is the time to the next heartbeat for the same waiter.
	flushAgain = time.Second
	// beatPause is the least time between two heartbeats.
	beatPause = 20 * time.Millisecond
)

// ask makes the consumer ask for keepalives for the newest waiters.
func (h *Hub) ask(now time.Time) {
	var want cdc.LSN
	for _, w := range h.waiters {
		if now.Sub(w.since) < eager {
			want = max(want, w.lsn)
		}
	}
	h.Consumer.Await(want)
}

// nudge looks after the waiters: those out of patience, or gone, go, and a
// heartbeat is written for those whose WAL may not have been flushed yet.
func (h *Hub) nudge() {
	now := time.Now()
	if now.After(h.eagerUntil) && now.Sub(h.swept) < eager {
		return // only old waiters, looked at a moment ago
	}
	if now.Sub(h.swept) >= eager {
		h.swept = now
		h.waiters = slices.DeleteFunc(h.waiters, func(w waiter) bool {
			return !w.until.IsZero() && now.After(w.until) || w.gone != nil && w.gone()
		})
	}
	h.ask(now)
	// Clients can wait for positions that never come: their heartbeats are few.
	if h.beating || now.Sub(h.lastBeat) < beatPause {
		return
	}
	beat := false
	for i := range h.waiters {
		w := &h.waiters[i]
		if since := now.Sub(w.since); w.beat.IsZero() && since > flushAfter || !w.beat.IsZero() && now.Sub(w.beat) > flushAgain {
			w.beat, beat = now, true
		}
	}
	if beat {
		h.beat()
	}
}

// beat writes a heartbeat unless one has just been written.
func (h *Hub) beat() {
	now := time.Now()
	if h.beating || now.Sub(h.lastBeat) < beatPause {
		return
	}
	h.beating, h.lastBeat = true, now
	h.group.Go(func() {
		if err := h.Snapshotter.Heartbeat(h.ctx); err != nil && h.ctx.Err() == nil {
			h.Log.Warn("heartbeat", "error", err)
		}
		h.post(func() { h.beating = false })
	})
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
