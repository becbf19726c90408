package predicate

// AnchorKind says how an index finds a predicate from a row.
type AnchorKind uint8

// The anchor kinds, the most selective first.
const (
	AnchorEqual    AnchorKind = iota // the column's key is Key
	AnchorContains                   // one of the array's elements has the key Key
	AnchorRange                      // the column's key is within Range
	AnchorScan                       // any row
)

// Anchor is one place of an index to put a predicate: a row can satisfy the
// predicate only if at least one of its anchors admits the row. A row that
// they admit need not satisfy it.
type Anchor struct {
	Kind   AnchorKind
	Column int    // not of AnchorScan
	Key    string // AnchorEqual, AnchorContains
	Range  Range  // AnchorRange
}

// Range is an interval of keys. The zero value holds all keys.
type Range struct {
	Lo, Hi         string
	HasLo, HasHi   bool // false: unbounded on that side
	LoIncl, HiIncl bool
}

// Contains reports whether the key lies within the range.
func (r Range) Contains(key string) bool {
	if r.HasLo && (key < r.Lo || key == r.Lo && !r.LoIncl) {
		return false
	}
	return !r.HasHi || key < r.Hi || key == r.Hi && r.HiIncl
}

// empty reports whether no key can lie within the range.
func (r Range) empty() bool {
	return r.HasLo && r.HasHi && (r.Lo > r.Hi || r.Lo == r.Hi && !(r.LoIncl && r.HiIncl))
}

// intersect narrows r by o.
func (r Range) intersect(o Range) Range {
	if o.HasLo && (!r.HasLo || o.Lo > r.Lo || o.Lo == r.Lo && !o.LoIncl) {
		r.Lo, r.HasLo, r.LoIncl = o.Lo, true, o.LoIncl
	}
	if o.HasHi && (!r.HasHi || o.Hi < r.Hi || o.Hi == r.Hi && !o.HiIncl) {
		r.Hi, r.HasHi, r.HiIncl = o.Hi, true, o.HiIncl
	}
	return r
}

// Anchors gives the places at which an index should hold the predicate: none
// for one that no row satisfies, AnchorScan where nothing narrows it. distinct
// estimates how many values a column has, 0 where unknown; it may be nil. Of
// the parts of an And the most selective is taken; an Or needs those of all.
func (n *Node) Anchors(distinct func(column int) float64) []Anchor {
	if distinct == nil {
		distinct = func(int) float64 { return 0 }
	}
	a := anchorer{distinct: distinct}
	return dedupe(a.node(n))
}

// Admits reports whether the row is one that the anchor finds.
func (a Anchor) Admits(row *Row) (bool, error) {
	switch a.Kind {
	case AnchorEqual, AnchorRange:
		key, null, err := row.Key(a.Column)
		if null || err != nil {
			return false, err
		}
		if a.Kind == AnchorEqual {
			return string(key) == a.Key, nil
		}
		return a.Range.Contains(string(key)), nil
	case AnchorContains:
		elems, null, err := row.Elements(a.Column)
		if null || err != nil {
			return false, err
		}
		for _, e := range elems {
			if string(e) == a.Key {
				return true, nil
			}
		}
		return false, nil
	}
	return true, nil
}

func dedupe(list []Anchor) []Anchor {
	if len(list) < 2 {
		return list
	}
	seen := make(map[Anchor]bool, len(list))
	out := list[:0:0]
	for _, a := range list {
		if a.Kind == AnchorScan {
			return []Anchor{a}
		}
		if !seen[a] {
			seen[a] = true
			out = append(out, a)
		}
	}
	return out
}
