package cdc

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
)

// Gap says that commits may be missing before this point: the slot was made anew,
// or moved by another.
type Gap struct {
	Why  string // for the log and the operator
	From LSN    // everything below had been handed over; zero: nothing had
	// XID (64 bits) is a transaction id given out after the slot's start. Commits of
	// transactions below it may be missing: what they did is known only once a
	// snapshot's xmin has passed it.
	XID uint64
}

// missing remembers that the stream will not go on where it ended, until it has
// begun again: attempts in between may fail. Of several reasons the last counts.
func (c *Consumer) missing(why string) {
	if c.gap == nil {
		c.gap = &Gap{From: c.handled}
	}
	c.gap.Why = why
}

// begin sets where the stream is complete from, and hands over the gap before it.
// The slot is ours and side a connection beside the stream: an id given out now is
// above those of all commits below the slot's position.
func (c *Consumer) begin(ctx context.Context, side *pgconn.PgConn, from LSN) error {
	gap := c.gap
	if gap != nil {
		rows, err := simpleQuery(ctx, side, "SELECT pg_current_xact_id()")
		if err != nil {
			return fmt.Errorf("read a transaction id: %w", err)
		}
		if gap.XID, err = strconv.ParseUint(rows[0][0], 10, 64); err != nil {
			return fmt.Errorf("read a transaction id: %w", err)
		}
		// Where the slot is another one, this alone may tell.
		if c.newest != 0 && int32(uint32(gap.XID)-c.newest) <= 0 {
			return fmt.Errorf("%w: transaction id %d is given out, where %d had been read before: an earlier state was put back; "+startAgain,
				ErrHistoryChanged, gap.XID, c.newest)
		}
	}
	c.gap, c.last = nil, txIdentity{}
	c.reach(from)
	c.Acknowledge(from)
	c.floor.Store(uint64(from))
	if gap != nil {
		if gap.From == 0 { // nobody has been shown anything yet
			c.opts.Log.Info("the stream begins", "why", gap.Why, "at", from.String())
		} else {
			c.opts.Log.Warn("commits may be missing from the stream", "why", gap.Why, "from", gap.From.String(), "to", from.String())
		}
		c.feed.append(&Transaction{Commit: from, End: from, Gap: gap})
	}
	return nil
}
