package mapping

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/interpreter"

	"github.com/walwire/walwire/mapping/predicate"
)

// EventOp is the operation that raises an event.
type EventOp uint8

// The operations. A row that comes to a company from another one is inserted there,
// and deleted where it was.
const (
	EventInsert EventOp = iota
	EventUpdate
	EventDelete
)

// Event is a rule by which changes of a table become a named event. Immutable.
type Event struct {
	Table   *Table
	Name    string
	On      EventOp
	Ordinal int // among all rules, in the configuration's order
	OfOld   bool
	// Several makes it one event for a commit of at least so many rows; 0: one a row.
	Several int
	Columns []int // ordinals of what it carries, ascending
	Old     []int // of what it carries of the row before
	// Needs are the columns that its condition names: who may not read them all does
	// not get it, for it tells something of them.
	Needs []int
	// Changes are columns of which the receiver must be able to read a changed one.
	// nil: any.
	Changes []int
	// Rooms are the table's rooms that it goes to.
	Rooms []TableRoom

	instead []string
	program cel.Program // nil: always
}

// TableRoom says in which column of a table the rooms of a kind stand.
type TableRoom struct {
	Kind   string
	Column int
}

// EventChange is a change of one row over one commit. Old is nil for an insert, Row for
// a delete.
type EventChange struct {
	Row, Old predicate.Source
	Changed  []bool // by ordinal, of an update
}

// ResolveName implements interpreter.Activation.
func (c *EventChange) ResolveName(name string) (any, bool) {
	switch name {
	case "row":
		return c.Row, true
	case "old":
		return c.Old, true
	case "changed":
		return c.Changed, true
	}
	return nil, false
}

// Parent implements interpreter.Activation.
func (*EventChange) Parent() interpreter.Activation { return nil }

// Hidden gives the columns for want of which who may read columns, ascending, does not get
// the event: those of its condition, or else all whose changes it tells. nil: it can.
func (e *Event) Hidden(columns []int) []int {
	readable := func(i int) bool { _, is := slices.BinarySearch(columns, i); return is }
	if hidden := slices.DeleteFunc(slices.Clone(e.Needs), readable); len(hidden) > 0 {
		return hidden
	}
	if e.Changes != nil && !slices.ContainsFunc(e.Changes, readable) {
		return slices.Clone(e.Changes)
	}
	return nil
}

// Holds reports whether a change satisfies the rule's condition. on is its operation.
func (e *Event) Holds(c *EventChange) (bool, error) {
	if e.Changes != nil && !slices.ContainsFunc(e.Changes, func(i int) bool { return c.Changed[i] }) {
		return false, nil
	}
	if e.program == nil {
		return true, nil
	}
	out, _, err := e.program.Eval(c)
	if err != nil {
		return false, fmt.Errorf("%w%s", err, e.nulls(c))
	}
	holds, ok := out.(types.Bool)
	if !ok {
		return false, fmt.Errorf("the condition gives %s", out.Type().TypeName())
	}
	return bool(holds), nil
}

// nulls names the columns of the condition that are NULL, which is mostly why it fails.
func (e *Event) nulls(c *EventChange) string {
	var names []string
	for i, source := range []predicate.Source{c.Row, c.Old} {
		if source == nil {
			continue
		}
		for _, column := range e.Needs {
			if _, null := source.Column(column); null {
				names = append(names, [...]string{"row.", "old."}[i]+e.Table.Columns[column].Name)
			}
		}
	}
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf(": NULL is %s; test it first, as in %s != null && ...", strings.Join(names, ", "), names[0])
}

// StandsFor reports whether the rows of an event of several raise no other event.
func (e *Event) StandsFor(other *Event) bool {
	return other != e && other.Several == 0 && slices.ContainsFunc(e.instead, func(pattern string) bool { return MatchesEvent(pattern, other.Name) })
}

// Room is a kind of room, besides the company and single rows. Immutable.
type Room struct {
	Kind    string
	program cel.Program
}

// Joins reports whether a user may listen in. What can't be told is no.
func (r *Room) Joins(user map[string]any, room string) bool {
	b := binding{user: user}
	out, _, err := r.program.Eval(map[string]any{"user": b.variables()["user"], "room": room})
	return err == nil && out == types.True
}

// Events gives the table's rules in the configuration's order.
func (t *Table) Events() []*Event { return slices.Clone(t.events) }

// Rooms gives the rooms of the table's rows.
func (t *Table) Rooms() []TableRoom { return slices.Clone(t.rooms) }

// Room gives a kind of room.
func (m *Mapping) Room(kind string) (*Room, bool) {
	i := slices.IndexFunc(m.rooms, func(r *Room) bool { return r.Kind == kind })
	if i < 0 {
		return nil, false
	}
	return m.rooms[i], true
}

// RoomKinds gives the kinds of room, in the configuration's order.
func (m *Mapping) RoomKinds() []string {
	kinds := make([]string, len(m.rooms))
	for i, r := range m.rooms {
		kinds[i] = r.Kind
	}
	return kinds
}

// RoomNode gives the predicate "the row stands in this room"; ok is false where the
// table has no such rooms. A value that the column's type can't hold is an error.
func (t *Table) RoomNode(kind, value string) (node *predicate.Node, ok bool, err error) {
	i := slices.IndexFunc(t.rooms, func(r TableRoom) bool { return r.Kind == kind })
	if i < 0 {
		return nil, false, nil
	}
	column := t.Columns[t.rooms[i].Column]
	node, err = compare(t.rooms[i].Column, column, predicate.Eq, value)
	return node, true, err
}

// ParseKey reads the key of one row: its text, or a JSON list where it has several columns.
func (t *Table) ParseKey(text string) ([]any, error) {
	if len(t.Key) == 1 {
		return []any{text}, nil
	}
	var values []any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&values); err != nil || len(values) != len(t.Key) {
		return nil, fmt.Errorf("a row of table %s is named by a JSON list of its key's %d values", t.Name, len(t.Key))
	}
	return values, nil
}

// KeyNode gives the predicate "this is the row", by the values of its key's columns.
func (t *Table) KeyNode(values []any) (*predicate.Node, error) {
	if len(values) != len(t.Key) {
		return nil, fmt.Errorf("the key of %s has %d values", t.Name, len(t.Key))
	}
	nodes := make([]*predicate.Node, len(values))
	for i, v := range values {
		var err error
		if nodes[i], err = compare(t.Key[i], t.Columns[t.Key[i]], predicate.Eq, v); err != nil {
			return nil, err
		}
	}
	return predicate.All(nodes...), nil
}
