package stream

import (
	"sort"

	"github.com/walwire/walwire/mapping/predicate"
)

// intervalTree finds the intervals that hold a key in time logarithmic in their number:
// a B+ tree by lower bound, each part of which knows the largest upper bound within. A
// node's bounds are arrays of heads, so a look at a node is one at few cache lines; the
// keys themselves are compared only where heads don't tell.
type intervalTree[T anchored] struct{ root *intervalNode[T] }

// fanout is the most parts of a node.
const fanout = 32

// intervalNode is a leaf, whose parts are intervals with an entry each, or has nodes as
// parts.
type intervalNode[T anchored] struct {
	n              int
	lo, hi         [fanout]uint64
	loTail, hiTail [fanout]int8
	first          [fanout]*predicate.Range // the part's first interval, owned by its view
	last           []*predicate.Range       // the one that ends last; of a leaf first
	entries        []posted[T]              // of a leaf
	children       []*intervalNode[T]
}

// part is one of a node's.
type part[T anchored] struct {
	lo, hi      predicate.Head
	first, last *predicate.Range
	entry       posted[T]
	child       *intervalNode[T]
}

// newLeaf has its entries beside the bounds.
func newLeaf[T anchored]() *intervalNode[T] {
	l := new(struct {
		intervalNode[T]
		entries [fanout]posted[T]
	})
	l.intervalNode.entries = l.entries[:]
	l.intervalNode.last = l.intervalNode.first[:]
	return &l.intervalNode
}

func newInner[T anchored](parts ...*intervalNode[T]) *intervalNode[T] {
	n := &intervalNode[T]{last: make([]*predicate.Range, fanout), children: make([]*intervalNode[T], fanout)}
	for i, child := range parts {
		n.set(i, child.hull())
	}
	n.n = len(parts)
	return n
}

// stab gives s what stands at every interval that holds the key.
func (t *intervalTree[T]) stab(key []byte, s *search[T]) {
	if t.root != nil {
		t.root.stab(key, predicate.HeadOf(key), s)
	}
}

func (n *intervalNode[T]) stab(key []byte, head predicate.Head, s *search[T]) {
	for i := 0; i < n.n && n.lo[i] <= head.Octets; i++ {
		if n.hi[i] < head.Octets || (n.lo[i] == head.Octets || n.hi[i] == head.Octets) && !n.holds(i, key, head) {
			continue
		}
		if n.children != nil {
			n.children[i].stab(key, head, s)
		} else {
			s.one(&n.entries[i])
		}
	}
}

// holds reports whether the key may be in part i.
func (n *intervalNode[T]) holds(i int, key []byte, head predicate.Head) bool {
	lo, hi := head.Against(n.lo[i], n.loTail[i]), head.Against(n.hi[i], n.hiTail[i])
	if lo != 0 && hi != 0 {
		return lo > 0 && hi < 0
	}
	hull := *n.first[i]
	hull.Hi, hull.HasHi, hull.HiIncl = n.last[i].Hi, n.last[i].HasHi, n.last[i].HiIncl
	return hull.Contains(string(key))
}

func (t *intervalTree[T]) add(r *predicate.Range, e posted[T]) {
	if t.root == nil {
		t.root = newLeaf[T]()
	}
	if right := t.root.add(r, e); right != nil {
		t.root = newInner(t.root, right)
	}
}

// add returns what the node had to give up, to stand to its right.
func (n *intervalNode[T]) add(r *predicate.Range, e posted[T]) (right *intervalNode[T]) {
	at := sort.Search(n.n, func(i int) bool { return compareRanges(n.first[i], r) > 0 })
	p := part[T]{first: r, last: r, entry: e}
	p.lo, p.hi = r.Bounds()
	if n.children != nil {
		at = max(at-1, 0)
		split := n.children[at].add(r, e)
		n.set(at, n.children[at].hull())
		if split == nil {
			return nil
		}
		at++
		p = split.hull()
	}
	if n.n == fanout {
		right = n.split()
		if at > n.n {
			right.insert(at-n.n, p)
			return right
		}
	}
	n.insert(at, p)
	return right
}

func (t *intervalTree[T]) remove(r *predicate.Range, v T) {
	if t.root == nil {
		return
	}
	t.root.remove(r, v)
	for t.root != nil && t.root.children != nil && t.root.n == 1 {
		t.root = t.root.children[0]
	}
	if t.root.n == 0 {
		t.root = nil
	}
}

// remove reports whether the node held it.
func (n *intervalNode[T]) remove(r *predicate.Range, v T) bool {
	i := sort.Search(n.n, func(i int) bool { return compareRanges(n.first[i], r) >= 0 })
	if n.children == nil {
		for ; i < n.n && compareRanges(n.first[i], r) == 0; i++ {
			if n.entries[i].item == v {
				n.delete(i)
				return true
			}
		}
		return false
	}
	for i = max(i-1, 0); i < n.n && compareRanges(n.first[i], r) <= 0; i++ {
		if n.children[i].remove(r, v) {
			n.shrunk(i)
			return true
		}
	}
	return false
}

// shrunk sees to child i, which has lost a part: one that is left with few is joined with
// a neighbour.
func (n *intervalNode[T]) shrunk(i int) {
	child := n.children[i]
	if child.n == 0 {
		n.delete(i)
		return
	}
	n.set(i, child.hull())
	if child.n > fanout/4 || n.n == 1 {
		return
	}
	at := max(i-1, 0)
	left, right := n.children[at], n.children[at+1]
	if left.n+right.n > fanout*3/4 {
		return
	}
	for j := range right.n {
		left.insert(left.n, right.part(j))
	}
	n.set(at, left.hull())
	n.delete(at + 1)
}

// hull is the node as a part of another.
func (n *intervalNode[T]) hull() part[T] {
	last := 0
	for i := 1; i < n.n; i++ {
		if n.hi[i] > n.hi[last] || n.hi[i] == n.hi[last] && compareEnds(n.last[i], n.last[last]) > 0 {
			last = i
		}
	}
	p, end := n.part(0), n.part(last)
	p.hi, p.last, p.child = end.hi, end.last, n
	return p
}
