package pgoutput

import (
	"time"

	"github.com/jackc/pglogrepl"
)

// Begin opens a transaction.
type Begin struct {
	FinalLSN   pglogrepl.LSN // where the commit record will be: Commit.CommitLSN
	CommitTime int64         // microseconds since 2000-01-01 UTC
	XID        uint32        // without its epoch
}

// Time returns CommitTime.
func (m *Begin) Time() time.Time { return Time(m.CommitTime) }

func (m *Begin) decode(r *reader) {
	m.FinalLSN = pglogrepl.LSN(r.uint64("final LSN"))
	m.CommitTime = int64(r.uint64("commit time"))
	m.XID = r.uint32("transaction id")
}
