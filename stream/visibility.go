package stream

import (
	"time"

	"github.com/walwire/walwire/cdc"
)

// watchVisibility asks the database, while there are commits that no snapshot is
// known to see, which of them are visible by now. Until one is, it must be
// neither dropped nor acknowledged: a hand-off may still need it.
func (h *Hub) watchVisibility() {
	h.every(h.VisibilityInterval, h.see, func() {
		if h.pending.Load() == 0 {
			h.post(h.tidy)
			return
		}
		snap, err := h.Snapshotter.Visible(h.ctx)
		if err != nil {
			if h.ctx.Err() == nil {
				h.Log.Warn("can't see which commits are visible; WAL is kept meanwhile", "error", err)
			}
			pause(h.ctx, h.VisibilityInterval) // who writes asks without one
			return
		}
		h.post(func() { h.saw(&snap) })
	})
}

// Unseen is how many commits no snapshot is known to see. Safe for concurrent use.
func (h *Hub) Unseen() int { return int(h.pending.Load()) }

// every calls fn at an interval, and when it is asked to, until the hub ends.
func (h *Hub) every(interval time.Duration, asked <-chan struct{}, fn func()) {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-t.C:
		case <-asked:
		}
		fn()
	}
}

// saw lets go of the commits that snap sees: so will every later snapshot.
func (h *Hub) saw(snap *cdc.Snapshot) {
	h.visible.Store(snap)
	kept := h.unseen[:0]
	for _, tx := range h.unseen {
		if !snap.Sees(tx.XID) {
			kept = append(kept, tx)
		}
	}
	clear(h.unseen[len(kept):])
	h.unseen = kept
	h.pending.Store(int64(len(kept)))
	for _, c := range h.companies {
		c.inbox.push(message{do: c.prune}, 0)
	}
	h.tidy()
}

// tidy keeps the log within its bounds, and tells PostgreSQL and idle clients.
func (h *Hub) tidy() {
	if h.epoch.Load() == nil {
		return // not begun
	}
	h.mark() // so that nobody is left with a cursor of what is let go of now
	if h.ring.trim(h.bounds(), h.position) {
		floor, at := h.ring.floor, h.ring.before.time
		for _, c := range h.companies {
			c.inbox.push(message{do: func() { c.trim(floor, at) }}, 0)
		}
	}
	if h.memory.over(80) {
		for _, c := range h.companies {
			c.inbox.push(message{do: c.forgetMissed}, 0)
		}
	}
	h.tidied = h.taken()
	h.acknowledge()
	if h.ring.stale(&h.Retention, h.position) {
		h.beat()
	}
	h.memory.log.Store(int64(h.ring.bytes))
	h.Metrics.LogBytes.Set(float64(h.ring.bytes))
	h.Metrics.RowBytes.Set(float64(h.memory.rows.Load()))
	h.Metrics.ChainBytes.Set(float64(h.memory.chains.Load()))
	h.memory.companies.Store(int64(len(h.companies)))
	h.Metrics.LogTransactions.Set(float64(len(h.ring.txs)))
}

// here is where the hub is, as a cursor.
func (h *Hub) here() cursor { return cursor{position: h.position, last: h.ring.last(h.position)} }

// taken is what the log has taken up until now.
func (h *Hub) taken() taken {
	t := h.ring.taken
	t.position = h.position
	return t
}

// knows reports whether a cursor belongs to the history that the log tells.
func (h *Hub) knows(at cursor) bool {
	answer := make(chan bool, 1)
	return at.last.xid != 0 && h.post(func() { answer <- h.ring.last(at.position) == at.last }) && <-answer
}

// Anchored reports whether clients get cursors that they can come back with. Safe for
// concurrent use.
func (h *Hub) Anchored() bool { return h.anchored.Load() }

// acknowledge lets PostgreSQL forget what neither a restart nor a hand-off needs.
func (h *Hub) acknowledge() {
	lsn := h.position
	for _, txs := range [...][]*cdc.Transaction{h.ring.txs, h.unseen} {
		if len(txs) > 0 {
			// The commit LSN, not the end: the transaction will be sent again.
			lsn = min(lsn, txs[0].Commit)
		}
	}
	h.Consumer.Acknowledge(lsn)
}

// marks is how often within the retention an idle client gets a cursor, and an idle
// database a commit for it to name.
const marks = 4

// mark gives idle clients a cursor well before the log lets go of theirs, and as soon
// as there is one that they can come back with.
func (h *Hub) mark() {
	now, taken, here := time.Now(), h.taken(), h.here()
	first := here.last.xid != 0 && !h.anchored.Load()
	h.anchored.Store(here.last.xid != 0)
	if !first && (h.position == h.marked.position || now.Sub(h.markedAt) < h.Retention.Age/marks && !h.bounds().share(taken, h.marked)) {
		return
	}
	h.marked, h.markedAt = taken, now
	for _, c := range h.companies {
		h.deliver(c)
		c.inbox.push(message{do: func() {
			c.reached(here)
			c.publish()
			c.mark()
		}}, 0)
	}
}
