package stream

import (
	"runtime"
	"slices"
	"sync"
)

// writers write for the sessions that are behind, in turn, as many at a time as there are
// cores: a goroutine for each of the thousands that a commit can concern would cost as much
// as its write. A writer that has to wait for its client lets another one begin, so that a
// client which does not read holds up nobody.
type writers struct {
	crew *crew
	most int

	mu      sync.Mutex // protects following
	queue   []*session // from next on
	next    int
	running int // that do not wait
}

// turn is a writer's, which is told before it has to wait for a client.
type turn interface{ away() }

// turns is how many sessions a writer serves before it lets the scheduler see to others.
const turns = 32

func newWriters(c *crew) *writers { return &writers{crew: c, most: runtime.GOMAXPROCS(0)} }

// add has a session written for. It must not be in the queue, nor be written for now.
func (w *writers) add(s *session) {
	w.mu.Lock()
	w.queue = append(w.queue, s)
	w.startLocked()
	w.mu.Unlock()
}

// startLocked starts a writer where there may be one more and there is something to do.
func (w *writers) startLocked() {
	if w.running < w.most && w.next < len(w.queue) {
		w.running++
		w.crew.Go(w.work)
	}
}

func (w *writers) work() {
	for n := 1; ; n++ {
		s := w.take()
		if s == nil {
			return
		}
		again, waited := s.write()
		if again {
			w.add(s)
		}
		if waited && !w.back() {
			return
		}
		if n%turns == 0 {
			runtime.Gosched()
		}
	}
}

// take gives the session whose turn it is; without one the writer ends.
func (w *writers) take() *session {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.next == len(w.queue) {
		w.queue, w.next = w.queue[:0], 0
		if cap(w.queue) > maxIdleQueue {
			w.queue = nil
		}
		w.running--
		return nil
	}
	s := w.queue[w.next]
	w.queue[w.next] = nil
	w.next++
	if w.next > len(w.queue)/2 && w.next >= maxIdleQueue { // never empty: it would grow for ever
		w.queue, w.next = slices.Delete(w.queue, 0, w.next), 0
	}
	return s
}

// maxIdleQueue is how long a queue is kept for.
const maxIdleQueue = 1024

// away lets another writer begin, as this one waits.
func (w *writers) away() {
	w.mu.Lock()
	w.running--
	w.startLocked()
	w.mu.Unlock()
}

// back reports whether a writer that has waited may go on.
func (w *writers) back() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running >= w.most {
		return false
	}
	w.running++
	return true
}
