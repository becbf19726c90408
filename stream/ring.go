package stream

import (
	"slices"
	"sort"
	"time"

	"github.com/walwire/walwire/cdc"
)

// Retention bounds the log of recent transactions, from which clients resume: the
// first bound that is reached counts. PostgreSQL keeps the WAL of as much, from
// which the log is rebuilt after a restart.
type Retention struct {
	Age     time.Duration // since the commit; zero means 5 min
	Bytes   int           // of rows in memory; zero means 64 MiB
	Changes int           // zero means 500,000
	WAL     int64         // octets of WAL that the slot keeps for it; zero means 1 GiB
}

func (r *Retention) setDefaults() {
	orDefault(&r.Age, 5*time.Minute)
	orDefault(&r.Bytes, 64<<20)
	orDefault(&r.Changes, 500_000)
	orDefault(&r.WAL, 1<<30)
}

// ring is the log of recent transactions of all companies, also of those that
// nobody watches. It belongs to the hub's goroutine.
type ring struct {
	floor    cdc.LSN // every transaction above is here
	before   commit  // the last that was let go, zero where none was
	txs      []*cdc.Transaction
	first    uint64 // sequence number of txs[0]
	bytes    int
	changes  int
	taken    taken
	everyone []uint64 // transactions that concern all companies
	scopes   map[string]*scope
	swept    uint64        // first, when scopes without transactions were last looked for
	ahead    time.Duration // PostgreSQL's clock beyond ours
}

// taken is what the log has taken up in all.
type taken struct {
	position cdc.LSN
	bytes    int
	changes  int
}

// share reports whether as much has been taken up since as may be before idle clients are
// told where they are.
func (r *Retention) share(now, since taken) bool {
	return int64(now.position-since.position) >= r.WAL/marks || now.bytes-since.bytes >= r.Bytes/marks || now.changes-since.changes >= r.Changes/marks
}

// scope is what the hub knows of one company.
type scope struct {
	company *company // nil while nobody is connected
	txs     []uint64 // sequence numbers of its transactions
}

// begin empties the ring: the stream is complete from floor on.
func (r *ring) begin(floor cdc.LSN) {
	r.first += uint64(len(r.txs))
	r.floor, r.txs, r.bytes, r.changes, r.everyone, r.before = floor, nil, 0, 0, nil, commit{}
	for key, s := range r.scopes {
		if s.txs = nil; s.company == nil {
			delete(r.scopes, key)
		}
	}
}

func (r *ring) append(tx *cdc.Transaction) {
	r.txs = append(r.txs, tx)
	r.bytes += tx.Bytes
	r.changes += len(tx.Changes)
	r.taken.bytes += tx.Bytes
	r.taken.changes += len(tx.Changes)
	if tx.Sent != 0 {
		r.ahead = time.Until(postgresEpoch.Add(time.Duration(tx.Sent) * time.Microsecond))
	}
}

// last is the newest commit up to a position, an xid of zero where none is known.
func (r *ring) last(position cdc.LSN) commit {
	i := sort.Search(len(r.txs), func(i int) bool { return r.txs[i].End > position })
	if i == 0 {
		return r.before
	}
	return commitOf(r.txs[i-1])
}

// stale reports whether the log's newest commit is so old that another is needed for
// cursors to name.
func (r *ring) stale(bounds *Retention, position cdc.LSN) bool {
	now := time.Now().Add(r.ahead).Sub(postgresEpoch).Microseconds()
	return r.names(bounds, &cdc.Transaction{Commit: position, Time: now})
}

// names reports whether a transaction without changes is kept, for cursors to name:
// the first, and then one now and again. It goes by the log alone, so that a log rebuilt
// after a restart has the same.
func (r *ring) names(bounds *Retention, tx *cdc.Transaction) bool {
	newest := r.last(^cdc.LSN(0))
	return newest.xid == 0 || time.Duration(tx.Time-newest.time)*time.Microsecond > bounds.Age/marks ||
		int64(tx.Commit-newest.end) > bounds.WAL/marks
}

// newest is the sequence number of the transaction appended last.
func (r *ring) newest() uint64 { return r.first + uint64(len(r.txs)) - 1 }

// concern notes that the transaction of that number, the newest noted yet, concerns a
// company.
func (r *ring) concern(key []byte, n uint64) *company {
	s := r.scopes[string(key)]
	if s == nil {
		s = &scope{}
		r.scopes[string(key)] = s
	}
	s.txs = note(s.txs, n, r.first)
	return s.company
}

func (r *ring) concernAll(n uint64) { r.everyone = note(r.everyone, n, r.first) }

// note appends a sequence number once, and lets go of those below first when the
// list would grow.
func note(list []uint64, n, first uint64) []uint64 {
	if len(list) > 0 && list[len(list)-1] == n {
		return list
	}
	if len(list) == cap(list) {
		i, _ := slices.BinarySearch(list, first)
		list = append(list[:0], list[i:]...)
	}
	return append(list, n)
}

// trim lets go of what lies beyond the bounds; it reports whether the floor moved.
func (r *ring) trim(bounds *Retention, position cdc.LSN) bool {
	before := r.floor
	oldest := time.Now().Add(r.ahead).Add(-bounds.Age)
	n := 0
	for _, tx := range r.txs {
		if r.bytes <= bounds.Bytes && r.changes <= bounds.Changes && int64(position-tx.Commit) <= bounds.WAL &&
			postgresEpoch.Add(time.Duration(tx.Time)*time.Microsecond).After(oldest) {
			break
		}
		r.bytes -= tx.Bytes
		r.changes -= len(tx.Changes)
		r.floor, r.before = tx.End, commitOf(tx)
		n++
	}
	clear(r.txs[:n])
	r.txs = r.txs[n:]
	r.first += uint64(n)
	r.sweep()
	return r.floor != before
}

// sweep forgets companies that nobody watches and that the ring no longer has
// anything of; not more often than the ring is renewed.
func (r *ring) sweep() {
	if r.first-r.swept < uint64(len(r.txs)+len(r.scopes)) {
		return
	}
	r.swept = r.first
	for key, s := range r.scopes {
		if i, _ := slices.BinarySearch(s.txs, r.first); s.company == nil && i == len(s.txs) {
			delete(r.scopes, key)
		}
	}
}

// of gives the transactions that concern a company, in order.
func (r *ring) of(key string) []*cdc.Transaction {
	numbers := slices.Clone(r.everyone)
	if s := r.scopes[key]; s != nil {
		numbers = append(numbers, s.txs...)
	}
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	i, _ := slices.BinarySearch(numbers, r.first)
	txs := make([]*cdc.Transaction, 0, len(numbers)-i)
	for _, n := range numbers[i:] {
		txs = append(txs, r.txs[n-r.first])
	}
	return txs
}
