package stream

import (
	"time"

	"github.com/walwire/walwire/cdc"
)

// watchVisibility asks the database, while there are commits that no snapshot is
// known to see, which of them are visible by now. Until one is, it must be
// neither dropped nor acknowledged: a hand-off may still need it.
func (h *Hub) watchVisibility() {
	h.every(h.VisibilityInterval, func() {
		if h.pending.Load() == 0 {
			h.post(h.acknowledge)
			return
		}
		snap, err := h.Snapshotter.Visible(h.ctx)
		if err != nil {
			if h.ctx.Err() == nil {
				h.Log.Warn("can't see which commits are visible; WAL is kept meanwhile", "error", err)
			}
			return
		}
		h.post(func() { h.saw(&snap) })
	})
}

// every calls fn at an interval until the hub ends.
func (h *Hub) every(interval time.Duration, fn func()) {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-t.C:
			fn()
		}
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
	h.acknowledge()
	for _, c := range h.companies {
		c.inbox.push(message{do: c.prune}, 0)
	}
}

// acknowledge lets PostgreSQL forget what neither a restart nor a hand-off needs.
func (h *Hub) acknowledge() {
	if len(h.unseen) > 0 {
		// The commit LSN, not the end: the transaction will be sent again.
		h.Consumer.Acknowledge(h.unseen[0].Commit)
		return
	}
	h.Consumer.Acknowledge(h.position)
}
