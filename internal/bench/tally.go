package bench

import (
	"sync/atomic"
	"time"
)

// tally counts what all subscribers got, and knows when the last change came.
type tally struct {
	expected int64
	received atomic.Int64
	done     chan struct{} // closed when received reaches expected
	last     time.Time     // of that; read it after done
}

func newTally(expected int) *tally {
	return &tally{expected: int64(expected), done: make(chan struct{})}
}

// add counts n changes that were not seen before.
func (t *tally) add(n int) {
	if n > 0 && t.received.Add(int64(n)) == t.expected {
		t.last = time.Now()
		close(t.done)
	}
}
