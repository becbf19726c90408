package torture

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// feedID is the subscription to events of a client that has one.
const feedID = 999_999

// feedEvery is which clients have one.
const feedEvery = 7

// rule is a rule for events of a table.
type rule struct {
	event   string
	on      byte     // I, U, D
	yaml    string   // what else it says
	changes []string // columns one of which must have changed, and been readable
	state   string   // that the row must have come to; "": any
}

// eventRules are what the configuration turns changes of a table into.
func eventRules(t *table) []rule {
	switch t.name {
	case "visits":
		return []rule{
			{event: "visits.created", on: 'I', yaml: "columns: [company]"},
			{event: "visits.changed", on: 'U', yaml: "columns: [company]"},
			{event: "visits.state", on: 'U', yaml: "columns: [company], changes: [state], old: [state]", changes: []string{"state"}},
			{event: "visits.done", on: 'U', yaml: `columns: [state], when: "old.state != row.state && row.state == 'done'"`, changes: []string{"state"}, state: "done"},
			{event: "visits.deleted", on: 'D'},
		}
	case "people":
		return []rule{
			{event: "people.created", on: 'I', yaml: "columns: [company]"},
			{event: "people.changed", on: 'U', yaml: "columns: [company]"},
			{event: "people.renamed", on: 'U', yaml: "columns: [name], changes: [name]", changes: []string{"name"}},
			{event: "people.deleted", on: 'D'},
		}
	}
	return nil
}

// eventsYAML is the rules as the configuration has them. extra is one that nobody
// listens to, which a reload takes in or out.
func eventsYAML(t *table, extra bool) string {
	var b strings.Builder
	for i, r := range eventRules(t) {
		if i == 0 {
			b.WriteString("    events:\n")
			if extra {
				b.WriteString("      - {event: audit." + t.name + ", on: insert}\n")
			}
		}
		on := map[byte]string{'I': "insert", 'U': "update", 'D': "delete"}[r.on]
		fmt.Fprintf(&b, "      - {event: %s, on: %s", r.event, on)
		if r.yaml != "" {
			b.WriteString(", " + r.yaml)
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// toldEvent is an event as a client was told it.
type toldEvent struct {
	Event    string          `json:"event"`
	ID       string          `json:"id"`
	Position string          `json:"position"`
	Table    string          `json:"table"`
	Key      json.RawMessage `json:"key"`
	From     string          `json:"from"`
	To       string          `json:"to"`
	Because  string          `json:"because"`
}

// told is one of them, read.
type told struct {
	event, table, key, id string
	position              uint64
}

// hole is a range of positions of which a client was told that events may be missing.
type hole struct {
	table    string // "": any
	from, to uint64 // from is not in it
	because  string
}

// piece is what a client was told of one range of positions.
type piece struct {
	from, to uint64 // from is not in it
	variant  int
	events   []told
	holes    []hole
	missing  []string // tables whose events it could not get
}

// feed is a client's subscription to events, over its connections.
type feed struct {
	mu      sync.Mutex // protects following
	begun   bool
	here    bool   // it has had its first entry on this connection
	cursor  string // of the last frame that it is after
	at      uint64 // up to where it has been told, by frames and answered waits
	missing []string
	pieces  []piece

	cursorAt uint64 // the position of cursor
	again    uint64 // up to where events may be told once more, behind a gap: they are not compared
}

// request is how it subscribes, from where it was.
func (f *feed) request() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.here = false
	text := fmt.Sprintf(`{"type":"subscribe","id":%d,"events":{"names":["visits.*","people.*"]}`, feedID)
	if f.cursor != "" {
		text += fmt.Sprintf(`,"resume":{"cursor":%q}`, f.cursor)
	}
	return text + "}"
}

// data takes a frame at a position. An error is a breach of the protocol.
func (f *feed) data(u *update, at uint64, cursor string, variant int, tables []*table) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if u != nil && u.Names != nil {
		f.missing = nil
		for _, t := range tables {
			if rules := eventRules(t); len(rules) > 0 && !slices.Contains(u.Names, rules[0].event) {
				f.missing = append(f.missing, t.name)
			}
		}
		from, err := parseLSN(u.From)
		if err != nil {
			return err
		}
		switch {
		case !f.begun:
			f.begun, f.at = true, from
		case f.here || from >= f.at:
		case from >= f.cursorAt: // a wait was answered since the cursor
			f.at = from
		case len(u.Events) == 0 || !bytes.Contains(u.Events[0], []byte(`"event":"gap"`)):
			return fmt.Errorf("events go on from %s, the cursor was of %s, without a gap", u.From, formatLSN(f.cursorAt))
		default: // the server has not come to the cursor, for too long: what follows is told again
			f.again = f.at
		}
		f.here = true
	}
	if !f.here {
		if u != nil {
			return fmt.Errorf("events before their names")
		}
		return nil
	}
	p := piece{from: f.at, to: max(at, f.at), variant: variant, missing: f.missing}
	if u != nil {
		for _, raw := range u.Events {
			if err := f.take(raw, &p, tables); err != nil {
				return err
			}
		}
	}
	f.at = p.to
	if cursor != "" {
		f.cursor, f.cursorAt = cursor, at
	}
	if n := len(f.pieces); n > 0 && len(p.events)+len(p.holes) == 0 && f.pieces[n-1].variant == variant && slices.Equal(f.pieces[n-1].missing, p.missing) && len(f.pieces[n-1].events)+len(f.pieces[n-1].holes) == 0 {
		f.pieces[n-1].to = p.to
		return nil
	}
	f.pieces = append(f.pieces, p)
	return nil
}

func (f *feed) take(raw json.RawMessage, p *piece, tables []*table) error {
	var e toldEvent
	if err := json.Unmarshal(raw, &e); err != nil {
		return err
	}
	if e.Event == "gap" {
		h := hole{table: e.Table, from: p.from, to: p.to, because: e.Because}
		var err error
		if e.To != "" {
			if h.to, err = parseLSN(e.To); err != nil {
				return err
			}
		}
		switch {
		case e.From != "":
			h.from, err = parseLSN(e.From)
		case e.Table != "" && e.To != "":
			h.from = h.to - 1 // of one commit
		}
		p.holes = append(p.holes, h)
		return err
	}
	position, err := parseLSN(e.Position)
	if err != nil {
		return err
	}
	if position <= f.again {
		return nil
	}
	if position <= p.from || position > p.to {
		return fmt.Errorf("event %s of %s in a frame from %s to %s", e.Event, e.Position, formatLSN(p.from), formatLSN(p.to))
	}
	if n := len(p.events); n > 0 && position < p.events[n-1].position {
		return fmt.Errorf("event %s of %s comes after one of %s", e.Event, e.Position, formatLSN(p.events[n-1].position))
	}
	i := slices.IndexFunc(tables, func(t *table) bool { return t.name == e.Table })
	if i < 0 {
		return fmt.Errorf("event %s of table %q", e.Event, e.Table)
	}
	key, err := eventKey(tables[i], e.Key)
	if err != nil {
		return err
	}
	p.events = append(p.events, told{event: e.Event, table: e.Table, key: key, id: e.ID, position: position})
	return nil
}

// eventKey is a key as versions have it.
func eventKey(t *table, raw json.RawMessage) (string, error) {
	members := make(map[string]json.RawMessage)
	if err := json.Unmarshal(raw, &members); err != nil {
		return "", err
	}
	if len(members) != t.keys {
		return "", fmt.Errorf("the key of an event of %s is %s", t.name, raw)
	}
	keys := make([]string, t.keys)
	for i := range keys {
		text, err := canonical(bytes.TrimSpace(members[t.columns[i].name]))
		if err != nil {
			return "", err
		}
		keys[i] = text
	}
	return "[" + strings.Join(keys, ",") + "]", nil
}

// reached notes that everything up to a position has been told.
func (f *feed) reached(at uint64, variant int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.here {
		return false
	}
	if at > f.at {
		f.pieces = append(f.pieces, piece{from: f.at, to: at, variant: variant, missing: f.missing})
		f.at = at
	}
	return true
}

// left is the oldest position that is still to be told or compared, forever before the
// first.
func (f *feed) left() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.begun {
		return forever
	}
	oldest := f.at
	if len(f.pieces) > 0 {
		oldest = f.pieces[0].from
	}
	if f.cursor != "" { // from where it may be told anew
		oldest = min(oldest, f.cursorAt)
	}
	return oldest
}

func (f *feed) takePieces() []piece {
	f.mu.Lock()
	defer f.mu.Unlock()
	pieces := f.pieces
	f.pieces = nil
	return pieces
}
