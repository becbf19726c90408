package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/mapping"
)

// slotCmd is `walwire slot`.
type slotCmd struct {
	Status slotStatusCmd `cmd:"" help:"Show the slot, and the WAL that it retains."`
	Drop   slotDropCmd   `cmd:"" help:"Drop the slot. Clients get new snapshots afterwards."`
	Skip   slotSkipCmd   `cmd:"" help:"Pass over the transaction that can't be read."`
}

// slotFlags are what all its commands need.
type slotFlags struct {
	configFlags
}

// openSlot is a configuration's slot.
type openSlot struct {
	cfg    *mapping.Config
	conn   *pgx.Conn
	health *cdc.SlotHealth // nil: it is not there
}

// open reads the slot. close it.
func (f slotFlags) open(ctx context.Context) (*openSlot, error) {
	cfg, err := f.load()
	if err != nil {
		return nil, err
	}
	if cfg.DatabaseURL.IsZero() {
		return nil, errNoDatabase
	}
	s := &openSlot{cfg: cfg}
	if s.conn, err = cdc.Connect(ctx, cfg.DatabaseURL.Reveal(), cfg.DatabasePasswordFile); err != nil {
		return nil, fmt.Errorf("the database can't be reached: %w", err)
	}
	if s.health, err = cdc.ReadSlotHealth(ctx, s.conn, cfg.Slot); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *openSlot) close() { _ = s.conn.Close(context.Background()) }

// missing is the error for a slot that is not there.
func (s *openSlot) missing() error {
	return fmt.Errorf("slot %q is not there: walwire makes it when it starts", s.cfg.Slot)
}

// manageable is why the slot must not be touched, nil when it may.
func (s *openSlot) manageable() error {
	if s.health == nil {
		return s.missing()
	}
	return s.health.Manageable()
}

// slotDropCmd is `walwire slot drop`.
type slotDropCmd struct {
	slotFlags
	Yes bool `help:"Do it."`
}

// Help explains the command.
func (slotDropCmd) Help() string {
	return `Drops the slot, so that PostgreSQL no longer keeps WAL for it: for good, or because it is lost or older than its publication. "walwire serve" makes a new one when it starts. What is committed in between is in no log: clients that come back get a reset with new snapshots.

  walwire slot drop --config walwire.yaml --yes

It refuses a slot that somebody reads, and one that is not of pgoutput or not of this database.`
}

// Run drops the slot.
func (d *slotDropCmd) Run(ctx context.Context, c *console) error {
	s, err := d.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.manageable(); err != nil {
		return err
	}
	if !d.Yes {
		return fmt.Errorf("slot %q at %s would be dropped, and %s of WAL let go: give --yes to do it",
			s.cfg.Slot, s.health.Confirmed, octets(s.health.RetainedBytes))
	}
	if err := cdc.DropSlot(ctx, s.conn, s.cfg.Slot); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.out, "slot %s is dropped\n", s.cfg.Slot)
	return err
}

var errNoDatabase = errors.New("database_url is not set: give it in the file, by --database-url or as WALWIRE_DATABASE_URL")

// octets writes an amount for people.
func octets(n int64) string {
	const units = "KMGTPE"
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	size, unit := float64(n)/(1<<10), 0
	for ; size >= 1<<10; unit++ {
		size /= 1 << 10
	}
	return fmt.Sprintf("%.1f %ciB", size, units[unit])
}
