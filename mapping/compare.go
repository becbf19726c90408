package mapping

import (
	"errors"

	"github.com/walwire/walwire/cdc/pgvalue"
	"github.com/walwire/walwire/mapping/predicate"
)

// compare builds the leaf "column op value". Unlike a client's filter it takes
// null for no value at all: a null attribute must not become a null test.
func compare(ordinal int, column predicate.Column, op predicate.Op, value any) (*predicate.Node, error) {
	if value == nil {
		return nil, errors.New("null equals nothing; test a column with == null or != null")
	}
	if op != predicate.In && op != predicate.NotIn {
		return predicate.Compare(ordinal, column, op, fit(operandType(column.Type, op), value))
	}
	list, ok := asList(value)
	if !ok {
		return nil, errors.New("a list without nulls is needed behind `in`")
	}
	values := make([]any, len(list))
	for i, item := range list {
		values[i] = fit(column.Type, item)
	}
	if len(values) == 0 && op == predicate.NotIn {
		// In an empty list is nothing; a NULL compares to nothing all the same.
		op = predicate.IsNotNull
	}
	return predicate.Compare(ordinal, column, op, values...)
}

// operandType is the type that the values of a comparison have.
func operandType(t *pgvalue.Type, op predicate.Op) *pgvalue.Type {
	contains := op == predicate.ArrayContains || op == predicate.NotArrayContains
	if contains && t.Kind == pgvalue.KindArray && t.Elem != nil {
		return t.Elem
	}
	return t
}
