package pgoutput

import (
	"bytes"
	"encoding/binary"
)

// reader takes the fields of one message off its source, in order. The first
// field that is not there sets err; from then on every read returns zero, so
// that a message reads all its fields and looks at err once. It never panics and
// never allocates but for an error.
type reader struct {
	src []byte // the whole message; src[0] is its type
	pos int
	err *FormatError
}

// fail records the first error, of the field that starts at pos.
func (r *reader) fail(field string, p problem, value int64) {
	if r.err != nil {
		return
	}
	e := &FormatError{Field: field, Offset: r.pos, problem: p, value: value, left: len(r.src) - r.pos}
	if len(r.src) > 0 {
		e.Message = MessageType(r.src[0])
	}
	r.err = e
}

// take returns the next n octets, or nil.
func (r *reader) take(n int, field string) []byte {
	if r.err != nil || len(r.src)-r.pos < n {
		r.fail(field, problemShort, int64(n))
		return nil
	}
	b := r.src[r.pos : r.pos+n]
	r.pos += n
	return b
}

func (r *reader) byte(field string) byte {
	if b := r.take(1, field); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint16(field string) uint16 {
	if b := r.take(2, field); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) uint32(field string) uint32 {
	if b := r.take(4, field); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64(field string) uint64 {
	if b := r.take(8, field); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// flags is a byte that may hold only the bits of known.
func (r *reader) flags(field string, known byte) byte {
	b := r.byte(field)
	if b&^known != 0 {
		r.failByte(field, b)
	}
	return b
}

// failByte records that b, just read, has no meaning here, unless it could not
// be read in the first place.
func (r *reader) failByte(field string, b byte) {
	if r.err == nil {
		r.pos--
		r.fail(field, problemUnknown, int64(b))
	}
}

// string returns a NUL-terminated string without its NUL. It aliases src.
func (r *reader) string(field string) []byte {
	if r.err != nil {
		return nil
	}
	n := bytes.IndexByte(r.src[r.pos:], 0)
	if n < 0 {
		r.fail(field, problemUnterminated, 0)
		return nil
	}
	b := r.src[r.pos : r.pos+n]
	r.pos += n + 1
	return b
}

// block returns octets preceded by their number. They alias src.
func (r *reader) block(field string) []byte {
	if r.err != nil {
		return nil
	}
	start := r.pos
	n := int32(r.uint32(field))
	if n < 0 {
		r.pos = start
		r.fail(field, problemNegative, int64(n))
		return nil
	}
	return r.take(int(n), field)
}

// fits reports whether count elements of at least size octets can follow.
func (r *reader) fits(count int64, size int, field string) bool {
	if r.err == nil && int64((len(r.src)-r.pos)/size) < count {
		r.fail(field, problemCount, count)
	}
	return r.err == nil
}

// end checks that the message has been read to its end.
func (r *reader) end() {
	if r.err == nil && r.pos != len(r.src) {
		r.fail("end", problemTrailing, 0)
	}
}

// keep returns s, or a copy of b where they differ: a name that repeats, as an
// origin's does, is not allocated again.
func keep(s string, b []byte) string {
	if s == string(b) {
		return s
	}
	return string(b)
}
