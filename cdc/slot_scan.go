package cdc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// SlotFailure is the first place in what a slot holds that can't be read.
type SlotFailure struct {
	// Transaction is it as far as it could be read; nil where the error names none.
	Transaction *Transaction
	Err         error
	// Before counts the transactions with changes that were read before it.
	Before int
}

// Past is the least position from which on the transaction is not sent again.
func (f *SlotFailure) Past() LSN {
	if f.Transaction.End != 0 {
		return f.Transaction.End
	}
	return f.Transaction.Commit + 1 // its end was not read; what follows commits later
}

// Tables are those of the transaction's changes, in the order of their names.
func (f *SlotFailure) Tables() []TableName {
	var names []TableName
	add := func(rel *Relation) {
		if name := (TableName{rel.Namespace, rel.Name}); rel.Name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for i := range f.Transaction.Changes {
		add(f.Transaction.Changes[i].Relation)
	}
	for _, rel := range f.Transaction.Touched {
		add(rel)
	}
	slices.SortFunc(names, func(a, b TableName) int { return strings.Compare(a.String(), b.String()) })
	return names
}

// scanBytes bounds what is read ahead of the scan, in octets.
const scanBytes = 8 << 20

// ScanSlot reads what a slot holds from its position from up to to, as a Consumer
// would and acknowledging nothing, and returns the first failure; nil where there
// is none. The WAL must be flushed up to to.
func ScanSlot(ctx context.Context, opts ConsumerOptions, from, to LSN) (*SlotFailure, error) {
	// As after a lost connection: a slot that is gone or moved meanwhile is an error,
	// and none is made.
	opts.RecreateLostSlot = false
	opts.Log = slog.New(slog.DiscardHandler)
	feed := NewFeed(scanBytes)
	c := NewConsumer(opts, feed)
	c.reach(from)
	c.Acknowledge(from)
	c.Await(to)
	reading, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- c.follow(reading) }()
	defer func() {
		cancel()
		<-ended
		if c.Status().Connected { // it was, to the last
			awaitRelease(ctx, opts)
		}
	}()
	read := 0
	for {
		var end error
		select {
		case <-feed.Ready():
		case end = <-ended:
			ended <- end // for the deferred function
		}
		batch := feed.Take() // what was read before the end comes first
		for _, tx := range batch.Transactions {
			if err := undecodable(tx); err != nil {
				return &SlotFailure{Transaction: tx, Err: err, Before: read}, nil
			}
			if len(tx.Changes) > 0 || tx.Oversize {
				read++
			}
		}
		switch {
		case batch.Progress >= to:
			return nil, nil
		case end != nil:
			return failure(end, read)
		}
	}
}

// releaseTime is how long a walsender may take to notice that its reader has gone.
const releaseTime = 5 * time.Second

// awaitRelease waits until nobody reads the slot, for who goes on with it at once.
func awaitRelease(ctx context.Context, opts ConsumerOptions) {
	ctx, cancel := context.WithTimeout(ctx, releaseTime)
	defer cancel()
	conn, err := connectSQL(ctx, opts.login())
	if err != nil {
		return // whoever goes on finds the same
	}
	defer closeConn(conn)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if slot, err := readSlot(ctx, conn, opts.Slot); err != nil || slot == nil || !slot.active {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// undecodable is why tx holds a change that takes its table out of service.
func undecodable(tx *Transaction) error {
	for i := range tx.Changes {
		if c := &tx.Changes[i]; c.Op == OpUndecodable {
			return fmt.Errorf("a change of %s.%s can't be decoded: %w", c.Relation.Namespace, c.Relation.Name, c.Err)
		}
	}
	return nil
}

// failure tells a stream that fails where it stands from one that was cut off.
func failure(end error, read int) (*SlotFailure, error) {
	var stream *StreamError
	if !errors.As(end, &stream) {
		return nil, fmt.Errorf("read the slot: %w", end)
	}
	var pg *pgconn.PgError
	if errors.As(end, &pg) && strings.HasPrefix(pg.Code, "57") { // operator_intervention: the server stops
		return nil, fmt.Errorf("read the slot: %w", end)
	}
	return &SlotFailure{Transaction: stream.Transaction, Err: stream.Err, Before: read}, nil
}
