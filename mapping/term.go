package mapping

import "github.com/walwire/walwire/mapping/predicate"

// term is a part of a translated rule. It has no negation: the translation has
// pushed it down to the comparisons, so that a comparison which can't be made
// is false whether or not the rule negated it.
type term interface {
	bind(b *binding) *predicate.Node
}

// fixed is a part that depends on no user.
type fixed struct{ node *predicate.Node }

func (f fixed) bind(*binding) *predicate.Node { return f.node }

// allOf is a && b; anyOf is a || b.
type (
	allOf []term
	anyOf []term
)

func (a allOf) bind(b *binding) *predicate.Node { return predicate.All(bindEach(a, b)...) }

func (a anyOf) bind(b *binding) *predicate.Node { return predicate.Any(bindEach(a, b)...) }

func bindEach(terms []term, b *binding) []*predicate.Node {
	nodes := make([]*predicate.Node, len(terms))
	for i, t := range terms {
		nodes[i] = t.bind(b)
	}
	return nodes
}

// condition is a part that needs no row: the same for every row.
type condition struct {
	operand
	negated bool
}

func (c condition) bind(b *binding) *predicate.Node {
	v, _ := c.value(b)
	if held, ok := v.(bool); ok && held != c.negated {
		return predicate.Always()
	}
	return predicate.Never()
}

// comparison is "column op value" with a value that depends on the user.
type comparison struct {
	operand
	ordinal int
	column  predicate.Column
	op      predicate.Op
}

func (c comparison) bind(b *binding) *predicate.Node {
	v, ok := c.value(b)
	if !ok {
		return predicate.Never()
	}
	node, err := compare(c.ordinal, c.column, c.op, v)
	if err != nil {
		return predicate.Never()
	}
	return node
}
