package stream

import (
	"cmp"

	"github.com/walwire/walwire/mapping/predicate"
)

func (n *intervalNode[T]) part(i int) part[T] {
	p := part[T]{
		lo: predicate.Head{Octets: n.lo[i], Tail: n.loTail[i]}, hi: predicate.Head{Octets: n.hi[i], Tail: n.hiTail[i]},
		first: n.first[i], last: n.last[i],
	}
	if n.children != nil {
		p.child = n.children[i]
	} else {
		p.entry = n.entries[i]
	}
	return p
}

func (n *intervalNode[T]) set(i int, p part[T]) {
	n.lo[i], n.loTail[i], n.hi[i], n.hiTail[i] = p.lo.Octets, p.lo.Tail, p.hi.Octets, p.hi.Tail
	n.first[i], n.last[i] = p.first, p.last
	if n.children != nil {
		n.children[i] = p.child
	} else {
		n.entries[i] = p.entry
	}
}

// insert puts a part at i, before those that follow. There is room.
func (n *intervalNode[T]) insert(i int, p part[T]) {
	for j := n.n; j > i; j-- {
		n.set(j, n.part(j-1))
	}
	n.set(i, p)
	n.n++
}

func (n *intervalNode[T]) delete(i int) {
	n.n--
	for ; i < n.n; i++ {
		n.set(i, n.part(i+1))
	}
	n.set(n.n, part[T]{})
}

// split moves the upper half to a new node.
func (n *intervalNode[T]) split() *intervalNode[T] {
	var right *intervalNode[T]
	if n.children != nil {
		right = newInner[T]()
	} else {
		right = newLeaf[T]()
	}
	for i := n.n / 2; i < n.n; i++ {
		right.set(right.n, n.part(i))
		right.n++
		n.set(i, part[T]{})
	}
	n.n /= 2
	return right
}

// compareRanges orders ranges by lower bound, then by upper bound.
func compareRanges(a, b *predicate.Range) int {
	return cmp.Or(
		compareBools(a.HasLo, b.HasLo), // no bound comes first
		cmp.Compare(a.Lo, b.Lo),
		compareBools(b.LoIncl, a.LoIncl),
		compareEnds(a, b),
	)
}

func compareEnds(a, b *predicate.Range) int {
	return cmp.Or(
		compareBools(b.HasHi, a.HasHi), // no bound comes last
		cmp.Compare(a.Hi, b.Hi),
		compareBools(a.HiIncl, b.HiIncl),
	)
}

func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
