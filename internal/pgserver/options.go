package pgserver

import (
	"log/slog"
	"maps"
)

// Options say how to run a private server. The zero value is a temporary
// cluster on a free port.
type Options struct {
	// DataDir keeps the cluster: it is made there when the directory is empty
	// or missing, and used again otherwise. Empty: a temporary directory.
	DataDir string
	// Settings are added to postgresql.conf and win over the defaults below.
	Settings map[string]string
	// Log hears where the server came from and how it went. Nil: silence.
	Log *slog.Logger
	// WALSegmentMB is the size of a WAL segment of a new cluster, in MiB: a power of
	// two. Zero: PostgreSQL's 16.
	WALSegmentMB int
	// Port is the TCP port on 127.0.0.1. Zero: a free one.
	Port int
}

func (o Options) log() *slog.Logger {
	if o.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return o.Log
}

// settings are the server's settings, apart from where it listens.
func (o Options) settings() map[string]string {
	s := map[string]string{
		"wal_level":                 "logical",
		"max_wal_senders":           "20",
		"max_replication_slots":     "20",
		"max_connections":           "200",
		"max_prepared_transactions": "50",
		"shared_buffers":            "128MB",
		"max_wal_size":              "4GB",
		"max_slot_wal_keep_size":    "16GB", // a forgotten slot must not fill the disk
		"TimeZone":                  "UTC",
		"log_timezone":              "UTC",
		"log_line_prefix":           "%m [%p] %q%a ",
	}
	if o.DataDir == "" {
		s["fsync"] = "off"
		s["full_page_writes"] = "off"
	}
	maps.Copy(s, o.Settings)
	return s
}
