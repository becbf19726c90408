package app

import (
	"sync"
	"time"

	"github.com/walwire/walwire/cdc"
)

// maxMarks bounds what lag remembers of a server that is behind for long.
const maxMarks = 1024

// lag turns positions into time: how long ago the first WAL was written that has not
// been read yet, as exactly as the server is looked at. Safe for concurrent use.
type lag struct {
	mu    sync.Mutex // protects following
	marks []mark     // in order
}

// mark is how far the WAL had been written at a time.
type mark struct {
	at  time.Time
	lsn cdc.LSN
}

// written notes how far the WAL is written now.
func (l *lag) written(lsn cdc.LSN, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.marks); n > 0 && lsn <= l.marks[n-1].lsn {
		return
	}
	if len(l.marks) == maxMarks { // from here on half as exact
		for i := range maxMarks / 2 {
			l.marks[i] = l.marks[2*i]
		}
		l.marks = l.marks[:maxMarks/2]
	}
	l.marks = append(l.marks, mark{now, lsn})
}

// behind is for how long something has been waiting to be read; zero for nothing.
func (l *lag) behind(read cdc.LSN, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	done := 0
	for done < len(l.marks) && l.marks[done].lsn <= read {
		done++
	}
	l.marks = append(l.marks[:0], l.marks[done:]...)
	if len(l.marks) == 0 {
		return 0
	}
	return now.Sub(l.marks[0].at)
}

// forget is for another history, whose positions mean something else.
func (l *lag) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.marks = nil
}
