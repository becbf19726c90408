package stream

import (
	"sort"
	"sync/atomic"

	"github.com/walwire/walwire/cdc"
)

// opKind is what a frame says of a row.
type opKind uint8

const (
	opAdded opKind = iota
	opModified
	opRemoved
	opEvent
)

// op is one row of a frame: its JSON, or for a removal its key's JSON. Or it is an event.
type op struct {
	kind  opKind
	key   string
	data  []byte
	order string // the order key, of an ordered view's added and modified rows

	// was is what the client was shown of the row before, in a window; nil where
	// that is not known.
	was      []byte
	wasOrder string
}

// entry is what one commit did to one view. Immutable once appended, but for
// the cached text.
type entry struct {
	position cdc.LSN
	time     int64 // commit time, 0 where the position is not one commit's
	ops      []op
	text     atomic.Pointer[[]byte] // the ops as frame members, made by the first reader
	tellings atomic.Int32
}

func (e *entry) size() int {
	n := 64
	for i := range e.ops {
		n += 112 + len(e.ops[i].data) + len(e.ops[i].order) + len(e.ops[i].was)
	}
	return n
}

// chain is the bounded log of a view's entries. A subscription is a sequence
// number in it: the first entry it has not been given. Guarded by company.mu.
type chain struct {
	from    cdc.LSN // what lies above is in entries; the view's rows when it began
	first   uint64  // sequence number of entries[0]
	entries []*entry
	bytes   int
}

// end is the sequence number that the next entry will get.
func (c *chain) end() uint64 { return c.first + uint64(len(c.entries)) }

// append adds an entry and lets go of the oldest beyond maxBytes; the newest
// always stays.
func (c *chain) append(e *entry, maxBytes int) {
	c.entries = append(c.entries, e)
	c.bytes += e.size()
	drop := 0
	for c.bytes > maxBytes && drop < len(c.entries)-1 {
		c.bytes -= c.entries[drop].size()
		c.from = c.entries[drop].position
		c.entries[drop] = nil
		drop++
	}
	c.entries = c.entries[drop:]
	c.first += uint64(drop)
}

// prepend adds entries before all others: those of the commits above from.
func (c *chain) prepend(entries []*entry, from cdc.LSN, bytes int) {
	c.entries = append(entries, c.entries...)
	c.first -= uint64(len(entries))
	c.from, c.bytes = from, c.bytes+bytes
}

// since returns the entries from next on, valid while company.mu is held; false when
// some of them are gone.
func (c *chain) since(next uint64) ([]*entry, bool) {
	if next < c.first {
		return nil, false
	}
	return c.entries[next-c.first:], true
}

// after gives the sequence number of the first entry above position; false when
// the chain does not reach back to there.
func (c *chain) after(position cdc.LSN) (next uint64, ok bool) {
	i := sort.Search(len(c.entries), func(i int) bool { return c.entries[i].position > position })
	return c.first + uint64(i), position >= c.from
}
