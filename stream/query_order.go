package stream

import (
	"encoding/json"

	"github.com/walwire/walwire/mapping/predicate"
)

// check refuses members that contradict each other.
func (q *clientQuery) check() *Error {
	for _, l := range [...]struct {
		name  string
		limit *int
	}{{"limit", q.Limit}, {"limitToLast", q.LimitToLast}} {
		if l.limit != nil && *l.limit < 1 {
			return errorf(CodeInvalidArgument, "%s needs a positive number of rows, got %d", l.name, *l.limit)
		}
	}
	switch {
	case q.Limit != nil && q.LimitToLast != nil:
		return errorf(CodeInvalidArgument, "a query has limit or limitToLast, not both")
	case q.LimitToLast != nil && absent(q.OrderBy):
		return errorf(CodeInvalidArgument, "limitToLast needs an orderBy")
	case !absent(q.StartAt) && !absent(q.StartAfter):
		return errorf(CodeInvalidArgument, "a query has startAt or startAfter, not both")
	case !absent(q.EndAt) && !absent(q.EndBefore):
		return errorf(CodeInvalidArgument, "a query has endAt or endBefore, not both")
	}
	return nil
}

func absent(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// ordered reports whether the query has an order: the key's where it names none.
func (q *clientQuery) ordered() bool {
	for _, raw := range [...]json.RawMessage{q.OrderBy, q.StartAt, q.StartAfter, q.EndAt, q.EndBefore} {
		if !absent(raw) {
			return true
		}
	}
	return q.Limit != nil
}

// order compiles the query's order and limit.
func (s *Server) order(q *query, parsed *clientQuery, resolve predicate.Resolve) *Error {
	if !parsed.ordered() {
		return nil
	}
	order, err := predicate.ParseOrder(parsed.OrderBy, resolve, q.shape.key, q.shape.columns, s.options.Filter)
	if err != nil {
		return queryError(err)
	}
	q.order = order
	for _, limit := range [...]*int{parsed.Limit, parsed.LimitToLast} {
		if limit == nil {
			continue
		}
		if most := s.hub.RowsPerQuery; *limit > most {
			return errorf(CodeResourceExhausted, "the query asks for %d rows, more than %d (limits.rows)", *limit, most)
		}
		q.limit, q.last = *limit, limit == parsed.LimitToLast
	}
	return nil
}

// bounds gives the query's start and end as predicates.
func (q *clientQuery) bounds(order predicate.Order, columns []predicate.Column) ([]*predicate.Node, error) {
	var nodes []*predicate.Node
	for _, b := range [...]struct {
		bound predicate.Bound
		raw   json.RawMessage
	}{{predicate.StartAt, q.StartAt}, {predicate.StartAfter, q.StartAfter}, {predicate.EndAt, q.EndAt}, {predicate.EndBefore, q.EndBefore}} {
		if absent(b.raw) {
			continue
		}
		node, err := order.Bound(b.bound, b.raw, columns)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, node)
	}
	return nodes, nil
}
