package predicate

import "slices"

// Check is what is left of a predicate beside an anchor, as far as the heads of one
// column's keys tell: most rows are decided by it, without a look at the predicate. The
// zero value is undecided of every row.
type Check struct {
	lo, hi         uint64
	loTail, hiTail int8
	flags          checkFlags
	column         uint16
}

type checkFlags uint8

const (
	checkColumn checkFlags = 1 << iota // the column's key is looked at
	checkNot                           // which is to be outside
	checkAll                           // and there is nothing else
	checkShared                        // see Shared
)

// Verdict is what a Check knows of a row.
type Verdict int8

// The verdicts. Undecided is for Eval.
const (
	Fails Verdict = iota - 1
	Undecided
	Holds
)

// Checks gives the Check of the rows that each of the predicate's anchors admits.
func (n *Node) Checks(anchors []Anchor) []Check {
	list := make([]Check, len(anchors))
	shared := meet(anchors)
	for i := range anchors {
		list[i] = n.check(&anchors[i])
		if shared {
			list[i].flags |= checkShared
		}
	}
	return list
}

// meet reports whether a row can be admitted by several of the anchors: a column has one
// key.
func meet(anchors []Anchor) bool {
	for i := range anchors {
		if anchors[i].Kind != AnchorEqual || anchors[i].Column != anchors[0].Column {
			return len(anchors) > 1
		}
	}
	return false
}

// Shared reports whether another of the predicate's anchors may admit the same row.
func (c *Check) Shared() bool { return c.flags&checkShared != 0 }

func (n *Node) check(a *Anchor) Check {
	rest := n.given(a)
	if rest.Kind == True {
		return Check{flags: checkAll}
	}
	leaves := []*Node{rest}
	if rest.Kind == And {
		leaves = rest.Children
	}
	first := slices.IndexFunc(leaves, func(n *Node) bool { return n.checkable() })
	if first < 0 {
		return Check{}
	}
	leaf := leaves[first]
	r, _ := leaf.interval()
	c := Check{column: uint16(leaf.Column), flags: checkColumn | checkAll}
	for i, other := range leaves {
		switch {
		case i == first:
		case leaf.Op != Ne && other.checkable() && other.Op != Ne && other.Column == leaf.Column:
			o, _ := other.interval()
			r = r.intersect(o)
		default:
			c.flags &^= checkAll
		}
	}
	if leaf.Op == Ne {
		c.flags |= checkNot
	}
	lo, hi := r.Bounds()
	c.lo, c.loTail, c.hi, c.hiTail = lo.Octets, lo.Tail, hi.Octets, hi.Tail
	return c
}

func (n *Node) checkable() bool {
	if n.Kind != Leaf || n.Column > 1<<16-1 {
		return false
	}
	_, ok := n.interval()
	return ok
}

// Of tells whether the predicate is true of a row that the anchor admits. A value that
// can't be read is left to Eval.
func (c *Check) Of(row *Row) Verdict {
	if c.flags&checkColumn == 0 {
		if c.flags&checkAll != 0 {
			return Holds
		}
		return Undecided
	}
	head, null, err := row.head(int(c.column))
	switch {
	case err != nil:
		return Undecided
	case null:
		return Fails
	}
	v := Undecided
	switch lo, hi := head.Against(c.lo, c.loTail), head.Against(c.hi, c.hiTail); {
	case lo < 0 || hi > 0:
		v = Fails
	case lo > 0 && hi < 0:
		v = Holds
	}
	if c.flags&checkNot != 0 {
		v = -v
	}
	if v == Holds && c.flags&checkAll == 0 {
		return Undecided
	}
	return v
}
