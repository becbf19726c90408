package predicate

import "github.com/walwire/walwire/cdc/pgvalue"

// Op is a comparison of one column with constants.
type Op uint8

// The operators. Every one has its complement among them, so that a tree needs
// no NOT: Negate pushes it down to the leaves.
const (
	Eq Op = iota + 1
	Ne
	Lt
	Le
	Gt
	Ge
	In
	NotIn
	ArrayContains
	NotArrayContains
	ArrayContainsAny
	NotArrayContainsAny
	IsNull
	IsNotNull
	StartsWith
	NotStartsWith
)

// NodeKind tells the inner nodes from the leaves.
type NodeKind uint8

// The node kinds. True and False are constants; And of nothing is True.
const (
	True NodeKind = iota
	False
	And
	Or
	Leaf
)

// Node is a predicate in negation normal form. SQL's NULL is false at a leaf:
// with no NOT above the leaves that is the same as "IS TRUE" of the SQL form.
// Immutable once built.
type Node struct {
	Kind     NodeKind
	Children []*Node // And, Or

	Column int // Leaf: ordinal in Table.Columns
	Op     Op  // Leaf
	Params []pgvalue.Param

	sorted bool // Params are in the order of their keys
}

// Column is a column as predicates see it.
type Column struct {
	Name string
	Type *pgvalue.Type
}
