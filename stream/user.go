package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	"github.com/walwire/walwire/auth"
	"github.com/walwire/walwire/mapping"
	"github.com/walwire/walwire/mapping/predicate"
)

// loadUser completes the principal with what the rows of the database say of
// it. Each row is a live query of walwire's own: when it changes, the session's
// rights end at that commit.
func (s *session) loadUser(ctx context.Context) error {
	schema := s.server.hub.Schema()
	if schema.UsersUnknown != nil {
		return errorf(CodeUnavailable, "the server can't tell now who users are: try again later")
	}
	p := *s.principal
	p.Attributes = maps.Clone(p.Attributes)
	for _, ur := range schema.Mapping.UserRows() {
		found, err := s.userRow(ctx, ur, p.Attributes)
		if err != nil {
			return err
		}
		maps.Copy(p.Attributes, found)
	}
	s.principal = &p
	return nil
}

// userRow gives the attributes of one row: those of the single match, nil for
// each when several rows match, and none when there is no row.
func (s *session) userRow(ctx context.Context, ur *mapping.UserRow, user map[string]any) (map[string]any, error) {
	match := ur.Predicate(user)
	if match.Kind == predicate.False {
		return nil, nil
	}
	sh := s.server.hub.serving().shapes[ur.Table.Name]
	if sh == nil || !sameColumns(sh.columns, ur.Table.Columns) {
		return nil, errorf(CodeUnavailable, "table %q, which says who the user is, can't be read now: try again", ur.Table.Name)
	}
	type answer struct {
		rows [][]byte
		err  *Error
	}
	answers := make(chan answer, 1)
	sub := &subscription{session: s, read: func() {}, watch: &watch{ready: func(rows [][]byte, err *Error) {
		select {
		case answers <- answer{rows, err}:
		default: // answered before
		}
	}}}
	sub.query = &query{
		shape: sh, predicate: match, columns: ur.Columns(), verbatim: true,
		compile: func(*tables) (*query, *Error) {
			return nil, errorf(CodeUnavailable, "table %q changed while the user was looked up: try again", ur.Table.Name)
		},
	}
	s.company.inbox.push(message{do: func() { s.company.subscribe(sub) }}, 0)
	var a answer
	select {
	case a = <-answers:
	case <-ctx.Done():
		return nil, errorf(CodeUnavailable, "looking up the user took too long: try again")
	}
	if a.err != nil {
		return nil, a.err
	}
	return attributes(ur, a.rows)
}

func attributes(ur *mapping.UserRow, rows [][]byte) (map[string]any, error) {
	switch len(rows) {
	case 0:
		return nil, nil
	case 1:
	default:
		none := make(map[string]any)
		for _, name := range ur.Names() {
			none[name] = nil
		}
		return none, nil
	}
	var values map[string]*string
	if err := json.Unmarshal(rows[0], &values); err != nil {
		return nil, fmt.Errorf("read the user's row: %w", err)
	}
	return ur.Attributes(verbatim{ur.Table.Columns, values})
}

// verbatim is a row of a verbatim mask, read back.
type verbatim struct {
	columns []predicate.Column
	values  map[string]*string
}

// Column implements predicate.Source.
func (v verbatim) Column(i int) (text []byte, null bool) {
	value := v.values[v.columns[i].Name]
	if value == nil {
		return nil, true
	}
	return []byte(*value), false
}

// companyOf gives the hub's name of the principal's company: as the WAL prints it.
// All tables' company columns are of one kind.
func (s *Server) companyOf(p *auth.Principal) (string, *Error) {
	kind := s.hub.companyType.Load()
	if kind == nil {
		return "", errorf(CodeUnavailable, "the server can't take a connection now: it has no table to serve yet; try again")
	}
	if param, err := kind.Parse(p.Company); err == nil {
		return param.Text, nil
	}
	return p.Company, nil // nothing is its
}
