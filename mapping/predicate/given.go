package predicate

// given gives what is left to be asked of the rows that an anchor admits: True where the
// anchor decides the predicate.
func (n *Node) given(a *Anchor) *Node {
	switch n.Kind {
	case And, Or:
		rest := make([]*Node, len(n.Children))
		for i, c := range n.Children {
			rest[i] = c.given(a)
		}
		if n.Kind == And {
			return All(rest...)
		}
		return Any(rest...)
	case Leaf:
		if n.impliedBy(a) {
			return Always()
		}
	}
	return n
}

func (n *Node) impliedBy(a *Anchor) bool {
	if a.Kind == AnchorScan || n.Column != a.Column {
		return false
	}
	switch a.Kind {
	case AnchorEqual:
		return n.scalar() && n.compare([]byte(a.Key))
	case AnchorContains:
		return (n.Op == ArrayContains || n.Op == ArrayContainsAny) && n.has([]byte(a.Key))
	}
	r, ok := n.interval()
	return ok && n.Op != Ne && a.Range.intersect(r) == a.Range
}

// scalar reports whether the leaf compares the column's own key.
func (n *Node) scalar() bool {
	switch n.Op {
	case IsNull, IsNotNull, ArrayContains, ArrayContainsAny, NotArrayContains, NotArrayContainsAny:
		return false
	}
	return true
}

// interval gives the keys by which a comparison with one value is true, of Ne false.
func (n *Node) interval() (r Range, ok bool) {
	switch n.Op {
	case Eq, Ne:
		key := n.Params[0].Key
		return Range{Lo: key, HasLo: true, LoIncl: true, Hi: key, HasHi: true, HiIncl: true}, true
	case Lt, Le, Gt, Ge:
		return leafRange(n), true
	}
	return r, false
}
