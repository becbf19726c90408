package predicate

import (
	"encoding/binary"
	"math"
)

// Head is the beginning of a key, and whether it is all of it: enough to tell most keys
// apart, in ten octets that stand beside others of their kind where a string would be
// somewhere else in memory. Heads are in the order of their keys; those of two keys that
// begin with the same eight octets and are longer are equal.
//
// A bound is a Head too, between the keys, just before or after the one that it names.
type Head struct {
	Octets uint64 // the first eight, big-endian, zeros behind a shorter key
	Tail   int8   // 4 × the key's length, of which 9 is the most; one less or more for a bound
}

const (
	headSize = 8
	longTail = 4 * (headSize + 1)
)

// HeadOf gives the head of a key.
func HeadOf[K string | []byte](key K) Head {
	if len(key) < headSize {
		var octets [headSize]byte
		copy(octets[:], key)
		return Head{binary.BigEndian.Uint64(octets[:]), int8(4 * len(key))}
	}
	h := Head{Tail: longTail}
	if len(key) == headSize {
		h.Tail = 4 * headSize
	}
	h.Octets = uint64(key[7]) | uint64(key[6])<<8 | uint64(key[5])<<16 | uint64(key[4])<<24 |
		uint64(key[3])<<32 | uint64(key[2])<<40 | uint64(key[1])<<48 | uint64(key[0])<<56
	return h
}

// Against tells on which side of a bound the key lies: before it -1, after it 1, and 0
// where the heads don't tell.
func (h Head) Against(octets uint64, tail int8) int {
	if h.Octets != octets {
		if h.Octets < octets {
			return -1
		}
		return 1
	}
	switch {
	case h.Tail == longTail && (tail == longTail-1 || tail == longTail+1):
		return 0
	case h.Tail < tail:
		return -1
	}
	return 1
}

// Bounds gives the heads of the range's ends: a key lies in the range where it is after
// lo and before hi.
func (r *Range) Bounds() (lo, hi Head) {
	lo, hi = Head{Tail: -1}, Head{math.MaxUint64, math.MaxInt8}
	if r.HasLo {
		lo = HeadOf(r.Lo).bound(!r.LoIncl)
	}
	if r.HasHi {
		hi = HeadOf(r.Hi).bound(r.HiIncl)
	}
	return lo, hi
}

func (h Head) bound(after bool) Head {
	if after {
		h.Tail++
	} else {
		h.Tail--
	}
	return h
}
