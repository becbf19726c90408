package stream

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/walwire/walwire/auth"
	"github.com/walwire/walwire/mapping"
	"github.com/walwire/walwire/mapping/predicate"
)

// clientEvents is what a client asks to be told of.
type clientEvents struct {
	Names []string `json:"names"` // of events, or patterns
	Rooms []string `json:"rooms"` // none means the company
	Since string   `json:"since"` // a time, to be told of commits from then on
}

// eventQuery is a request compiled for one principal.
type eventQuery struct {
	id    string
	names []string
	taps  []tapQuery
	gaps  []gap // of tables that can't be served now
}

// tapQuery is its part in one table.
type tapQuery struct {
	shape     *shape
	table     *mapping.Table
	columns   []int // that may be read
	access    *predicate.Node
	predicate *predicate.Node
	rules     []int // of the table
}

// maxNames bounds the names and the rooms of one request.
const maxNames = 100

func (e *clientEvents) check() *Error {
	if len(e.Names) == 0 {
		return errorf(CodeInvalidArgument, `events need names, as in "names": ["order.*"]; "*" is all`)
	}
	if len(e.Names) > maxNames || len(e.Rooms) > maxNames {
		return errorf(CodeResourceExhausted, "events take %d names and %d rooms at most", maxNames, maxNames)
	}
	for _, name := range e.Names {
		if !mapping.IsEventPattern(name) {
			return errorf(CodeInvalidArgument, `%q can't name events: write a name as in "order.placed", "order.*" or "*"`, name)
		}
	}
	if e.Rooms != nil && len(e.Rooms) == 0 {
		return errorf(CodeInvalidArgument, "rooms is empty: leave it out for the company")
	}
	if _, err := e.since(); err != nil {
		return err
	}
	return nil
}

// since gives the time from which on commits are asked for, in PostgreSQL's
// microseconds; 0: from now on.
func (e *clientEvents) since() (int64, *Error) {
	if e.Since == "" {
		return 0, nil
	}
	at, err := time.Parse(time.RFC3339Nano, e.Since)
	if err != nil {
		return 0, errorf(CodeInvalidArgument, `since must be a time as in "2026-03-01T09:00:00Z"`)
	}
	return max(at.Sub(postgresEpoch).Microseconds(), 1), nil
}

// room is a room that a client names.
type room struct {
	kind  string
	value string
	table string // of a single row
	key   []any
}

// rooms reads the rooms of a request, and refuses those that its user may not join; nil
// is the company.
func (e *clientEvents) rooms(p *auth.Principal, served *tables) ([]room, *Error) {
	var rooms []room
	for _, text := range e.Rooms {
		kind, value, valued := strings.Cut(text, ":")
		if kind == mapping.RoomCompany && !valued {
			return nil, nil // all others are in it
		}
		if !valued {
			return nil, errorf(CodeInvalidArgument, `%q is not a room: write kind:value, as in "branch:1", "row:table:key" for one row, or "company"`, text)
		}
		if kind == mapping.RoomRow {
			one, err := rowRoom(p, served, value)
			if err != nil {
				return nil, err
			}
			rooms = append(rooms, one)
			continue
		}
		r, ok := served.mapping.Room(kind)
		if !ok {
			return nil, errorf(CodeInvalidArgument, "there are no rooms of kind %q: there are company, row and %s", kind, strings.Join(served.mapping.RoomKinds(), ", "))
		}
		if !r.Joins(p.Attributes, value) {
			return nil, errorf(CodePermissionDenied, "room %q is not open to this token", text)
		}
		rooms = append(rooms, room{kind: kind, value: value})
	}
	return rooms, nil
}

// rowRoom reads the room of one row, table:key.
func rowRoom(p *auth.Principal, served *tables, text string) (room, *Error) {
	name, value, _ := strings.Cut(text, ":")
	if slices.ContainsFunc(served.unserved, func(t Unserved) bool { return t.Table == name && overlap(t.Roles, p.Roles) }) {
		return room{kind: mapping.RoomRow, table: name}, nil // nothing is told of it
	}
	t, ok := served.mapping.Table(name)
	if ok {
		_, _, ok = t.Access(p.Roles, p.Attributes)
	}
	if !ok {
		return room{}, errorf(CodePermissionDenied, "table %q is not open to this token's roles", name)
	}
	key, err := t.ParseKey(value)
	if err != nil {
		return room{}, errorf(CodeInvalidArgument, "%s", err)
	}
	return room{kind: mapping.RoomRow, table: name, key: key}, nil
}

// compileEvents turns a request into what is listened for: the events that the roles
// may get, in the rooms that the user may join.
func compileEvents(p *auth.Principal, e *clientEvents, served *tables) (*eventQuery, *Error) {
	if served.mapping == nil || served.usersUnknown {
		return nil, errorf(CodeUnavailable, "the server can't tell now which events there are: try again")
	}
	rooms, err := e.rooms(p, served)
	if err != nil {
		return nil, err
	}
	q, open := &eventQuery{}, false
	var id strings.Builder
	for _, t := range served.mapping.Tables() {
		access, columns, ok := t.Access(p.Roles, p.Attributes)
		if !ok {
			continue
		}
		rules := readableRules(t.Events(), e.matching(t.Events()), columns)
		if len(rules) == 0 {
			continue
		}
		sh := served.shapes[t.Name]
		if sh == nil || served.broken[t.Name] != nil {
			q.gaps = append(q.gaps, gap{table: t.Name, because: cantBeServed})
			continue
		}
		for _, group := range byRooms(t.Events(), rules) {
			open = true
			where, some, err := roomsNode(t, t.Events()[group.rules[0]].Rooms, rooms)
			if err != nil {
				return nil, err
			}
			if !some {
				continue
			}
			q.names = append(q.names, group.names...)
			tap := tapQuery{shape: sh, table: t, columns: columns, access: access, predicate: predicate.All(access, where), rules: group.rules}
			q.taps = append(q.taps, tap)
			_, _ = fmt.Fprintf(&id, "%p %p %v %v %q %q\x00", t, sh, columns, group.rules, access.Canonical(), where.Canonical())
		}
	}
	for _, t := range served.unserved {
		if overlap(t.Roles, p.Roles) && slices.ContainsFunc(t.Events, e.matches) {
			q.gaps = append(q.gaps, gap{table: t.Table, because: cantBeServed})
		}
	}
	slices.Sort(q.names)
	q.names, q.id = slices.Compact(q.names), id.String()
	switch {
	case !open && len(q.gaps) == 0:
		return nil, errorf(CodePermissionDenied, "no event that matches %s is open to this token's roles", strings.Join(e.Names, ", "))
	case len(q.names) == 0 && len(q.gaps) == 0:
		return nil, errorf(CodeInvalidArgument, "none of these events goes to %s", strings.Join(e.Rooms, ", "))
	}
	return q, nil
}

const cantBeServed = "the table can't be served now"

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

// matches reports whether the events of that name are asked for.
func (e *clientEvents) matches(name string) bool {
	return slices.ContainsFunc(e.Names, func(pattern string) bool { return mapping.MatchesEvent(pattern, name) })
}

// matching gives the places of the rules whose event is asked for.
func (e *clientEvents) matching(rules []*mapping.Event) []int {
	var at []int
	for i, rule := range rules {
		if e.matches(rule.Name) {
			at = append(at, i)
		}
	}
	return at
}

// readableRules leaves out the rules that tell of columns which may not be read.
func readableRules(all []*mapping.Event, rules, columns []int) []int {
	return slices.DeleteFunc(rules, func(at int) bool { return len(all[at].Hidden(columns)) > 0 })
}

// roomGroup is rules that go to the same kinds of room.
type roomGroup struct {
	rules []int
	names []string
}

func byRooms(all []*mapping.Event, rules []int) []roomGroup {
	var groups []roomGroup
	for _, at := range rules {
		i := slices.IndexFunc(groups, func(g roomGroup) bool { return slices.Equal(all[g.rules[0]].Rooms, all[at].Rooms) })
		if i < 0 {
			groups, i = append(groups, roomGroup{}), len(groups)
		}
		groups[i].rules = append(groups[i].rules, at)
		groups[i].names = append(groups[i].names, all[at].Name)
	}
	return groups
}

// roomsNode gives the predicate "the row stands in one of the rooms", for a rule that
// goes to certain kinds; false where none of them is such.
func roomsNode(t *mapping.Table, kinds []mapping.TableRoom, rooms []room) (*predicate.Node, bool, *Error) {
	if rooms == nil {
		return predicate.Always(), true, nil
	}
	var nodes []*predicate.Node
	for _, r := range rooms {
		var node *predicate.Node
		var err error
		switch {
		case r.table == t.Name:
			node, err = t.KeyNode(r.key)
		case slices.ContainsFunc(kinds, func(k mapping.TableRoom) bool { return k.Kind == r.kind }):
			node, _, err = t.RoomNode(r.kind, r.value)
		default:
			continue
		}
		if err != nil {
			return nil, false, errorf(CodeInvalidArgument, "room of kind %s: %s", r.kind, err)
		}
		nodes = append(nodes, node)
	}
	if len(nodes) == 0 {
		return nil, false, nil
	}
	return predicate.Any(nodes...), true, nil
}
