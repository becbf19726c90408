package cdc

import (
	"context"
	"fmt"
	"strings"
)

// serverFacts are settings as current_setting prints them; one that the version
// does not have is empty.
type serverFacts struct {
	Version          int32
	VersionText      string
	Recovery         bool
	Database         string
	WALLevel         string
	SyncStandbys     string
	KeepSize         string
	SenderTimeout    string
	IdleSlotTimeout  string
	MaxSlots         int32
	MaxSenders       int32
	UsedSlots        int64
	UsedSenders      int64
	UnusedSlots      []string
	OurSlotExists    bool
	ReplicationRoles []string // of a managed service: membership stands for REPLICATION
	Encoding         string   // of the database
}

const serverSQL = `
SELECT current_setting('server_version_num')::int4, current_setting('server_version'),
	pg_catalog.pg_is_in_recovery(), current_database()::text, current_setting('wal_level'),
	current_setting('synchronous_standby_names'), current_setting('max_slot_wal_keep_size'),
	current_setting('wal_sender_timeout'), coalesce(current_setting('idle_replication_slot_timeout', true), ''),
	current_setting('max_replication_slots')::int4, current_setting('max_wal_senders')::int4,
	(SELECT count(*) FROM pg_catalog.pg_replication_slots),
	(SELECT count(*) FROM pg_catalog.pg_stat_replication),
	(SELECT array(SELECT slot_name::text FROM pg_catalog.pg_replication_slots WHERE NOT active ORDER BY 1)),
	EXISTS (SELECT FROM pg_catalog.pg_replication_slots WHERE slot_name = $1),
	array(SELECT rolname::text FROM pg_catalog.pg_roles WHERE rolname IN ('rds_replication')),
	current_setting('server_encoding')`

func (in *inspection) readServer(ctx context.Context) (err error) {
	in.server, err = queryOne[serverFacts](ctx, in.q, serverSQL, in.opts.Slot)
	return err
}

// setting is a finding about a server setting.
func setting(severity Severity, code, name, sql, hint, format string, args ...any) []Finding {
	return []Finding{{Severity: severity, Code: code, Subject: name,
		Message: fmt.Sprintf(format, args...), SQL: sql, Hint: hint}}
}

func alterSystem(name, value string) string {
	return fmt.Sprintf("ALTER SYSTEM SET %s = %s", name, value)
}

const (
	reloadConf  = "SELECT pg_reload_conf()"
	needRestart = "Then restart PostgreSQL. A managed service has its own switch for this setting."
)

func (in *inspection) version(context.Context) ([]Finding, error) {
	if in.server.Version >= 140000 {
		return nil, nil
	}
	return setting(SeverityFatal, CodeServerVersion, "server_version", "", "Upgrade PostgreSQL.",
		"the server is PostgreSQL %s; walwire needs 14 or newer", in.server.VersionText), nil
}

func (in *inspection) standby(context.Context) ([]Finding, error) {
	if !in.server.Recovery {
		return nil, nil
	}
	return setting(SeverityFatal, CodeStandby, in.server.Database, "", "Let database_url name the primary.",
		"the server is a standby, whose snapshots can't be joined exactly to the WAL: database_url must name the primary"), nil
}

func (in *inspection) encoding(context.Context) ([]Finding, error) {
	if in.server.Encoding == "UTF8" {
		return nil, nil
	}
	return setting(SeverityFatal, CodeEncoding, in.server.Database, "", "Dump the database, and restore it into one made with ENCODING 'UTF8'.",
		"the database is encoded in %s: walwire compares text as PostgreSQL does by its octets, which needs UTF8", in.server.Encoding), nil
}

func (in *inspection) walLevel(context.Context) ([]Finding, error) {
	if in.server.WALLevel == "logical" {
		return nil, nil
	}
	return setting(SeverityFatal, CodeWALLevel, "wal_level", statements(alterSystem("wal_level", "'logical'")), needRestart,
		"wal_level is %s: the WAL does not carry rows until it is logical", in.server.WALLevel), nil
}

func (in *inspection) keepSize(context.Context) ([]Finding, error) {
	if in.server.KeepSize != "-1" {
		return nil, nil
	}
	return setting(SeverityWarning, CodeKeepSizeUnbounded, "max_slot_wal_keep_size",
		statements(alterSystem("max_slot_wal_keep_size", "'10GB'"), reloadConf),
		"Choose what the disk can spare. A slot that falls further behind is lost: walwire then stops, and says what to do.",
		"max_slot_wal_keep_size is unbounded: while walwire is away, its slot retains WAL until the disk is full"), nil
}

func (in *inspection) senderTimeout(context.Context) ([]Finding, error) {
	if in.server.SenderTimeout != "0" {
		return nil, nil
	}
	return setting(SeverityWarning, CodeSenderTimeoutOff, "wal_sender_timeout",
		statements(alterSystem("wal_sender_timeout", "'60s'"), reloadConf), "",
		"wal_sender_timeout is 0: after a broken connection the slot stays in use, and walwire can't come back to it"), nil
}

func (in *inspection) idleSlotTimeout(context.Context) ([]Finding, error) {
	timeout := in.server.IdleSlotTimeout
	if timeout == "" || strings.Trim(timeout, "0") == "" {
		return nil, nil
	}
	return setting(SeverityWarning, CodeIdleSlotTimeout, "idle_replication_slot_timeout",
		statements(alterSystem("idle_replication_slot_timeout", "0"), reloadConf), "",
		"idle_replication_slot_timeout is %s: if walwire is away for longer, its slot is lost and every live query is read again", timeout), nil
}

func (in *inspection) slotsLeft(context.Context) ([]Finding, error) {
	s := in.server
	switch {
	case s.OurSlotExists:
		return fine(CodeSlotsFull, "walwire's replication slot is there: it needs no free one"), nil
	case s.UsedSlots < int64(s.MaxSlots):
		return fine(CodeSlotsFull, "%d of %d replication slots are taken", s.UsedSlots, s.MaxSlots), nil
	}
	hint := "Then restart PostgreSQL."
	if len(s.UnusedSlots) > 0 {
		hint += " Or drop a slot that nobody needs; these are inactive: " + strings.Join(s.UnusedSlots, ", ") + "."
	}
	return setting(SeverityFatal, CodeSlotsFull, "max_replication_slots",
		statements(alterSystem("max_replication_slots", fmt.Sprint(s.MaxSlots+5))), hint,
		"all %d replication slots are taken: walwire needs one", s.MaxSlots), nil
}

func (in *inspection) sendersLeft(context.Context) ([]Finding, error) {
	s := in.server
	if s.UsedSenders < int64(s.MaxSenders) || in.opts.Following {
		return nil, nil
	}
	return setting(SeverityFatal, CodeSendersFull, "max_wal_senders",
		statements(alterSystem("max_wal_senders", fmt.Sprint(s.MaxSenders+5))), "Then restart PostgreSQL.",
		"all %d WAL senders are in use: walwire needs one", s.MaxSenders), nil
}
