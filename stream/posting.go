package stream

import (
	"hash/maphash"

	"github.com/walwire/walwire/mapping/predicate"
)

// posted is a view at one of its anchors. What the check decides takes no look at the
// view: among a million of them it would be a cache miss, and its predicate's tree
// several more.
type posted[T anchored] struct {
	check predicate.Check
	item  T
}

// postings holds views by key: a hash table with linear probing, of which a slot is one
// cache line or two, and leads to the views at once.
type postings[T anchored] struct {
	seed  maphash.Seed // set with slots
	slots []posting[T] // as many as a power of two
	used  int
}

// posting is what stands at a key. A free slot has nothing.
type posting[T anchored] struct {
	hash    uint64
	key     string
	entries []posted[T]
}

const minPostings = 8

func (p *postings[T]) at(key []byte) []posted[T] {
	if p.used == 0 {
		return nil
	}
	hash := maphash.Bytes(p.seed, key)
	for i := hash & p.mask(); ; i = (i + 1) & p.mask() {
		s := &p.slots[i]
		if len(s.entries) == 0 || s.hash == hash && s.key == string(key) {
			return s.entries
		}
	}
}

func (p *postings[T]) mask() uint64 { return uint64(len(p.slots) - 1) }

// slot finds a key's slot, or a free one.
func (p *postings[T]) slot(hash uint64, key string) uint64 {
	i := hash & p.mask()
	for s := &p.slots[i]; len(s.entries) > 0 && (s.hash != hash || s.key != key); s = &p.slots[i] {
		i = (i + 1) & p.mask()
	}
	return i
}

func (p *postings[T]) add(key string, e posted[T]) {
	switch {
	case p.used == 0:
		p.seed, p.slots = maphash.MakeSeed(), make([]posting[T], minPostings)
	case 4*p.used >= 3*len(p.slots):
		p.resize(2 * len(p.slots))
	}
	hash := maphash.String(p.seed, key)
	s := &p.slots[p.slot(hash, key)]
	if len(s.entries) == 0 {
		s.hash, s.key = hash, key
		p.used++
	}
	s.entries = append(s.entries, e)
}

func (p *postings[T]) remove(key string, v T) {
	if p.used == 0 {
		return
	}
	i := p.slot(maphash.String(p.seed, key), key)
	s := &p.slots[i]
	if s.entries = removeFrom(s.entries, v); len(s.entries) > 0 {
		return
	}
	p.used--
	p.close(i)
	switch n := len(p.slots); {
	case p.used == 0:
		p.slots = nil
	case n > minPostings && 8*p.used < n:
		p.resize(n / 2)
	}
}

// close fills slot i with what stands behind it for want of that place.
func (p *postings[T]) close(i uint64) {
	for j := i; ; {
		j = (j + 1) & p.mask()
		if len(p.slots[j].entries) == 0 {
			break
		}
		if home := p.slots[j].hash; (j-home)&p.mask() >= (j-i)&p.mask() {
			p.slots[i] = p.slots[j]
			i = j
		}
	}
	p.slots[i] = posting[T]{}
}

func (p *postings[T]) resize(n int) {
	old := p.slots
	p.slots = make([]posting[T], n)
	for i := range old {
		if s := &old[i]; len(s.entries) > 0 {
			p.slots[p.slot(s.hash, s.key)] = *s
		}
	}
}

// removeFrom removes v's entry by moving the last into its place.
func removeFrom[T anchored](entries []posted[T], v T) []posted[T] {
	for i := range entries {
		if entries[i].item == v {
			last := len(entries) - 1
			entries[i] = entries[last]
			entries[last] = posted[T]{}
			return entries[:last]
		}
	}
	return entries
}
