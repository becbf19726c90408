package pgoutput

import (
	"time"

	"github.com/jackc/pglogrepl"
)

// Commit closes a transaction.
type Commit struct {
	Flags      byte          // unused, 0 up to PostgreSQL 18
	CommitLSN  pglogrepl.LSN // of the commit record
	EndLSN     pglogrepl.LSN // just behind it: what acknowledges the transaction
	CommitTime int64         // microseconds since 2000-01-01 UTC
}

// Time returns CommitTime.
func (m *Commit) Time() time.Time { return Time(m.CommitTime) }

func (m *Commit) decode(r *reader) {
	m.Flags = r.byte("flags")
	m.CommitLSN = pglogrepl.LSN(r.uint64("commit LSN"))
	m.EndLSN = pglogrepl.LSN(r.uint64("end LSN"))
	m.CommitTime = int64(r.uint64("commit time"))
}
