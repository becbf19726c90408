package cdc

import (
	"time"

	"github.com/jackc/pglogrepl"

	"github.com/walwire/walwire/cdc/pgoutput"
)

// LSN is a position in the write-ahead log, printed as PostgreSQL prints it.
type LSN = pglogrepl.LSN

// Op is what a change did to its relation.
type Op byte

// The operations. OpUndecodable stands for a change of a known relation whose
// bytes could not be read: its table can no longer be followed.
const (
	OpInsert      Op = 'I'
	OpUpdate      Op = 'U'
	OpDelete      Op = 'D'
	OpTruncate    Op = 'T'
	OpUndecodable Op = '!'
)

// Change is one change of one row, or a TRUNCATE of one relation.
type Change struct {
	Op      Op
	OldKind byte // 0 absent, 'K' the key only, 'O' the whole old row
	// Incomplete is set when New lacks values that the WAL did not repeat:
	// unchanged TOASTed ones of a table whose replica identity is not FULL.
	Incomplete bool
	Relation   *Relation
	Old        pgoutput.Tuple // absent unless OldKind is set
	New        pgoutput.Tuple // absent for deletes and truncates
	Err        error          // OpUndecodable: why
}

// Relation is a published table or leaf partition as the stream last described
// it. Immutable: a changed description is a new Relation.
type Relation struct {
	OID       uint32
	Namespace string
	Name      string
	Identity  byte // replica identity: 'd', 'n', 'f' or 'i'
	Columns   []pgoutput.RelationColumn
}

// Transaction is one commit. Its position is Commit; acknowledging End means
// that PostgreSQL will not send it again.
type Transaction struct {
	XID    uint32
	Commit LSN
	End    LSN
	Time   int64 // commit time in microseconds since 2000-01-01 UTC
	// Sent is when PostgreSQL sent the end of it, by the same clock as Time: the
	// difference is how far behind its writers the stream is.
	Sent int64

	// Gap, where set, says that commits may be missing below Commit, which is then a
	// position of the slot and no transaction's: XID and Time are zero, and nothing
	// was changed.
	Gap *Gap

	// Changes in WAL order. Empty when Oversize is set.
	Changes []Change
	// Oversize is set when the changes exceeded Options.MaxTransactionBytes and
	// were let go: every table in Touched must be read again.
	Oversize bool
	Touched  []*Relation
	// Bytes is what the changes hold in memory, roughly.
	Bytes int
}

// epoch is PostgreSQL's: 2000-01-01 UTC, in microseconds of Unix time.
const epoch = 946684800e6

// CommitTime is Time by another clock's zero.
func (tx *Transaction) CommitTime() time.Time { return time.UnixMicro(tx.Time + epoch).UTC() }
