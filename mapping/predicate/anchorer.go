package predicate

// anchorer chooses the anchors of a predicate.
type anchorer struct {
	distinct func(column int) float64
}

func (a anchorer) node(n *Node) []Anchor {
	switch n.Kind {
	case False:
		return nil
	case And:
		return a.and(n)
	case Or:
		var list []Anchor
		for _, c := range n.Children {
			list = append(list, a.node(c)...)
		}
		return list
	case Leaf:
		return leafAnchors(n)
	}
	return []Anchor{{Kind: AnchorScan}}
}

// and takes the best of the children, the ranges of each column merged first.
func (a anchorer) and(n *Node) []Anchor {
	best := []Anchor{{Kind: AnchorScan}}
	ranges := make(map[int]Range)
	var order []int // of first appearance, so that the choice is repeatable
	for _, c := range n.Children {
		list := a.node(c)
		if c.Kind == Leaf && len(list) == 1 && list[0].Kind == AnchorRange {
			column := list[0].Column
			if _, ok := ranges[column]; !ok {
				order = append(order, column)
			}
			ranges[column] = ranges[column].intersect(list[0].Range)
			continue
		}
		if len(list) == 0 {
			return nil
		}
		if a.better(list, best) {
			best = list
		}
	}
	for _, column := range order {
		if ranges[column].empty() {
			return nil
		}
		list := []Anchor{{Kind: AnchorRange, Column: column, Range: ranges[column]}}
		if a.better(list, best) {
			best = list
		}
	}
	return best
}

// better compares by the worst kind, then by the share of rows that is
// expected to be admitted.
func (a anchorer) better(x, y []Anchor) bool {
	kindX, shareX := a.rate(x)
	kindY, shareY := a.rate(y)
	if kindX != kindY {
		return kindX < kindY
	}
	return shareX < shareY
}

func (a anchorer) rate(list []Anchor) (worst AnchorKind, share float64) {
	const unknownDistinct = 100
	for _, x := range list {
		worst = max(worst, x.Kind)
		switch x.Kind {
		case AnchorEqual, AnchorContains:
			d := a.distinct(x.Column)
			if d <= 0 {
				d = unknownDistinct
			}
			share += 1 / d
		case AnchorRange:
			share += a.rangeShare(x.Range)
		default:
			share++
		}
	}
	return worst, share
}

// rangeShare guesses as PostgreSQL's planner does without statistics.
func (a anchorer) rangeShare(r Range) float64 {
	if r.HasLo && r.HasHi {
		return 0.005
	}
	return 1.0 / 3
}

func leafAnchors(n *Node) []Anchor {
	switch n.Op {
	case Eq, In:
		return keyAnchors(n, AnchorEqual)
	case ArrayContains, ArrayContainsAny:
		return keyAnchors(n, AnchorContains)
	case Lt, Le, Gt, Ge, StartsWith:
		r := leafRange(n)
		if r.empty() {
			return nil
		}
		return []Anchor{{Kind: AnchorRange, Column: n.Column, Range: r}}
	}
	return []Anchor{{Kind: AnchorScan}}
}

func keyAnchors(n *Node, kind AnchorKind) []Anchor {
	list := make([]Anchor, len(n.Params))
	for i, p := range n.Params {
		list[i] = Anchor{Kind: kind, Column: n.Column, Key: p.Key}
	}
	return list
}

func leafRange(n *Node) Range {
	key := n.Params[0].Key
	switch n.Op {
	case Lt, Le:
		return Range{Hi: key, HasHi: true, HiIncl: n.Op == Le}
	case Gt, Ge:
		return Range{Lo: key, HasLo: true, LoIncl: n.Op == Ge}
	}
	r := Range{Lo: n.Params[0].Text, HasLo: true, LoIncl: true}
	r.Hi, r.HasHi = prefixEnd(r.Lo)
	return r
}
