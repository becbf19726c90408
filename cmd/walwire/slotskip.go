package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pglogrepl"

	"github.com/walwire/walwire/cdc"
)

// slotSkipCmd is `walwire slot skip`.
type slotSkipCmd struct {
	slotFlags
	To  string `help:"Pass over everything that commits below this position, read or not: for errors that name no transaction." placeholder:"LSN"`
	Yes bool   `help:"Do it."`
}

// Help explains the command.
func (slotSkipCmd) Help() string {
	return `The way past a change that can't be read, while the server is stopped. It reads what the slot holds, as the server would, up to the first transaction that fails, and shows what would be passed over. Nothing changes without --yes.

  walwire slot skip --config walwire.yaml
  walwire slot skip --config walwire.yaml --yes

With --yes the slot is moved just past the commit of that transaction: what it holds of before, for clients to resume from, goes as well. Run it again in case another one fails. Where the error names no transaction, --to passes over everything below a position.

The effect: clients' cursors from before lie below the slot's new start, so every client gets a reset with new snapshots: a new epoch. The rows are right, as they are read from the tables; that they had changed is told to nobody, nor are the events of what was passed over.`
}

// epoch is what a skip means for clients.
const epoch = "clients' cursors from before lie below its new start: each client gets a reset with new snapshots"

// Run looks for what fails, and passes over it.
func (k *slotSkipCmd) Run(ctx context.Context, c *console) error {
	s, err := k.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.manageable(); err != nil {
		return err
	}
	if why := s.health.Lost(); why != "" {
		return fmt.Errorf("slot %q is lost: %s; nothing can be read from it: drop it with walwire slot drop", s.cfg.Slot, why)
	}
	to, err := k.find(ctx, c.out, s)
	if err != nil || to == 0 {
		return err
	}
	if !k.Yes {
		_, err := fmt.Fprintf(c.out, "nothing was changed: --yes moves the slot to %s. Then %s.\n", to, epoch)
		return err
	}
	if err := cdc.AdvanceSlot(ctx, s.conn, s.cfg.Slot, to); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.out, "slot %s is at %s; %s\n", s.cfg.Slot, to, epoch)
	return err
}

// find says what would be passed over and gives the position behind it; zero where
// there is nothing.
func (k *slotSkipCmd) find(ctx context.Context, out io.Writer, s *openSlot) (cdc.LSN, error) {
	end, err := cdc.FlushedPosition(ctx, s.conn)
	if err != nil {
		return 0, err
	}
	from := s.health.Confirmed
	if k.To != "" {
		to, err := pglogrepl.ParseLSN(k.To)
		if err != nil {
			return 0, fmt.Errorf("--to %q is no position: give one like 16/B374D848", k.To)
		}
		if to <= from || to > end {
			return 0, fmt.Errorf("--to %s: give a position above the slot's, %s, and up to where the WAL ends, %s", to, from, end)
		}
		_, err = fmt.Fprintf(out, "from %s to %s: %s of WAL, with whatever was committed there\n", from, to, octets(int64(to-from)))
		return to, err
	}
	failure, err := cdc.ScanSlot(ctx, cdc.ConsumerOptions{
		DatabaseURL: s.cfg.DatabaseURL.Reveal(), PasswordFile: s.cfg.DatabasePasswordFile, Slot: s.cfg.Slot, Publication: s.cfg.Publication,
	}, from, end)
	switch {
	case err != nil:
		return 0, err
	case failure == nil:
		_, err = fmt.Fprintf(out, "everything from %s to %s can be read: there is nothing to skip\n", from, end)
		return 0, err
	case failure.Transaction == nil:
		return 0, errors.Join(failure.Err, fmt.Errorf("the error names no transaction: --to LSN passes over everything below a position; up to now, %s, that is %s of WAL",
			end, octets(int64(end-from))))
	}
	if err := describeFailure(out, failure); err != nil {
		return 0, err
	}
	_, err = fmt.Fprintf(out, "from %s to %s: %s of WAL, with %d transactions before that one; their events are told to nobody who has not been told them\n",
		from, failure.Past(), octets(int64(failure.Past()-from)), failure.Before)
	return failure.Past(), err
}

func describeFailure(out io.Writer, f *cdc.SlotFailure) error {
	tx := f.Transaction
	changes := fmt.Sprint(len(tx.Changes))
	switch {
	case tx.Oversize:
		changes = "too many to be held"
	case tx.End == 0:
		changes += " or more: it could not be read to its end"
	}
	_, err := fmt.Fprintf(out, "transaction %d, committed at %s (%s)\n  error    %v\n  changes  %s\n  tables   %v\n",
		tx.XID, tx.Commit, tx.CommitTime().Format(time.RFC3339Nano), f.Err, changes, f.Tables())
	return err
}
