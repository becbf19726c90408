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

	// Known and not there yet: refused by name rather than as misspelt.
	OrderBy     json.RawMessage `json:"orderBy"`
	Limit       json.RawMessage `json:"limit"`
	LimitToLast json.RawMessage `json:"limitToLast"`
	StartAt     json.RawMessage `json:"startAt"`
	StartAfter  json.RawMessage `json:"startAfter"`
	EndAt       json.RawMessage `json:"endAt"`
	EndBefore   json.RawMessage `json:"endBefore"`
}

func (q *clientQuery) unsupported() string {
	for name, value := range map[string]json.RawMessage{
		"orderBy": q.OrderBy, "limit": q.Limit, "limitToLast": q.LimitToLast,
		"startAt": q.StartAt, "startAfter": q.StartAfter, "endAt": q.EndAt, "endBefore": q.EndBefore,
	} {
		if value != nil {
			return name
		}
	}
	return ""
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
	if name := q.unsupported(); name != "" {
		return nil, errorf(CodeInvalidArgument, "%s is not there yet: order and cut the rows in the client", name)
	}
	return &q, nil
}

// compile turns a client's query into what runs: its filter AND the access rule
// of the principal's roles, over the columns they may see.
func (s *Server) compile(p *auth.Principal, raw json.RawMessage) (*query, *Error) {
	parsed, err := parseQuery(raw)
	if err != nil {
		return nil, err
	}
	return s.bindQuery(p, parsed, s.hub.serving())
}

func (s *Server) bindQuery(p *auth.Principal, parsed *clientQuery, served *tables) (*query, *Error) {
	refused := errorf(CodePermissionDenied, "table %q is not open to this token's roles", parsed.Table)
	if broken := served.broken[parsed.Table]; broken != nil {
		return nil, broken
	}
	sh := served.shapes[parsed.Table]
	if sh == nil {
		return nil, refused
	}
	rule, visible, ok := sh.mapping.Access(p.Roles, p.Attributes)
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
	filter, err := s.filter(parsed.Where, sh, column)
	if err != nil {
		return nil, err
	}
	slices.Sort(columns)
	return &query{
		shape:     sh,
		predicate: predicate.All(rule, filter),
		columns:   slices.Compact(columns),
		compile:   func(served *tables) (*query, *Error) { return s.bindQuery(p, parsed, served) },
	}, nil
}

func (s *Server) filter(where json.RawMessage, sh *shape, column func(string) (int, *Error)) (*predicate.Node, *Error) {
	if len(where) == 0 || string(where) == "null" {
		return predicate.Always(), nil
	}
	resolve := func(name string) (int, predicate.Column, error) {
		i, err := column(name)
		if err != nil {
			return 0, predicate.Column{}, err
		}
		return i, sh.columns[i], nil
	}
	node, err := predicate.ParseWhere(where, resolve, s.options.Filter)
	if err == nil {
		return node, nil
	}
	var refused *Error
	var wrong *predicate.FilterError
	switch {
	case errors.As(err, &refused):
		return nil, refused
	case errors.As(err, &wrong) && wrong.Code == predicate.FilterTooLarge:
		return nil, errorf(CodeResourceExhausted, "%s", wrong)
	}
	return nil, errorf(CodeInvalidArgument, "%s", err)
}
