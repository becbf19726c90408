package pgoutput

import "github.com/jackc/pglogrepl"

// Origin says that the transaction was replicated from elsewhere. It follows
// Begin.
type Origin struct {
	CommitLSN pglogrepl.LSN // of the commit on the origin server
	Name      string
}

func (m *Origin) decode(r *reader) {
	m.CommitLSN = pglogrepl.LSN(r.uint64("commit LSN"))
	m.Name = keep(m.Name, r.string("name"))
}
