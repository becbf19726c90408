package cdc

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// invalidated recognises what the versions from 14 to 18 say of a slot that was
// invalidated between openSlot's look and the start.
func invalidated(message string) bool {
	for _, s := range []string{"cannot read from logical replication slot", "can no longer get changes", "can no longer access replication slot"} {
		if strings.Contains(message, s) {
			return true
		}
	}
	return false
}

// explainSlot adds what to do to the errors an operator can mend.
func explainSlot(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	switch {
	case pg.Code == "55006": // object_in_use: another walwire, or our own walsender not yet gone
		return fmt.Errorf("the slot is in use by another connection: %w", err)
	case pg.Code == "53400": // configuration_limit_exceeded
		return errFatal{fmt.Errorf("no free replication slot: raise max_replication_slots and restart PostgreSQL, or drop one that nobody reads: %w", err)}
	case pg.Code == "42501":
		return errFatal{fmt.Errorf("the role may not replicate: run ALTER ROLE name REPLICATION as a superuser: %w", err)}
	case pg.Code == "42704" && strings.Contains(pg.Message, "publication"):
		return errFatal{fmt.Errorf("the publication did not exist yet, or no longer, where the stream stands: a slot older than its publication must be dropped (walwire slot drop, or pg_drop_replication_slot) and made anew: %w", err)}
	case pg.Code == "55000" && invalidated(pg.Message):
		return fmt.Errorf("%w: %w", ErrSlotLost, err)
	}
	return err
}
