package stream

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"

	"github.com/walwire/walwire/auth"
	"github.com/walwire/walwire/mapping/predicate"
)

// clientQuery is a query as a client sends it.
type clientQuery struct {
	Table   string          `json:"table"`
	Columns []string        `json:"columns"`
	Where   json.RawMessage `json:"where"`

	OrderBy     json.RawMessage `json:"orderBy"`
	Limit       *int            `json:"limit"`
	LimitToLast *int            `json:"limitToLast"`
	StartAt     json.RawMessage `json:"startAt"`
	StartAfter  json.RawMessage `json:"startAfter"`
	EndAt       json.RawMessage `json:"endAt"`
	EndBefore   json.RawMessage `json:"endBefore"`
}

func parseQuery(raw json.RawMessage) (*clientQuery, *Error) {
	var q clientQuery
	if err := checkMembers(raw); err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&q); err != nil {
		return nil, errorf(CodeInvalidArgument, "the query is wrong: %s", jsonProblem(err))
	}
	if q.Table == "" {
		return nil, errorf(CodeInvalidArgument, "the query names no table")
	}
	return &q, q.check()
}

// compile turns a client's query into what runs: its filter AND the access rule
// of the principal's roles, over the columns they may see.
func (s *Server) compile(p *auth.Principal, raw json.RawMessage) (*query, *Error) {
	return s.bindQuery(p, raw, s.hub.serving())
}

func (s *Server) bindQuery(p *auth.Principal, raw json.RawMessage, served *tables) (*query, *Error) {
	parsed, bad := parseQuery(raw)
	if bad != nil {
		return nil, bad
	}
	refused := errorf(CodePermissionDenied, "table %q is not open to this token's roles", parsed.Table)
	if broken := served.broken[parsed.Table]; broken != nil {
		return nil, broken
	}
	sh := served.shapes[parsed.Table]
	if sh == nil {
		return nil, refused
	}
	t, ok := served.mapping.Table(parsed.Table)
	if !ok {
		return nil, refused
	}
	rule, visible, ok := t.Access(p.Roles, p.Attributes)
	if !ok {
		return nil, refused
	}
	column := func(name string) (int, *Error) {
		for _, i := range visible {
			if sh.columns[i].Name == name {
				return i, nil
			}
		}
		return 0, errorf(CodePermissionDenied, "column %q of table %q is not open to this token's roles", name, parsed.Table)
	}
	columns := visible
	if parsed.Columns != nil {
		columns = nil
		for _, name := range parsed.Columns {
			i, err := column(name)
			if err != nil {
				return nil, err
			}
			columns = append(columns, i)
		}
	}
	// As text: what it says is seldom asked again, and would be kept by every client.
	again := func(served *tables, p *auth.Principal) (*query, *Error) { return s.bindQuery(p, raw, served) }
	q := &query{shape: sh, principal: p, mapping: served.mapping, compile: again}
	resolve := func(name string) (int, predicate.Column, error) {
		i, err := column(name)
		if err != nil {
			return 0, predicate.Column{}, err
		}
		return i, sh.columns[i], nil
	}
	filter, wrong := predicate.ParseWhere(parsed.Where, resolve, s.options.Filter)
	if wrong != nil {
		return nil, queryError(wrong)
	}
	if err := s.order(q, parsed, resolve); err != nil {
		return nil, err
	}
	bounds, wrong := parsed.bounds(q.order, sh.columns)
	if wrong != nil {
		return nil, queryError(wrong)
	}
	slices.Sort(columns)
	q.predicate, q.columns = predicate.All(append(bounds, rule, filter)...), slices.Compact(columns)
	return q, nil
}

// queryError words what is wrong with a part of a query.
func queryError(err error) *Error {
	var refused *Error
	var wrong *predicate.FilterError
	switch {
	case errors.As(err, &refused):
		return refused
	case errors.As(err, &wrong) && wrong.Code == predicate.FilterTooLarge:
		return errorf(CodeResourceExhausted, "%s", wrong)
	}
	return errorf(CodeInvalidArgument, "%s", err)
}
