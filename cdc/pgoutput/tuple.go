package pgoutput

import "encoding/binary"

// What a column of a tuple holds.
const (
	KindNull      byte = 'n'
	KindUnchanged byte = 'u' // stored out of line and not sent, since it did not change
	KindText      byte = 't' // the type's text output
	KindBinary    byte = 'b' // the type's binary output; not sent unless asked for
)

// What the old tuple of an Update or Delete holds.
const (
	OldKey byte = 'K' // the replica identity's columns, the others null
	OldRow byte = 'O' // the whole row
)

// Tuple is the columns of a row, or of a key, in the order of the Relation. It is
// the stream's own bytes and a table of where each column starts in them, so
// that a column is found at once and copying a row is two memory copies. It is
// immutable. The zero value is absent: no tuple at all.
type Tuple struct {
	raw     []byte   // the columns as sent: kind, then length and data unless null or unchanged
	offsets []uint32 // of each column's kind in raw; not nil unless absent
}

// lengthSize is what the length in front of a value takes, in octets.
const lengthSize = 4

// Absent reports whether there is no tuple. A row of a table without columns has
// no columns either, but is not absent.
func (t Tuple) Absent() bool { return t.offsets == nil }

// Len returns the number of columns.
func (t Tuple) Len() int { return len(t.offsets) }

// Size returns what a copy of the tuple takes in memory, in octets.
func (t Tuple) Size() int { return len(t.raw) + 4*len(t.offsets) }

// Column returns what column i holds, counted from 0, and its data, which is
// nil when it is null or unchanged. Data aliases the tuple and must not be written
// to. It panics when i is out of range.
func (t Tuple) Column(i int) (kind byte, data []byte) {
	column := t.raw[t.offsets[i]:]
	kind = column[0]
	if kind == KindNull || kind == KindUnchanged {
		return kind, nil
	}
	end := 1 + lengthSize + int(binary.BigEndian.Uint32(column[1:]))
	return kind, column[1+lengthSize : end : end]
}

// encoded returns column i as sent.
func (t Tuple) encoded(i int) []byte {
	start, end := int(t.offsets[i]), len(t.raw)
	if i+1 < len(t.offsets) {
		end = int(t.offsets[i+1])
	}
	return t.raw[start:end]
}
