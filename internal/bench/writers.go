package bench

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// writers is how many connections write the WAL at the same time.
const writers = 4

// write changes every appointment once, block by block, in transactions of one
// block.
func (d dataset) write(ctx context.Context, url string) error {
	group, ctx := errgroup.WithContext(ctx)
	for w := range writers {
		group.Go(func() error { return d.writeShare(ctx, url, w) })
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("write the changes: %w", err)
	}
	return nil
}

// writeShare writes every writers-th block, from the first on.
func (d dataset) writeShare(ctx context.Context, url string, first int) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for block := first; block < d.commits(); block += writers {
		tag, err := conn.Exec(ctx, "UPDATE appointments SET notes = $1, updated_at = now() WHERE id >= $2 AND id < $3",
			changedNotes, id(appointmentPrefix, block*rowsPerCommit), id(appointmentPrefix, (block+1)*rowsPerCommit))
		if err != nil {
			return err
		}
		if tag.RowsAffected() != rowsPerCommit {
			return fmt.Errorf("block %d: %d rows changed, not %d", block, tag.RowsAffected(), rowsPerCommit)
		}
	}
	return nil
}
