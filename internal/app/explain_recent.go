package app

import (
	"context"
	"slices"
	"time"

	"github.com/walwire/walwire/cdc"
)

// Recent hands visit the transactions that change rows and that the server's slot still
// holds, in order: the last n, or those committed within age where n is 0. since is the
// time of the first that the slot holds, zero where it holds none.
func (e *Explainer) Recent(ctx context.Context, n int, age time.Duration, visit func(*cdc.Transaction) error) (since time.Time, err error) {
	opts := cdc.ConsumerOptions{
		DatabaseURL: e.cfg.DatabaseURL.Reveal(), PasswordFile: e.cfg.DatabasePasswordFile, Slot: e.cfg.Slot, Publication: e.cfg.Publication,
	}
	var last []*cdc.Transaction
	err = cdc.PeekSlot(ctx, opts, func(tx *cdc.Transaction) error {
		if len(tx.Changes) == 0 && !tx.Oversize {
			return nil
		}
		at := tx.CommitTime()
		if since.IsZero() {
			since = at
		}
		switch {
		case n == 0 && e.now.Sub(at) <= age:
			return visit(tx)
		case n > 0 && len(last) == n:
			last = slices.Delete(last, 0, 1)
			fallthrough
		case n > 0:
			last = append(last, tx)
		}
		return nil
	})
	for _, tx := range last {
		if err == nil {
			err = visit(tx)
		}
	}
	return since, err
}
