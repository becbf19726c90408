package predicate

// Limits bound a filter from outside. Zero means no bound.
type Limits struct {
	Depth  int // of nested and, or, not
	Nodes  int // conditions in all, groups included
	Values int // of one in, not-in or array-contains-any
}

// DefaultLimits are generous for a person's query and small for a machine's attack.
func DefaultLimits() Limits { return Limits{Depth: 10, Nodes: 100, Values: 100} }
