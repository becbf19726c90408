package stream

import (
	"slices"
	"sync"

	"github.com/walwire/walwire/cdc"
)

// maxTogether is how many of a company's live queries of one table are read in one
// snapshot: who waits meanwhile waits for the slowest of them.
const maxTogether = 8

// reads are the snapshots that a company wants. It takes a connection when it is its turn:
// one company, whatever it asks for, leaves one to the others. What has come together while
// it waited is read together.
type reads struct {
	slots chan struct{} // a place for each connection that it may have

	mu      sync.Mutex // protects waiting
	waiting []*awaitedRead
}

type awaitedRead struct {
	query    cdc.Select
	snapshot cdc.Snapshot
	err      error
	done     chan struct{}
}

// read runs q in a snapshot, perhaps one of several.
func (r *reads) read(h *Hub, q cdc.Select) (cdc.Snapshot, error) {
	if q.Urgent {
		return h.Snapshotter.Read(h.ctx, q)
	}
	own := &awaitedRead{query: q, done: make(chan struct{})}
	r.mu.Lock()
	r.waiting = append(r.waiting, own)
	r.mu.Unlock()
	slots := r.slots
	for {
		select {
		case <-own.done:
			return own.snapshot, own.err
		case slots <- struct{}{}:
			batch := r.take()
			if len(batch) == 0 { // somebody has own in hand
				<-r.slots
				slots = nil
				continue
			}
			go func() { // own may be done before the others
				defer func() { <-r.slots }()
				readTogether(h, batch)
			}()
		case <-h.ctx.Done():
			return cdc.Snapshot{}, h.ctx.Err()
		}
	}
}

// take gives what has waited longest, with others of the same table.
func (r *reads) take() (batch []*awaitedRead) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = slices.DeleteFunc(r.waiting, func(a *awaitedRead) bool {
		take := len(batch) < maxTogether && (len(batch) == 0 || batch[0].query.Table == a.query.Table)
		if take {
			batch = append(batch, a)
		}
		return take
	})
	return batch
}

func readTogether(h *Hub, batch []*awaitedRead) {
	queries := make([]cdc.Select, len(batch))
	for i, a := range batch {
		queries[i] = a.query
	}
	h.Snapshotter.ReadAll(h.ctx, queries, func(i int, snap cdc.Snapshot, err error) {
		batch[i].snapshot, batch[i].err = snap, err
		close(batch[i].done)
	})
}
