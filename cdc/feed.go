package cdc

import (
	"context"
	"sync"
)

// Batch is a run of the ordered feed: the transactions in commit order, then
// Progress: every commit below it has been in this batch or an earlier one.
type Batch struct {
	Transactions []*Transaction
	Progress     LSN
}

// Feed is the seam between the reader of the WAL and whoever serves it: an
// ordered log with one writer and one reader. The writer appends without
// waiting until MaxBytes are held; the reader takes all there is. On one machine
// this is memory; past that it is a stream of the same batches.
type Feed struct {
	maxBytes int
	ready    chan struct{} // capacity 1: something to take
	space    chan struct{} // capacity 1: something was taken

	mu    sync.Mutex // protects following
	batch Batch
	bytes int
}

// transactionSize is what a Transaction takes in memory without its changes, in
// octets: a server below 15 sends every commit of every table, most of them empty.
const transactionSize = 160

// NewFeed makes a feed that holds at most about maxBytes of row data.
func NewFeed(maxBytes int) *Feed {
	return &Feed{
		maxBytes: maxBytes,
		ready:    make(chan struct{}, 1),
		space:    make(chan struct{}, 1),
	}
}

// Ready signals that Take will return something. Capacity one: a signal may
// stand for several appends, and may come once more than needed.
func (f *Feed) Ready() <-chan struct{} { return f.ready }

// Take returns what was appended since the last Take, possibly nothing.
func (f *Feed) Take() Batch {
	f.mu.Lock()
	b := f.batch
	f.batch = Batch{Progress: b.Progress}
	f.bytes = 0
	f.mu.Unlock()
	signal(f.space)
	return b
}

// append adds a transaction and reports whether the feed is now full.
func (f *Feed) append(tx *Transaction) (full bool) {
	f.mu.Lock()
	f.batch.Transactions = append(f.batch.Transactions, tx)
	f.batch.Progress = max(f.batch.Progress, tx.End)
	f.bytes += tx.Bytes + transactionSize
	full = f.bytes >= f.maxBytes
	f.mu.Unlock()
	signal(f.ready)
	return full
}

func (f *Feed) progress(lsn LSN) {
	f.mu.Lock()
	moved := lsn > f.batch.Progress
	if moved {
		f.batch.Progress = lsn
	}
	f.mu.Unlock()
	if moved {
		signal(f.ready)
	}
}

func (f *Feed) full() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bytes >= f.maxBytes
}

// awaitSpace waits until something was taken or ctx ends.
func (f *Feed) awaitSpace(ctx context.Context) {
	select {
	case <-f.space:
	case <-ctx.Done():
	}
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
