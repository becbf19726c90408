package cdc

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// slotSQL reads our slot. invalidation_reason and failover are there since 17.
const slotSQL = `
SELECT s.slot_type, coalesce(s.plugin::text, ''), coalesce(s.database::text, ''), s.active, coalesce(s.active_pid, 0),
	coalesce(s.wal_status, ''), coalesce(to_jsonb(s)->>'invalidation_reason', ''), coalesce(to_jsonb(s)->>'failover', ''),
	coalesce((SELECT r.application_name FROM pg_catalog.pg_stat_replication r WHERE r.pid = s.active_pid), '')
FROM pg_catalog.pg_replication_slots s WHERE s.slot_name = $1`

type slotFacts struct {
	Type         string
	Plugin       string
	Database     string
	Active       bool
	ActivePID    int32
	WALStatus    string
	Invalidation string
	Failover     string // "true" or "false"; before 17 empty
	Application  string
}

func dropSlot(name string) string {
	return fmt.Sprintf("SELECT pg_drop_replication_slot(%s)", quoteLiteral(name))
}

func (in *inspection) slot(ctx context.Context) ([]Finding, error) {
	s, err := queryOne[slotFacts](ctx, in.q, slotSQL, in.opts.Slot)
	if errors.Is(err, pgx.ErrNoRows) {
		return fine(CodeSlot, "slot %s is not there yet: walwire makes it when it starts", quoteIdent(in.opts.Slot)), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read slot: %w", err)
	}
	name := quoteIdent(in.opts.Slot)
	f := Finding{Severity: SeverityFatal, Code: CodeSlot, Subject: name, SQL: statements(dropSlot(in.opts.Slot)),
		Hint: "If another program uses it, choose another slot name in the config instead."}
	switch {
	case s.Type != "logical":
		f.Message = fmt.Sprintf("slot %s is a physical one", name)
	case s.Plugin != "pgoutput":
		f.Message = fmt.Sprintf("slot %s uses the plugin %s; walwire reads pgoutput", name, s.Plugin)
	case s.Database != in.server.Database:
		f.Message = fmt.Sprintf("slot %s belongs to database %s, not %s: slot names are shared by all databases of a server",
			name, quoteIdent(s.Database), quoteIdent(in.server.Database))
	case s.WALStatus == "lost" || s.Invalidation != "":
		f.Code = CodeSlotLost
		f.Message = fmt.Sprintf("slot %s is lost: the WAL that it needs is gone", name)
		if s.Invalidation != "" {
			f.Message = fmt.Sprintf("slot %s is lost: %s", name, invalidation(s.Invalidation))
		}
		f.Hint = "walwire then makes a new one, and every live query is read again."
	case s.Active:
		return []Finding{in.activeSlot(s)}, nil
	default:
		return fine(CodeSlot, "slot %s is one of pgoutput, of this database, not lost and not in use%s", name, s.failover()), nil
	}
	return []Finding{f}, nil
}

// invalidation says in words why PostgreSQL has invalidated a slot.
func invalidation(reason string) string {
	why, ok := map[string]string{
		"wal_removed":            "it fell further behind than max_slot_wal_keep_size allows, and the WAL that it needs is gone",
		"idle_timeout":           "nobody read it for longer than idle_replication_slot_timeout allows",
		"rows_removed":           "rows of the catalogue that it needs are gone",
		"wal_level_insufficient": "wal_level was not logical for a time",
	}[reason]
	if !ok {
		return reason
	}
	return why + " (" + reason + ")"
}

// failover says whether standbys carry the slot, where the server can tell.
func (s *slotFacts) failover() string {
	switch s.Failover {
	case "true":
		return "; standbys carry it on (failover)"
	case "false":
		return "; no standby carries it on (failover is off)"
	default:
		return ""
	}
}

func (in *inspection) activeSlot(s slotFacts) Finding {
	name := quoteIdent(in.opts.Slot)
	if s.Application == ApplicationName {
		return Finding{Severity: SeverityInfo, Code: CodeSlotActive, Subject: name,
			Message: fmt.Sprintf("slot %s is in use by a running walwire (pid %d); a second one waits for it", name, s.ActivePID)}
	}
	return Finding{Severity: SeverityWarning, Code: CodeSlotActive, Subject: name,
		Message: fmt.Sprintf("slot %s is in use by pid %d (application %q): what it takes, walwire never sees", name, s.ActivePID, s.Application),
		SQL:     statements(fmt.Sprintf("SELECT pg_terminate_backend(%d)", s.ActivePID)),
		Hint:    "Stop that program first, or choose another slot name in the config."}
}
