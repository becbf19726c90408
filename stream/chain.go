package stream

import (
	"sync/atomic"

	"github.com/walwire/walwire/cdc"
)

// opKind is what a frame says of a row.
type opKind uint8

const (
	opAdded opKind = iota
	opModified
	opRemoved
)

// op is one row of a frame: its JSON, or for a removal its key's JSON.
type op struct {
	kind opKind
	key  string
	data []byte
}

// entry is what one commit did to one view. Immutable once appended, but for
// the cached text.
type entry struct {
	position cdc.LSN
	time     int64 // commit time, 0 where the position is not one commit's
	ops      []op
	text     atomic.Pointer[[]byte] // the ops as frame members, made by the first reader
}

func (e *entry) size() int {
	n := 64
	for i := range e.ops {
		n += 48 + len(e.ops[i].data)
	}
	return n
}

// chain is the bounded log of a view's entries. A subscription is a sequence
// number in it: the first entry it has not been given. Guarded by company.mu.
type chain struct {
	first   uint64 // sequence number of entries[0]
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
		c.entries[drop] = nil
		drop++
	}
	c.entries = c.entries[drop:]
	c.first += uint64(drop)
}

// since returns the entries from next on; false when some of them are gone.
func (c *chain) since(next uint64) ([]*entry, bool) {
	if next < c.first {
		return nil, false
	}
	return c.entries[next-c.first:], true
}
