package bench

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// writers is how many connections write at the same time.
const writers = 4

// rewrite changes every appointment once, block by block, in transactions of one
// block.
func (s *stage) rewrite(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for w := range writers {
		group.Go(func() error { return s.rewriteShare(ctx, w) })
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("write the changes: %w", err)
	}
	return nil
}

// rewriteShare writes every writers-th block, from the first on.
func (s *stage) rewriteShare(ctx context.Context, first int) error {
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	size := s.data.perCompany
	for block := first; block < s.data.blocks(); block += writers {
		tag, err := conn.Exec(ctx, "UPDATE appointments SET notes = $1, updated_at = now() WHERE id >= $2 AND id < $3",
			changedNotes, id(appointmentPrefix, block*size), id(appointmentPrefix, (block+1)*size))
		if err != nil {
			return err
		}
		if int(tag.RowsAffected()) != size {
			return fmt.Errorf("block %d: %d rows changed, not %d", block, tag.RowsAffected(), size)
		}
	}
	return nil
}

// write makes n commits, each of one marked row, at so many a second, over so many
// connections: the k-th changes the appointment that row gives for k.
func (s *stage) write(ctx context.Context, n, perSecond, connections int, row func(change int) int) (took time.Duration, err error) {
	return s.writeWhile(ctx, new(atomic.Bool), n, perSecond, connections, row, nil)
}

// writeWhile ends early when over is set. It notes the last change of each appointment in
// last, where that is not nil; changes of one appointment must not be near each other.
func (s *stage) writeWhile(ctx context.Context, over *atomic.Bool, n, perSecond, connections int, row func(change int) int, last []int) (took time.Duration, err error) {
	start := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for w := range connections {
		group.Go(func() error {
			conn, err := s.connect(ctx)
			if err != nil {
				return err
			}
			defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
			for k := w; k < n && !over.Load(); k += connections {
				due := start.Add(time.Duration(k) * time.Second / time.Duration(perSecond))
				if err := pause(ctx, time.Until(due)); err != nil {
					return err
				}
				tag, err := conn.Exec(ctx, markUpdate, k, id(appointmentPrefix, row(k)))
				if err != nil {
					return err
				}
				if tag.RowsAffected() != 1 {
					return fmt.Errorf("change %d: there is no appointment %d", k, row(k))
				}
				if last != nil {
					last[row(k)] = k
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return 0, fmt.Errorf("write the changes: %w", err)
	}
	return time.Since(start), nil
}
