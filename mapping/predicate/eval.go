package predicate

import (
	"slices"
	"sort"
)

// binarySearchFrom is the number of values from which a set is searched by halves.
const binarySearchFrom = 12

// Eval says whether the predicate is true of the row, as PostgreSQL would say
// of the node's SQL. A value that can't be read is an error, never false. It
// does not allocate once the Row has seen rows of the same size.
func (n *Node) Eval(row *Row) (bool, error) {
	switch n.Kind {
	case True:
		return true, nil
	case And:
		for _, c := range n.Children {
			if ok, err := c.Eval(row); !ok || err != nil {
				return false, err
			}
		}
		return true, nil
	case Or:
		for _, c := range n.Children {
			if ok, err := c.Eval(row); ok || err != nil {
				return ok, err
			}
		}
	case Leaf:
		return n.evalLeaf(row)
	}
	return false, nil
}

func (n *Node) evalLeaf(row *Row) (bool, error) {
	switch n.Op {
	case IsNull, IsNotNull:
		_, null := row.src.Column(n.Column)
		return null == (n.Op == IsNull), nil
	case ArrayContains, ArrayContainsAny, NotArrayContains, NotArrayContainsAny:
		elems, null, err := row.Elements(n.Column)
		if null || err != nil {
			return false, err
		}
		negated := n.Op == NotArrayContains || n.Op == NotArrayContainsAny
		return n.containsAny(elems) != negated, nil
	}
	key, null, err := row.Key(n.Column)
	if null || err != nil {
		return false, err
	}
	return n.compare(key), nil
}

func (n *Node) compare(key []byte) bool {
	switch n.Op {
	case In:
		return n.has(key)
	case NotIn:
		return !n.has(key)
	}
	if len(n.Params) != 1 {
		return false
	}
	want := n.Params[0].Key
	switch n.Op {
	case Eq:
		return string(key) == want
	case Ne:
		return string(key) != want
	case Lt:
		return string(key) < want
	case Le:
		return string(key) <= want
	case Gt:
		return string(key) > want
	case Ge:
		return string(key) >= want
	case StartsWith:
		return hasPrefix(key, n.Params[0].Text)
	case NotStartsWith:
		return !hasPrefix(key, n.Params[0].Text)
	}
	return false
}

func hasPrefix(key []byte, prefix string) bool {
	return len(key) >= len(prefix) && string(key[:len(prefix)]) == prefix
}

// has reports whether key is among the parameters.
func (n *Node) has(key []byte) bool {
	if n.sorted && len(n.Params) >= binarySearchFrom {
		i := sort.Search(len(n.Params), func(i int) bool { return n.Params[i].Key >= string(key) })
		return i < len(n.Params) && n.Params[i].Key == string(key)
	}
	for i := range n.Params {
		if n.Params[i].Key == string(key) {
			return true
		}
	}
	return false
}

func (n *Node) containsAny(elems [][]byte) bool {
	return slices.ContainsFunc(elems, n.has)
}
