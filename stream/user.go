package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/walwire/walwire/auth"
	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/mapping"
	"github.com/walwire/walwire/mapping/predicate"
)

// user is who a session's client is: what the token says, and the rows that say more
// of it. Each row is a live query of walwire's own. Once a session has it, it is the
// company's.
type user struct {
	claims  auth.Principal
	lookups []lookup
}

// lookup is one of these rows.
type lookup struct {
	row   *mapping.UserRow
	match *predicate.Node // by what was known before
	sub   *subscription   // nil: nothing can match
}

// errUserMoved says that other rows than those looked up say who the user is now.
var errUserMoved = errors.New("the user is to be looked up again")

// lookUp finds the rows that say who a token's user is. Where it fails nothing is left of it.
func (s *session) lookUp(ctx context.Context, claims *auth.Principal) (_ *user, err error) {
	schema := s.server.hub.Schema()
	if schema.UsersUnknown != nil {
		return nil, errorf(CodeUnavailable, "the server can't tell now who users are: try again later")
	}
	u := &user{claims: *claims}
	defer func() {
		if err == nil {
			return
		}
		c, lookups := s.company, u.lookups
		c.inbox.push(message{do: func() { c.endLookups(lookups) }}, 0)
	}()
	known := claims.Attributes
	for _, row := range schema.Mapping.UserRows() {
		if !row.Applies(claims.Roles) {
			continue
		}
		l := lookup{row: row, match: row.Predicate(known)}
		var rows [][]byte
		if l.match.Kind != predicate.False {
			l.sub, rows, err = s.watchRow(ctx, row, l.match)
		}
		u.lookups = append(u.lookups, l)
		if err != nil {
			return nil, err
		}
		found, err := attributes(row, rows)
		if err != nil {
			return nil, err
		}
		if len(u.lookups) == 1 {
			known = maps.Clone(known)
		}
		maps.Copy(known, found)
	}
	return u, nil
}

func (c *company) endLookups(lookups []lookup) {
	for _, l := range lookups {
		if l.sub != nil {
			c.unsubscribe(l.sub, func() {})
		}
	}
}

// watchRow subscribes to the rows that match and gives those of now. The subscription is
// the caller's to end, also where it has no rows yet.
func (s *session) watchRow(ctx context.Context, ur *mapping.UserRow, match *predicate.Node) (*subscription, [][]byte, error) {
	sh := s.server.hub.serving().shapes[ur.Table.Name]
	if sh == nil || !sameColumns(sh.columns, ur.Table.Columns) {
		return nil, nil, errorf(CodeUnavailable, "table %q, which says who the user is, can't be read now: try again", ur.Table.Name)
	}
	type answer struct {
		rows [][]byte
		err  *Error
	}
	answers := make(chan answer, 1)
	sub := &subscription{session: s, read: func() {}, watch: &watch{ready: func(b *base, _ cdc.LSN, err *Error) {
		a := answer{err: err}
		if b != nil {
			a.rows = b.rows
		}
		select {
		case answers <- a:
		default: // answered before
		}
	}}}
	sub.query = &query{
		shape: sh, predicate: match, columns: ur.Columns(), verbatim: true,
		compile: func(*tables, *auth.Principal) (*query, *Error) {
			return nil, errorf(CodeUnavailable, "table %q changed while the user was looked up: try again", ur.Table.Name)
		},
	}
	s.company.inbox.push(message{do: func() { s.company.subscribe(sub) }}, 0)
	select {
	case a := <-answers:
		if a.err != nil {
			return sub, nil, a.err
		}
		return sub, a.rows, nil
	case <-ctx.Done():
		return sub, nil, errorf(CodeUnavailable, "looking up the user took too long: try again")
	}
}

// principal is who the user is by the rows of now. An *Error ends their access;
// errUserMoved says that these rows can't tell. In the company's goroutine.
func (u *user) principal() (*auth.Principal, error) {
	settled := true
	p, err := u.by(func(l *lookup, match *predicate.Node) ([][]byte, error) {
		if match.Canonical() != l.match.Canonical() || l.sub != nil && l.sub.view == nil {
			return nil, errUserMoved
		}
		if l.sub == nil {
			return nil, nil
		}
		loading := l.sub.view.loading
		if loading == nil {
			rows, _ := l.sub.view.encoded()
			return rows, nil
		}
		settled = false
		if loading.baseline == nil {
			return nil, errUserMoved
		}
		var rows [][]byte // of before count on, until it is known what they are now
		for _, row := range loading.baseline {
			rows = append(rows, row.json)
		}
		return rows, nil
	})
	if denied := (*Error)(nil); !settled && errors.As(err, &denied) {
		return nil, errUserMoved // rows of two commits deny nothing
	}
	return p, err
}

// by is who the user is by the rows that read gives of each lookup.
func (u *user) by(read func(l *lookup, match *predicate.Node) ([][]byte, error)) (*auth.Principal, error) {
	if len(u.lookups) == 0 && len(u.claims.Roles) > 0 {
		return &u.claims, nil
	}
	p := u.claims
	p.Attributes = maps.Clone(p.Attributes)
	rows := make([][][]byte, len(u.lookups))
	for i := range u.lookups {
		l := &u.lookups[i]
		var err error
		if rows[i], err = read(l, l.row.Predicate(p.Attributes)); err != nil {
			return nil, err
		}
		found, err := attributes(l.row, rows[i])
		if err != nil {
			return nil, err
		}
		maps.Copy(p.Attributes, found)
	}
	p.Roles, _ = p.Attributes[mapping.AttributeRoles].([]string)
	for i, l := range u.lookups {
		if err := l.ended(rows[i], p.Attributes); err != nil {
			return nil, err
		}
	}
	if len(p.Roles) == 0 {
		return nil, errorf(CodePermissionDenied, "this user has no role any more")
	}
	return &p, nil
}

// ended says why the rows that were found leave their user no access, nil where they do.
func (l *lookup) ended(rows [][]byte, known map[string]any) error {
	table := l.row.Table
	if l.row.Required && len(rows) == 0 {
		return errorf(CodePermissionDenied, "this user has no row in table %q of the company", table.Name)
	}
	for _, row := range rows {
		source, err := readVerbatim(table, row)
		if err != nil {
			return err
		}
		switch active, err := l.row.Active(source, known); {
		case err != nil:
			return fmt.Errorf("users' row of table %s: %w", table.Name, err)
		case !active:
			return errorf(CodePermissionDenied, "this user's access has ended: table %q of the company says so", table.Name)
		}
	}
	return nil
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
	row, err := readVerbatim(ur.Table, rows[0])
	if err != nil {
		return nil, err
	}
	return ur.Attributes(row)
}

func readVerbatim(t *mapping.Table, row []byte) (verbatim, error) {
	var values map[string]*string
	if err := json.Unmarshal(row, &values); err != nil {
		return verbatim{}, fmt.Errorf("read the user's row: %w", err)
	}
	return verbatim{t.Columns, values}, nil
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
func (h *Hub) companyOf(p *auth.Principal) (string, *Error) {
	kind := h.companyType.Load()
	if kind == nil {
		return "", errorf(CodeUnavailable, "the server can't take a connection now: it has no table to serve yet; try again")
	}
	if param, err := kind.Parse(p.Company); err == nil {
		return param.Text, nil
	}
	return p.Company, nil // nothing is its
}
