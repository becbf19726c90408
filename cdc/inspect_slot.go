package cdc

import (
	"context"
	"fmt"
)

func dropSlot(name string) string {
	return fmt.Sprintf("SELECT pg_drop_replication_slot(%s)", quoteLiteral(name))
}

func (in *inspection) slot(ctx context.Context) ([]Finding, error) {
	s, err := ReadSlotHealth(ctx, in.q, in.opts.Slot)
	if err != nil {
		return nil, err
	}
	if in.opts.FailoverSlot && in.server.Version < firstFailoverVersion {
		return []Finding{{Severity: SeverityFatal, Code: CodeSlot, Subject: quoteIdent(in.opts.Slot),
			Message: "slot_failover needs PostgreSQL 17, this is " + in.server.VersionText, Hint: "Set slot_failover to false in the config, or upgrade PostgreSQL."}}, nil
	}
	if s == nil {
		return fine(CodeSlot, "slot %s is not there yet: walwire makes it when it starts", quoteIdent(in.opts.Slot)), nil
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
	case s.Lost() != "":
		f.Code = CodeSlotLost
		f.Message = fmt.Sprintf("slot %s is lost: %s", name, s.Lost())
		f.Hint = "walwire then makes a new one, and every live query is read again. With on_slot_loss: recreate it does so by itself."
		if in.opts.RecreateLostSlot {
			f.Severity, f.Hint = SeverityWarning, "walwire drops it and makes a new one when it starts; every live query is read again."
		}
	case in.opts.FailoverSlot && !s.Failover:
		f.Severity = SeverityWarning
		f.Message = fmt.Sprintf("slot %s was made without failover: it will not survive one, although slot_failover is set", name)
		f.Hint = "Stop walwire before, and it makes the slot anew; every live query is read again."
	case s.Active:
		return []Finding{in.activeSlot(s)}, nil
	default:
		return fine(CodeSlot, "slot %s is one of pgoutput, of this database, not lost and not in use%s", name, in.failover(s)), nil
	}
	return []Finding{f}, nil
}

// failover says whether standbys carry the slot, where the server can tell.
func (in *inspection) failover(s *SlotHealth) string {
	switch {
	case in.server.Version < firstFailoverVersion:
		return ""
	case s.Failover:
		return "; standbys carry it on (failover)"
	}
	return "; no standby carries it on (failover is off)"
}

func (in *inspection) activeSlot(s *SlotHealth) Finding {
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
