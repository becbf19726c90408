package mapping

import (
	"strings"
	"testing"

	"github.com/walwire/walwire/mapping/predicate"
)

// withEvents is the valid configuration with rooms, and rules for events of its table.
func withEvents(rooms, tableRooms, events string) string {
	text := valid
	if tableRooms != "" {
		text += "    rooms: " + tableRooms + "\n"
	}
	if events != "" {
		text += "    events:\n      - " + events + "\n"
	}
	if rooms != "" {
		text = strings.Replace(text, "tables:\n", "rooms: "+rooms+"\ntables:\n", 1)
	}
	return text
}

func TestEventErrors(t *testing.T) {
	const room = `{staff: room == user.staff_id}`
	tests := map[string]struct{ rooms, tableRooms, events, want string }{
		"name":              {events: `{event: Visit.Created, on: insert}`, want: `"Visit.Created" can't name an event: write entity.what_happened`},
		"no name":           {events: `{on: insert}`, want: "event is missing: name the event"},
		"no operation":      {events: `{event: visit.made}`, want: "on is missing: say what raises it"},
		"operation":         {events: `{event: visit.made, on: upsert}`, want: `"upsert" is not known: give insert, update or delete`},
		"unknown key":       {events: `{event: visit.made, on: insert, if: x}`, want: `unknown key "if"`},
		"no column":         {events: `{event: visit.made, on: insert, when: row.stattus == 'x'}`, want: `public.visits has no column "stattus"; did you mean "status"?`},
		"old on insert":     {events: `{event: visit.made, on: insert, when: old.status == 'x'}`, want: "\"old\" is not known: a rule on insert knows `row`"},
		"row on delete":     {events: `{event: visit.made, on: delete, when: row.status == 'x'}`, want: "\"row\" is not known: a rule on delete knows `old`, the row that was"},
		"user":              {events: `{event: visit.made, on: update, when: row.staff_id == user.id}`, want: "\"user\" is not known: a rule on update knows `row`, `old`"},
		"changed what":      {events: `{event: visit.made, on: update, when: changed.stat}`, want: `public.visits has no column "stat"`},
		"types":             {events: `{event: visit.made, on: update, when: row.seats == 'x'}`, want: "== does not take (int, string)"},
		"no condition":      {events: `{event: visit.made, on: update, when: row.seats + 1}`, want: "the rule gives int, it must be true or false"},
		"syntax":            {events: `{event: visit.made, on: update, when: row.seats = 1}`, want: "the rule can't be read"},
		"generated":         {events: `{event: visit.made, on: update, when: row.doubled == 1}`, want: `column "doubled" is generated`},
		"changes on insert": {events: `{event: visit.made, on: insert, changes: [status]}`, want: "is for `on: update` alone"},
		"changes what":      {events: `{event: visit.made, on: update, changes: [stat]}`, want: `public.visits has no column "stat"`},
		"old what":          {events: `{event: visit.made, on: update, old: [doubled]}`, want: "is generated"},
		"of what":           {events: `{event: visit.made, on: update, of: new}`, want: `"new" is not known: give old`},
		"of and old":        {events: `{event: visit.made, on: update, of: old, old: [status]}`, want: "carries its columns already"},
		"columns":           {events: `{event: visit.made, on: insert, columns: [stat]}`, want: `has no column "stat"`},
		"several of one":    {events: `{event: visit.many, on: update, several: 1}`, want: "1 is out of range: give 2 to 1000000"},
		"several columns":   {events: `{event: visit.many, on: update, several: 5, columns: [status]}`, want: "carries their count and keys"},
		"instead of one":    {events: `{event: visit.made, on: update, instead_of: [visit.made]}`, want: "is for rules with several alone"},
		"instead of what":   {events: `{event: visit.many, on: update, several: 5, instead_of: [visit.other]}`, want: `no event is called "visit.other"`},
		"room":              {rooms: room, tableRooms: `{staf: staff_id}`, want: `there is no kind of room "staf"; did you mean "staff"?`},
		"room column":       {rooms: room, tableRooms: `{staff: staf_id}`, want: `has no column "staf_id"`},
		"room type":         {rooms: room, tableRooms: `{staff: extra}`, want: "has no equality"},
		"room of a rule":    {rooms: room, tableRooms: `{staff: staff_id}`, events: `{event: visit.made, on: insert, rooms: [branch]}`, want: `the table has no room "branch"`},
		"company":           {rooms: `{company: true}`, want: "are rooms already"},
		"room name":         {rooms: `{"a b": true}`, want: `"a b" can't name a kind of room`},
		"room condition":    {rooms: `{staff: room == user.staf_id}`, want: `user has no attribute "staf_id"`},
		"room of a row":     {rooms: `{staff: row.staff_id == room}`, want: "\"row\" is not known: who may join a room"},
		"room type of room": {rooms: `{staff: room == 3}`, want: "== does not take (string, int)"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cfg, err := Parse("walwire.yaml", []byte(withEvents(tt.rooms, tt.tableRooms, tt.events)), nil)
			if err == nil {
				_, err = Compile(cfg, map[string]TableInfo{"visits": visits()})
			}
			all, ok := err.(Errors)
			if !ok {
				t.Fatalf("taken: %v", err)
			}
			if !strings.Contains(all[0].Message, tt.want) || all[0].Line < 13 {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

// What conditions hold of: NULL equals NULL alone, and a change is any difference.
func TestEventConditions(t *testing.T) {
	was := row{"status": "new", "seats": "2", "price": "1.0000000000000000001", "tags": "{a}", "starts_at": "2026-03-01 09:00:00+00", "active": "t", "big": "9007199254740993"}
	is := row{"status": "done", "seats": "2", "price": "1.0000000000000000002", "tags": "{a,b}", "starts_at": "2026-03-01 09:30:00+00", "active": "f", "big": "9007199254740993"}
	for when, want := range map[string]string{
		"row.status == 'done'":                                           "true",
		"old.status == 'new' && row.status in ['done', 'void']":          "true",
		"old.status != row.status":                                       "true",
		"row.seats != old.seats":                                         "false",
		"old.price == row.price":                                         "false", // not the same double, but the same in no digit of one
		"changed.price && !changed.seats":                                "true",
		"row.big == 9007199254740993":                                    "true",
		"row.notes == null && old.notes == row.notes":                    "true",
		"row.notes == 'x'":                                               "false",
		"row.notes != 'x'":                                               "true",
		"row.notes < 'x'":                                                "error",
		"row.notes != null && row.notes < 'x'":                           "false",
		"row.seats > 1 && row.price > 1":                                 "false",
		"row.starts_at - old.starts_at == duration('30m')":               "true",
		"row.starts_at > timestamp('2026-03-01T09:15:00Z')":              "true",
		"'b' in row.tags && !('b' in old.tags)":                          "true",
		"row.tags.exists(x, x.startsWith('b'))":                          "true",
		"old.active && !row.active":                                      "true",
		"row.seats / (old.seats - 2) == 1":                               "error",
		"row.status.size() == 4 && (row.active ? 'x' : 'y') == 'y'":      "true",
		"[old.status, row.status].exists(s, s == old.status)":            "true",
		"old.status == row.status || old.starts_at != row.starts_at":     "true",
		"!(old.status == row.status) && !(old.starts_at==row.starts_at)": "true",
	} {
		cfg, err := Parse("walwire.yaml", []byte(withEvents("", "", `{event: visit.made, on: update, when: "`+when+`"}`)), nil)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		table := mustCompile(t, cfg)
		changed := make([]bool, len(table.Columns))
		for i, c := range table.Columns {
			changed[i] = was[c.Name] != is[c.Name]
		}
		got := "error"
		switch holds, err := table.Events()[0].Holds(&EventChange{Row: is, Old: was, Changed: changed}); {
		case err != nil:
		case holds:
			got = "true"
		default:
			got = "false"
		}
		if got != want {
			t.Errorf("%s: %s, want %s", when, got, want)
		}
	}
}

// Who may join a room: what can't be told is no.
func TestRoomJoins(t *testing.T) {
	cfg := mustParse(t, withEvents(`{mine: room == user.staff_id, roles: room in user.roles, all: true, odd: user.staff_id.size() > 100}`, "", ""))
	m, err := Compile(cfg, map[string]TableInfo{"visits": visits()})
	if err != nil {
		t.Fatal(err)
	}
	ann := map[string]any{"id": "ann", "staff_id": "7", "roles": []string{"staff"}}
	nobody := map[string]any{"id": "x", "roles": []string{}}
	for _, tt := range []struct {
		kind, room string
		user       map[string]any
		want       bool
	}{
		{"mine", "7", ann, true}, {"mine", "8", ann, false}, {"mine", "7", nobody, false}, {"mine", "", nobody, false},
		{"roles", "staff", ann, true}, {"roles", "owner", ann, false}, {"all", "anything", nobody, true}, {"odd", "x", ann, false}, {"odd", "x", nobody, false},
	} {
		r, ok := m.Room(tt.kind)
		if !ok || r.Joins(tt.user, tt.room) != tt.want {
			t.Errorf("%s:%s of %v: want %v", tt.kind, tt.room, tt.user["id"], tt.want)
		}
	}
}

// A row is named by the numbers that are written, however large.
func TestKeyNodeLargeNumber(t *testing.T) {
	info := visits()
	info.Key = []int{7, 3}
	m, err := Compile(mustParse(t, valid), map[string]TableInfo{"visits": info})
	if err != nil {
		t.Fatal(err)
	}
	table, _ := m.Table("visits")
	key, err := table.ParseKey(`[12345678901234567891, "a"]`)
	if err != nil {
		t.Fatal(err)
	}
	node, err := table.KeyNode(key)
	if err != nil {
		t.Fatal(err)
	}
	for price, want := range map[string]bool{"12345678901234567891": true, "12345678901234567000": false} {
		r := predicate.NewRow(table.Columns)
		r.Reset(row{"price": price, "status": "a"})
		if got, err := node.Eval(r); err != nil || got != want {
			t.Errorf("price %s: %v, %v", price, got, err)
		}
	}
}
