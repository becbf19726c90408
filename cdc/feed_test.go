package cdc

import (
	"context"
	"sync"
	"testing"
	"time"
)

func feedTx(n, bytes int) *Transaction {
	return &Transaction{XID: uint32(n), Commit: LSN(10 * n), End: LSN(10*n + 5), Bytes: bytes}
}

func TestFeedOrder(t *testing.T) {
	f := NewFeed(1 << 20)
	if b := f.Take(); len(b.Transactions) != 0 || b.Progress != 0 {
		t.Fatalf("an unused feed gave %+v", b)
	}
	f.append(feedTx(1, 10))
	f.append(feedTx(2, 10))
	f.progress(40)
	f.progress(30) // keepalives can lie below what was handled
	b := f.Take()
	if len(b.Transactions) != 2 || b.Transactions[0].XID != 1 || b.Transactions[1].XID != 2 || b.Progress != 40 {
		t.Fatalf("took %+v", b)
	}
	f.append(feedTx(3, 10)) // ends at 35: already passed
	if b = f.Take(); len(b.Transactions) != 1 || b.Progress != 40 {
		t.Errorf("progress went back: took %+v", b)
	}
	f.append(feedTx(9, 10))
	if b = f.Take(); b.Progress != 95 {
		t.Errorf("progress is %d after a transaction that ends at 95", b.Progress)
	}
	if b = f.Take(); len(b.Transactions) != 0 || b.Progress != 95 {
		t.Errorf("took %+v a second time", b)
	}
}

// One signal stands for any number of appends, and none is given for progress
// that does not move.
func TestFeedReady(t *testing.T) {
	f := NewFeed(1 << 20)
	signals := func() (n int) {
		for {
			select {
			case <-f.Ready():
				n++
			default:
				return n
			}
		}
	}
	f.append(feedTx(1, 10))
	f.append(feedTx(2, 10))
	f.progress(99)
	if n := signals(); n != 1 {
		t.Errorf("three events gave %d signals, want 1", n)
	}
	f.progress(99)
	f.progress(98)
	if n := signals(); n != 0 {
		t.Errorf("progress that did not move gave %d signals", n)
	}
}

func TestFeedFull(t *testing.T) {
	f := NewFeed(1000)
	if full := f.append(feedTx(1, 100)); full || f.full() {
		t.Fatal("full at 100 of 1000 octets")
	}
	if full := f.append(feedTx(2, 900)); !full || !f.full() {
		t.Fatal("not full at 1000 of 1000 octets")
	}
	expired, cancel := context.WithCancel(t.Context())
	cancel()
	f.awaitSpace(expired) // returns since its context has ended
	waited := make(chan struct{})
	go func() {
		f.awaitSpace(t.Context())
		close(waited)
	}()
	f.Take()
	select {
	case <-waited:
	case <-time.After(10 * time.Second):
		t.Fatal("Take did not wake who waits for space")
	}
	if f.full() {
		t.Error("full after Take")
	}
}

// Commits without rows of ours take memory too: they must not pile up unbounded
// while nobody takes the feed.
func TestFeedFullOfEmpty(t *testing.T) {
	f := NewFeed(100 << 10)
	for n := range 10_000 {
		if f.append(&Transaction{XID: uint32(n)}) {
			return
		}
	}
	t.Error("a feed of 100 KiB holds 10,000 transactions and is not full")
}

func TestFeedConcurrent(t *testing.T) {
	f := NewFeed(10_000)
	const count = 20_000
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := 1; n <= count; n++ {
			if f.append(feedTx(n, 100)) {
				for f.full() {
					f.awaitSpace(t.Context())
				}
			}
		}
	})
	next := uint32(1)
	for next <= count {
		select {
		case <-f.Ready():
		case <-time.After(10 * time.Second):
			t.Fatalf("no signal before transaction %d", next)
		}
		for _, tx := range f.Take().Transactions {
			if tx.XID != next {
				t.Fatalf("took transaction %d, want %d", tx.XID, next)
			}
			next++
		}
	}
	writer.Wait()
}
