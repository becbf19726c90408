package stream

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/walwire/walwire/cdc"
)

// loading is a view's hand-off from a snapshot to the stream, see docs/architecture.md:
// the view is in the index, and keeps what the stream says of its keys until
// the snapshot has come and the stream has passed it.
type loading struct {
	overlay map[string]overlayRow
	// truncated is the last TRUNCATE since the hand-off began.
	truncated    uint32
	hasTruncated bool
	// require are transactions that the snapshot must see: what they did is not
	// in the overlay.
	require []uint32
	// baseline is what the subscribers were last shown; nil for a first load.
	baseline map[string]loadedRow
	// abandoned is set when nobody wants the rows any more. Safe for concurrent use.
	abandoned atomic.Bool
	// read is called when the first snapshot has been read, or was not wanted.
	read func()
}

// overlayRow is the last that the stream said of a key. Its transactions follow
// each other by row lock: if the snapshot sees the last, it sees all.
type overlayRow struct {
	xid  uint32
	gone bool // deleted, or not this view's
	loadedRow
}

// loadedRow is a row of a view that has no heldRow yet.
type loadedRow struct {
	encoding
	place string
}

type keyedRow struct {
	key string
	loadedRow
}

func (l *loading) truncate(xid uint32) {
	l.truncated, l.hasTruncated = xid, true
	clear(l.overlay)
}

// loaded is what a hand-off's snapshot brought.
type loaded struct {
	snapshot cdc.Snapshot
	rows     []keyedRow
	full     bool // a window: there may be more rows behind these
	read     time.Time
	err      error
}

// load begins the hand-off of a view that is in the index.
func (c *company) load(v *view, baseline map[string]loadedRow, require ...uint32) *loading {
	if v.loading != nil {
		v.loading.abandoned.Store(true)
	}
	l := &loading{overlay: make(map[string]overlayRow), baseline: baseline, require: require, read: func() {}}
	v.loading = l
	v.table.loading[v] = struct{}{}
	c.seed(v)
	return l
}

// seed gives a new hand-off what the stream said before it: commits that its
// snapshot may not see.
func (c *company) seed(v *view) {
	c.prune()
	for i := range c.unseen {
		t := &c.unseen[i]
		for _, s := range t.reread {
			if s == v.table.shape && v.loading != nil {
				v.loading.require = append(v.loading.require, t.tx.XID)
			}
		}
		for s, changes := range byTable(t.changes) {
			if s == v.table.shape && v.loading != nil { // a row that can't be read ends it
				c.seedTable(v, t.tx.XID, changes)
			}
		}
	}
}

func (c *company) seedTable(v *view, xid uint32, changes []rowChange) {
	if slices.ContainsFunc(changes, incomplete) {
		v.loading.require = append(v.loading.require, xid)
		return
	}
	n := &c.scratch
	truncated, err := n.netAll(v.table.shape, changes)
	if truncated {
		v.loading.truncate(xid)
	}
	for i := 0; err == nil && i < len(n.pending); i++ {
		p := &n.pending[i]
		n.codes = n.codes[:0]
		n.seen++
		n.nth++
		if !p.gone {
			n.row = row{binding: p.change.binding, tuple: p.change.New}
			v.table.eval.Reset(&n.row)
			var ok bool
			if ok, err = v.predicate.Eval(v.table.eval); ok {
				v.mark = n.seen
			}
		}
		if err == nil {
			err = c.overlay(xid, v, p.key)
		}
	}
	clear(n.pending)
	if err != nil {
		c.fail(v.table, err)
	}
}

// overlay notes what transaction xid left of key for a loading view: v.mark says
// whether the row in scratch is the view's.
func (c *company) overlay(xid uint32, v *view, key string) error {
	o := overlayRow{xid: xid, gone: v.mark != c.scratch.seen}
	if !o.gone {
		e, err := c.encode(v.mask, nil)
		if err != nil {
			return err
		}
		o.encoding = e.encoding
		if o.place, err = v.order.placeOf(v.table.eval, c.scratch.nth); err != nil {
			return err
		}
	}
	v.loading.overlay[key] = o
	return nil
}

// read runs the snapshot elsewhere and comes back with it once the stream has
// passed it.
func (c *company) read(v *view, l *loading, attempt int) {
	h := c.hub
	h.Metrics.Snapshots.Inc()
	q, collect := v.selection(c.id, h.RowsPerQuery)
	q.Urgent, q.Unwanted = v.mask.verbatim, l.abandoned.Load
	rowless := v.rowless
	h.group.Go(func() {
		if attempt > 0 {
			pause(h.ctx, min(time.Millisecond<<min(attempt, 10), time.Second))
		}
		snap, err := c.reads.read(h, q)
		read := time.Now()
		if attempt == 0 {
			l.read()
		}
		if errors.Is(err, cdc.ErrUnwanted) {
			return
		}
		h.post(func() {
			finish := func(cdc.LSN) {
				h.deliver(c)
				here := h.here()
				c.inbox.push(message{do: func() {
					c.reached(here)
					rows, full := collect()
					c.finish(v, l, loaded{snapshot: snap, rows: rows, full: full, read: read, err: err}, attempt)
				}}, 0)
			}
			switch {
			case err != nil:
				finish(h.position)
			case rowless: // its clients have rows of before
				h.confirm(read, func() { h.await(snap.Position, 0, nil, finish) })
			default:
				h.await(snap.Position, 0, nil, finish)
			}
		})
	})
}

// finish ends a hand-off at the company's position, or tries again.
func (c *company) finish(v *view, l *loading, r loaded, attempt int) {
	if v.loading != l {
		return // closed, or begun anew
	}
	if r.err != nil {
		c.loadFailed(v, l, r.err, attempt)
		return
	}
	if !c.suffices(l, &r.snapshot) {
		l.require = slices.DeleteFunc(l.require, r.snapshot.Sees) // so will the next one
		c.read(v, l, attempt+1)
		return
	}
	rows, bound := r.rows, ""
	if l.hasTruncated && !r.snapshot.Sees(l.truncated) {
		rows, r.full = nil, false
	}
	if r.full {
		for _, row := range rows {
			bound = max(bound, row.place)
		}
	}
	if len(l.overlay) > 0 {
		rows = slices.DeleteFunc(rows, func(row keyedRow) bool {
			o, ok := l.overlay[row.key]
			return ok && !r.snapshot.Sees(o.xid)
		})
	}
	for key, o := range l.overlay {
		if !r.snapshot.Sees(o.xid) && !o.gone && (!r.full || o.place <= bound) {
			rows = append(rows, keyedRow{key, o.loadedRow})
		}
	}
	if w := v.window; w != nil {
		w.complete, w.bound = !r.full, bound
		if r.full && len(rows) < w.limit {
			w.beyond *= 2
			c.read(v, l, attempt+1)
			return
		}
	}
	v.read = r.read
	c.settleLoaded(v, l, rows)
}

// suffices reports whether the snapshot sees what the overlay does not tell.
func (c *company) suffices(l *loading, snap *cdc.Snapshot) bool {
	for _, xid := range l.require {
		if !snap.Sees(xid) {
			return false
		}
	}
	return snap.Xmin > c.after
}

// settleLoaded makes the view live with rows and tells its subscribers: the
// rows to those who wait for them, the difference to those who had others.
func (c *company) settleLoaded(v *view, l *loading, rows []keyedRow) {
	c.intern(v, rows)
	v.loading = nil
	delete(v.table.loading, v)
	c.holdsRows(v)
	v.grow(len(rows))
	for i := range rows {
		row := &rows[i]
		r := v.table.hold(row.key)
		if _, shared := r.code(v.mask); !shared {
			c.count(r.put(v.mask, row.encoding))
		}
		v.show(r, row.place)
	}
	if v.window != nil {
		v.window.begin(v)
	}
	if l.baseline != nil {
		v.difference(l.baseline)
	} else {
		c.mu.Lock()
		v.chain.from = max(v.chain.from, c.position)
		c.mu.Unlock()
	}
	c.settleWindows() // folds nothing: marks them as settled
	c.publish()
	c.release(v)
}

// reread takes the hand-off of a view again: for transactions that its snapshot
// must see, or, without any, because changes were dropped. Its subscribers stay at
// the commit before, with all their connection's queries, until the difference is known.
func (c *company) reread(v *view, require ...uint32) {
	c.hub.Metrics.Rereads.Inc()
	if v.rowless && v.loading != nil { // its rows were asked for; now it needs them
		c.loadRowless(v, append(v.loading.require, require...)...)
		return
	}
	if l := v.loading; l != nil && len(require) > 0 { // under way
		l.require = append(l.require, require...)
		return
	} else if l != nil { // its overlay has a gap: begin it anew
		c.read(v, c.load(v, l.baseline, l.require...), 0)
		return
	}
	if v.rowless {
		c.loadRowless(v, require...)
		return
	}
	baseline := v.baseline()
	v.clear()
	c.hold(v)
	c.read(v, c.load(v, baseline, require...), 0)
}

func (c *company) rereadAll(t *table, require ...uint32) {
	for _, v := range t.views {
		c.reread(v, require...)
	}
}

// endLoad ends those who need a view's rows, which can't be had: all, or of a view
// that goes on without rows those who have none.
func (c *company) endLoad(v *view, err *Error) {
	if !v.rowless {
		c.end(v, err)
		return
	}
	v.loading = nil
	delete(v.table.loading, v)
	for sub := range v.subscribers {
		if !sub.attached {
			c.unsubscribe(sub, func() { sub.fail(err) })
		}
	}
}

// loadFailed ends the view where trying again can't help.
func (c *company) loadFailed(v *view, l *loading, err error, attempt int) {
	var known *Error
	var row *rowError
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &known):
		c.endLoad(v, known)
	case errors.As(err, &row):
		c.log.Error("a row can't be served; its live query ends", "table", v.table.shape.mapping.Name, "error", err)
		c.endLoad(v, unreadable(v.table.shape))
	case errors.Is(err, context.Canceled):
	case errors.Is(err, cdc.ErrShapeChanged) || errors.As(err, &pg) && (pg.Code == "42P01" || pg.Code == "42703" || pg.Code == "42704" || pg.Code == "42883" || pg.Code == "0A000"):
		// The table was altered: the schema comes first, and makes the views anew.
		h, sh := c.hub, v.table.shape
		h.group.Go(func() {
			h.post(func() {
				if h.shapes[sh.mapping.Name] == sh { // nobody has yet
					h.reload(err.Error())
				}
			})
		})
		c.read(v, l, attempt+1)
	case errors.As(err, &pg) && pg.Code == "57014": // query_canceled: the statement timeout
		slow := errorf(CodeResourceExhausted, "the query took longer than limits.snapshot_timeout: narrow its filter")
		if l.baseline != nil { // it was quick enough before
			slow.after = 30 * time.Second
		}
		c.endLoad(v, slow)
	case errors.As(err, &pg) && (pg.Code == "42501" || pg.Code[:2] == "22"):
		c.log.Error("snapshot refused by the database", "table", v.table.shape.mapping.Name, "error", err)
		c.endLoad(v, errorf(CodeFailedPrecondition, "the server can't read table %s: its log says more", v.table.shape.mapping.Name))
	default: // no connection, no lock yet, a restart: it will come back
		c.log.Warn("snapshot failed, trying again", "table", v.table.shape.mapping.Name, "attempt", attempt, "error", err)
		c.read(v, l, attempt+1)
	}
}
