package stream

import (
	"cmp"
	"math/rand/v2"

	"github.com/walwire/walwire/mapping/predicate"
)

// intervalTree finds the intervals that hold a key in time logarithmic in their
// number: a treap by lower bound, each node knowing the largest upper bound
// below it. Equal intervals share a node.
type intervalTree struct{ root *intervalNode }

type intervalNode struct {
	bounds      predicate.Range
	views       []*view
	priority    uint32
	left, right *intervalNode
	maxHi       string // largest hi of this subtree
	maxInf      bool   // some hi of this subtree is infinite
}

func (t *intervalTree) add(r predicate.Range, v *view) { t.root = t.root.add(&r, v) }

func (t *intervalTree) remove(r predicate.Range, v *view) { t.root = t.root.remove(&r, v) }

// stab calls visit for the views of every interval that holds key.
func (t *intervalTree) stab(key string, visit func(*view)) { t.root.stab(key, visit) }

func (n *intervalNode) stab(key string, visit func(*view)) {
	for n != nil {
		if !n.maxInf && key > n.maxHi {
			return
		}
		n.left.stab(key, visit)
		if n.bounds.HasLo && key < n.bounds.Lo {
			return // everything to the right begins later still
		}
		if n.bounds.Contains(key) {
			for _, v := range n.views {
				visit(v)
			}
		}
		n = n.right
	}
}

func (n *intervalNode) add(r *predicate.Range, v *view) *intervalNode {
	if n == nil {
		n = &intervalNode{bounds: *r, views: []*view{v}, priority: rand.Uint32()}
		n.update()
		return n
	}
	switch c := compareRanges(r, &n.bounds); {
	case c == 0:
		n.views = append(n.views, v)
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

func (n *intervalNode) remove(r *predicate.Range, v *view) *intervalNode {
	if n == nil {
		return nil
	}
	switch c := compareRanges(r, &n.bounds); {
	case c < 0:
		n.left = n.left.remove(r, v)
	case c > 0:
		n.right = n.right.remove(r, v)
	default:
		n.views = removeView(n.views, v)
		if len(n.views) == 0 {
			return joinIntervals(n.left, n.right)
		}
	}
	n.update()
	return n
}

// joinIntervals joins two treaps, all of a before all of b.
func joinIntervals(a, b *intervalNode) *intervalNode {
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

func (n *intervalNode) rotateRight() *intervalNode {
	l := n.left
	n.left, l.right = l.right, n
	n.update()
	return l
}

func (n *intervalNode) rotateLeft() *intervalNode {
	r := n.right
	n.right, r.left = r.left, n
	n.update()
	return r
}

func (n *intervalNode) update() {
	n.maxHi, n.maxInf = n.bounds.Hi, !n.bounds.HasHi
	for _, child := range [...]*intervalNode{n.left, n.right} {
		if child != nil {
			n.maxHi = max(n.maxHi, child.maxHi)
			n.maxInf = n.maxInf || child.maxInf
		}
	}
}

// removeView removes v by swapping the last into its place.
func removeView(views []*view, v *view) []*view {
	for i := range views {
		if views[i] == v {
			last := len(views) - 1
			views[i] = views[last]
			views[last] = nil
			return views[:last]
		}
	}
	return views
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
