package stream

import (
	"cmp"
	"math/rand/v2"

	"github.com/walwire/walwire/mapping/predicate"
)

// intervalTree finds the intervals that hold a key in time logarithmic in their
// number: a treap by lower bound, each node knowing the largest upper bound
// below it. Equal intervals share a node.
type intervalTree[T comparable] struct{ root *intervalNode[T] }

type intervalNode[T comparable] struct {
	bounds      predicate.Range
	items       []T
	priority    uint32
	left, right *intervalNode[T]
	maxHi       string // largest hi of this subtree
	maxInf      bool   // some hi of this subtree is infinite
}

func (t *intervalTree[T]) add(r predicate.Range, v T) { t.root = t.root.add(&r, v) }

func (t *intervalTree[T]) remove(r predicate.Range, v T) { t.root = t.root.remove(&r, v) }

// stab calls visit for what stands at every interval that holds key.
func (t *intervalTree[T]) stab(key string, visit func(T)) { t.root.stab(key, visit) }

func (n *intervalNode[T]) stab(key string, visit func(T)) {
	for n != nil {
		if !n.maxInf && key > n.maxHi {
			return
		}
		n.left.stab(key, visit)
		if n.bounds.HasLo && key < n.bounds.Lo {
			return // everything to the right begins later still
		}
		if n.bounds.Contains(key) {
			for _, v := range n.items {
				visit(v)
			}
		}
		n = n.right
	}
}

func (n *intervalNode[T]) add(r *predicate.Range, v T) *intervalNode[T] {
	if n == nil {
		n = &intervalNode[T]{bounds: *r, items: []T{v}, priority: rand.Uint32()}
		n.update()
		return n
	}
	switch c := compareRanges(r, &n.bounds); {
	case c == 0:
		n.items = append(n.items, v)
	case c < 0:
		n.left = n.left.add(r, v)
		if n.left.priority > n.priority {
			n = n.rotateRight()
		}
	default:
		n.right = n.right.add(r, v)
		if n.right.priority > n.priority {
			n = n.rotateLeft()
		}
	}
	n.update()
	return n
}

func (n *intervalNode[T]) remove(r *predicate.Range, v T) *intervalNode[T] {
	if n == nil {
		return nil
	}
	switch c := compareRanges(r, &n.bounds); {
	case c < 0:
		n.left = n.left.remove(r, v)
	case c > 0:
		n.right = n.right.remove(r, v)
	default:
		n.items = removeFrom(n.items, v)
		if len(n.items) == 0 {
			return joinIntervals(n.left, n.right)
		}
	}
	n.update()
	return n
}

// joinIntervals joins two treaps, all of a before all of b.
func joinIntervals[T comparable](a, b *intervalNode[T]) *intervalNode[T] {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.priority > b.priority:
		a.right = joinIntervals(a.right, b)
		a.update()
		return a
	}
	b.left = joinIntervals(a, b.left)
	b.update()
	return b
}

func (n *intervalNode[T]) rotateRight() *intervalNode[T] {
	l := n.left
	n.left, l.right = l.right, n
	n.update()
	return l
}

func (n *intervalNode[T]) rotateLeft() *intervalNode[T] {
	r := n.right
	n.right, r.left = r.left, n
	n.update()
	return r
}

func (n *intervalNode[T]) update() {
	n.maxHi, n.maxInf = n.bounds.Hi, !n.bounds.HasHi
	for _, child := range [...]*intervalNode[T]{n.left, n.right} {
		if child != nil {
			n.maxHi = max(n.maxHi, child.maxHi)
			n.maxInf = n.maxInf || child.maxInf
		}
	}
}

// removeFrom removes v by swapping the last into its place.
func removeFrom[T comparable](items []T, v T) []T {
	for i := range items {
		if items[i] == v {
			last := len(items) - 1
			items[i] = items[last]
			var none T
			items[last] = none
			return items[:last]
		}
	}
	return items
}

// compareRanges orders ranges by lower bound, then by the rest.
func compareRanges(a, b *predicate.Range) int {
	return cmp.Or(
		compareBools(a.HasLo, b.HasLo), // no bound comes first
		cmp.Compare(a.Lo, b.Lo),
		compareBools(b.LoIncl, a.LoIncl),
		compareBools(a.HasHi, b.HasHi),
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
