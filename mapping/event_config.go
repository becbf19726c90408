package mapping

import (
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// RoomConfig is a kind of room that events go to, besides the company.
type RoomConfig struct {
	Kind string
	// Join says who may listen in: a condition over `user` and `room`, the room's value.
	Join Expression
}

// RoomColumn says which column holds the value of a kind of room.
type RoomColumn struct{ Kind, Column string }

// EventConfig is a rule by which changes of a table become a named event.
type EventConfig struct {
	Event string // as in order.placed
	On    string // insert, update or delete
	// When is a condition over `row`, `old` and `changed`; without text it always holds.
	When Expression
	// Changes are columns one of which an update must change.
	Changes []string
	// Of is "old" where the event is about an updated row as it was, else "".
	Of string
	// Columns are those of the row that the event carries.
	Columns ColumnList
	// Old are the columns whose values before an update it carries.
	Old []string
	// Rooms are the kinds of room that it goes to, besides the company; nil means all of
	// the table's.
	Rooms []string
	// Several makes it one event for a commit of at least so many such rows.
	Several int
	// InsteadOf are the events that such rows then do not raise.
	InsteadOf []string
}

// The operations of a rule.
const (
	OnInsert = "insert"
	OnUpdate = "update"
	OnDelete = "delete"
)

func (d *decoder) rooms(n ast.Node, path string, into *[]RoomConfig) {
	entries, _ := d.entries(n, path)
	*into = make([]RoomConfig, len(entries))
	for i, e := range entries {
		(*into)[i].Kind = e.name
		d.expression(e.value, e.path, &(*into)[i].Join)
	}
}

func (d *decoder) roomColumns(n ast.Node, path string, into *[]RoomColumn) {
	entries, _ := d.entries(n, path)
	for _, e := range entries {
		if column, ok := d.text(e.value, e.path); ok {
			*into = append(*into, RoomColumn{Kind: e.name, Column: column})
		}
	}
}

func (d *decoder) events(n ast.Node, path string, into *[]EventConfig) {
	items, _ := d.items(n, path)
	*into = make([]EventConfig, len(items))
	for i, item := range items {
		d.event(item, index(path, i), &(*into)[i])
	}
}

func (d *decoder) event(n ast.Node, path string, e *EventConfig) {
	columns := false
	d.object(n, path,
		field{"event", "name the event, as in order.placed", d.textField(&e.Event)},
		field{"on", "say what raises it: insert, update or delete", d.textField(&e.On)},
		field{"when", "", func(n ast.Node, path string) { d.expression(n, path, &e.When) }},
		field{"changes", "", d.listField(&e.Changes)},
		field{"of", "", d.textField(&e.Of)},
		field{"columns", "", func(n ast.Node, path string) { columns = true; d.columns(n, path, &e.Columns) }},
		field{"old", "", d.listField(&e.Old)},
		field{"rooms", "", func(n ast.Node, path string) {
			e.Rooms = []string{}
			d.listField(&e.Rooms)(n, path)
		}},
		field{"several", "", d.intField(&e.Several)},
		field{"instead_of", "", d.listField(&e.InsteadOf)},
	)
	if !columns && e.On != OnDelete && e.Several == 0 {
		e.Columns.All = true
	}
}

var eventName = regexp.MustCompile(`^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$`)

// MatchesEvent reports whether a pattern admits an event: its name, entity.* for all
// of an entity, or *.
func MatchesEvent(pattern, event string) bool {
	if entity, all := strings.CutSuffix(pattern, ".*"); all {
		return strings.HasPrefix(event, entity+".")
	}
	return pattern == "*" || pattern == event
}

// IsEventPattern reports whether a text can be one of MatchesEvent's patterns.
func IsEventPattern(text string) bool {
	return text == "*" || eventName.MatchString(text) || strings.HasSuffix(text, ".*") && eventName.MatchString(strings.TrimSuffix(text, "*")+"x")
}

// The rooms that need no configuration: all of the company, and a single row.
const (
	RoomCompany = "company"
	RoomRow     = "row"
)

func (v *validator) rooms(c *Config) {
	for _, r := range c.Rooms {
		path := join("rooms", r.Kind)
		switch {
		case !isPlainName(r.Kind):
			v.reportKey(path, "%q can't name a kind of room: use letters, digits and underscores", r.Kind)
		case r.Kind == RoomCompany, r.Kind == RoomRow:
			v.reportKey(path, "the company and each row are rooms already: choose another name")
		}
		if r.Join.Text == "" {
			v.report(path, "is empty: say who may join, as in room == user.id, or true for everybody of the company")
		}
	}
}

func (c *Config) roomKinds() []string {
	kinds := make([]string, len(c.Rooms))
	for i, r := range c.Rooms {
		kinds[i] = r.Kind
	}
	return kinds
}

func (v *validator) events(c *Config, path string, t *TableConfig) {
	var kinds []string
	for _, r := range t.Rooms {
		if known := c.roomKinds(); !slices.Contains(known, r.Kind) {
			v.reportKey(join(path+".rooms", r.Kind), "there is no kind of room %q%s: say under rooms, at the top, who may join it", r.Kind, didYouMean(r.Kind, known))
		}
		kinds = append(kinds, r.Kind)
	}
	for i := range t.Events {
		v.event(index(path+".events", i), &t.Events[i], kinds, c.eventNames())
	}
}

func (c *Config) eventNames() []string {
	var names []string
	for _, t := range c.Tables {
		for _, e := range t.Events {
			names = append(names, e.Event)
		}
	}
	return names
}

func (v *validator) event(path string, e *EventConfig, kinds, names []string) {
	if !eventName.MatchString(e.Event) {
		v.report(path+".event", "%q can't name an event: write entity.what_happened, in lower case, as in order.placed", e.Event)
	}
	if e.On != OnInsert && e.On != OnUpdate && e.On != OnDelete {
		v.report(path+".on", "%q is not known: give insert, update or delete; for several, write a rule each", e.On)
	}
	only := func(set bool, name, on string) {
		if set && e.On != on {
			v.report(path+"."+name, "is for `on: %s` alone", on)
		}
	}
	only(len(e.Changes) > 0, "changes", OnUpdate)
	only(len(e.Old) > 0, "old", OnUpdate)
	only(e.Of != "", "of", OnUpdate)
	if e.Of != "" && e.Of != "old" {
		v.report(path+".of", "%q is not known: give old for the row as it was, or leave it out", e.Of)
	}
	if e.Of == "old" && len(e.Old) > 0 {
		v.report(path+".old", "an event of the old row carries its columns already: list them under columns")
	}
	for i, kind := range e.Rooms {
		if !slices.Contains(kinds, kind) {
			v.report(index(path+".rooms", i), "the table has no room %q%s: give its column under the table's rooms", kind, didYouMean(kind, kinds))
		}
	}
	switch {
	case e.Several == 0 && len(e.InsteadOf) > 0:
		v.report(path+".instead_of", "is for rules with several alone")
	case e.Several == 0:
	case e.Several < 2 || e.Several > 1_000_000:
		v.report(path+".several", "%d is out of range: give 2 to 1000000", e.Several)
	case len(e.Columns.Names) > 0 || e.Columns.All || len(e.Old) > 0 || e.Of != "":
		v.report(path, "an event of several rows carries their count and keys: leave out columns, old and of")
	}
	for i, pattern := range e.InsteadOf {
		if !IsEventPattern(pattern) || !slices.ContainsFunc(names, func(name string) bool { return MatchesEvent(pattern, name) }) {
			v.report(index(path+".instead_of", i), "no event is called %q%s", pattern, didYouMean(pattern, names))
		}
	}
}
