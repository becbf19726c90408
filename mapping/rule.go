package mapping

import "github.com/walwire/walwire/mapping/predicate"

// Rule says which rows of a table a role may see, for any user. Immutable.
type Rule struct {
	root    term
	columns []int // ordinals of those that the rule names, ascending
}

// Bind gives the predicate that the rule is for one user. It does no more than
// look attributes up and compute with them, never fails, and never allows more
// because something is missing: a comparison whose attribute is missing, null
// or not of the column's type, or whose computation fails, is false, also where
// the rule negates it.
func (r *Rule) Bind(user map[string]any) *predicate.Node {
	return r.bind(&binding{user: user})
}

func (r *Rule) bind(b *binding) *predicate.Node { return r.root.bind(b) }
