package pgoutput

import (
	"encoding/binary"
	"fmt"
	"math"
)

// kindNew announces the new tuple of an Insert or Update.
const kindNew byte = 'N'

// newKind reads the byte that announces a new tuple.
func (r *reader) newKind() {
	if b := r.byte("new tuple"); b != kindNew {
		r.failByte("new tuple", b)
	}
}

// oldKind reads the byte that announces an old tuple: OldKey or OldRow.
func (r *reader) oldKind() byte {
	b := r.byte("old tuple")
	if b != OldRow && b != OldKey {
		r.failByte("old tuple", b)
	}
	return b
}

// blame notes whose row it was that could not be decoded.
func (r *reader) blame(relationOID uint32) {
	if r.err != nil {
		r.err.RelationOID = relationOID
	}
}

// tuple reads a tuple and the number of its unchanged columns. The offsets go to
// table, which grows to the widest row and is used again by the next one.
func (r *reader) tuple(field string, table *[]uint32) (t Tuple, unchanged int) {
	start := r.pos
	count := int(r.uint16(field))
	if r.err != nil {
		return Tuple{}, 0
	}
	if count > len(r.src)-r.pos { // a column takes one octet at least
		r.pos = start
		r.fail(field, problemCount, int64(count))
		return Tuple{}, 0
	}
	if cap(*table) < count || *table == nil {
		*table = make([]uint32, count)
	}
	t = Tuple{raw: r.src[r.pos:], offsets: (*table)[:count]}
	end, unchanged, bad := locate(t.raw, t.offsets)
	r.pos += end
	if bad >= 0 {
		r.failColumn(fmt.Sprintf("%s column %d", field, bad))
		return Tuple{}, 0
	}
	t.raw = t.raw[:end:end]
	return t, unchanged
}

// locate writes where each of the columns at the start of raw begins, and returns
// where the last one ends and how many are unchanged. At a column that is
// not whole it stops: bad is its number, else -1, and end is where it starts.
func locate(raw []byte, offsets []uint32) (end, unchanged, bad int) {
	for i := range offsets {
		if end >= len(raw) {
			return end, unchanged, i
		}
		offsets[i] = uint32(end)
		switch raw[end] {
		case KindText, KindBinary:
			rest := raw[end+1:]
			if len(rest) < lengthSize {
				return end, unchanged, i
			}
			n := uint(binary.BigEndian.Uint32(rest))
			if n > math.MaxInt32 || n > uint(len(rest)-lengthSize) {
				return end, unchanged, i
			}
			end += 1 + lengthSize + int(n)
		case KindNull:
			end++
		case KindUnchanged:
			end++
			unchanged++
		default:
			return end, unchanged, i
		}
	}
	return end, unchanged, -1
}

// failColumn finds out what is wrong with the column at pos.
func (r *reader) failColumn(field string) {
	switch kind := r.byte(field); kind {
	case KindText, KindBinary:
		r.block(field)
	default:
		r.failByte(field, kind)
	}
}
