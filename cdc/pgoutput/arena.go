package pgoutput

import "encoding/binary"

const (
	// chunkSize is what the arena asks the runtime for at a time, in octets.
	chunkSize = 64 << 10
	// ownSize is from where on a tuple gets memory of its own: what a chunk
	// leaves unused at its end is smaller.
	ownSize = chunkSize / 8
	// offsetChunk is the same for offset tables, in columns.
	offsetChunk = chunkSize / 16
)

// Arena keeps copies of tuples in shared chunks of memory. A tuple stays valid for
// as long as anybody holds it, and holds its whole chunk: memory is let go chunk
// by chunk by the garbage collector once no tuple in it is referred to, and
// is never used a second time. So tuples that arrive together should be let go
// together; one that is kept much longer than its neighbours should be
// cloned into an arena for such.
//
// The zero value is ready. It is for one goroutine; the tuples are for any.
type Arena struct {
	raw     []byte   // not yet handed out of the current chunk
	offsets []uint32 // the same for offset tables
	bytes   int64
}

// Bytes returns what the tuples made so far take in memory, in octets. It only
// grows: the difference of two calls is the size of what was made between them.
func (a *Arena) Bytes() int64 { return a.bytes }

// Clone returns a copy of t that depends on nothing else. An absent tuple stays
// absent.
func (a *Arena) Clone(t Tuple) Tuple {
	if t.Absent() {
		return t
	}
	raw := a.grab(len(t.raw))
	copy(raw, t.raw)
	offsets := a.grabOffsets(len(t.offsets))
	copy(offsets, t.offsets)
	return Tuple{raw: raw, offsets: offsets}
}

// CloneOver returns a copy of t in which every unchanged column holds what old
// has there: the whole new row of an Update under REPLICA IDENTITY FULL. A column
// that old does not have, or does not know either, stays unchanged.
func (a *Arena) CloneOver(t, old Tuple) Tuple {
	if t.Absent() {
		return t
	}
	size := 0
	for i := range t.offsets {
		size += len(t.over(old, i))
	}
	raw := a.grab(size)[:0]
	offsets := a.grabOffsets(len(t.offsets))
	for i := range offsets {
		offsets[i] = uint32(len(raw))
		raw = append(raw, t.over(old, i)...)
	}
	return Tuple{raw: raw, offsets: offsets}
}

// over returns column i as sent, of old where t has it unchanged.
func (t Tuple) over(old Tuple, i int) []byte {
	column := t.encoded(i)
	if column[0] == KindUnchanged && i < old.Len() {
		return old.encoded(i)
	}
	return column
}

// Row makes a tuple of values in text format, nil for NULL, as rows of a query's
// result come.
func (a *Arena) Row(values [][]byte) Tuple {
	size := 0
	for _, v := range values {
		size++
		if v != nil {
			size += lengthSize + len(v)
		}
	}
	raw := a.grab(size)[:0]
	offsets := a.grabOffsets(len(values))
	for i, v := range values {
		offsets[i] = uint32(len(raw))
		if v == nil {
			raw = append(raw, KindNull)
			continue
		}
		raw = append(raw, KindText)
		raw = binary.BigEndian.AppendUint32(raw, uint32(len(v)))
		raw = append(raw, v...)
	}
	return Tuple{raw: raw, offsets: offsets}
}

// grab returns n octets nobody else has.
func (a *Arena) grab(n int) []byte {
	a.bytes += int64(n)
	if n > len(a.raw) {
		if n >= ownSize {
			return make([]byte, n)
		}
		a.raw = make([]byte, chunkSize)
	}
	b := a.raw[:n:n]
	a.raw = a.raw[n:]
	return b
}

// grabOffsets returns a table of n columns nobody else has. It is not nil.
func (a *Arena) grabOffsets(n int) []uint32 {
	a.bytes += 4 * int64(n)
	if n >= len(a.offsets) {
		if n >= offsetChunk/8 {
			return make([]uint32, n)
		}
		a.offsets = make([]uint32, offsetChunk)
	}
	b := a.offsets[:n:n]
	a.offsets = a.offsets[n:]
	return b
}
