package apptest

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Row is one row by column name; numbers are json.Number.
type Row map[string]any

// Frame is a frame of the server. Data frames that continue have been joined.
type Frame struct {
	Type          string   `json:"type"`
	ID            int      `json:"id"`
	Wait          int      `json:"wait"` // of an error: the wait it answers
	Code          string   `json:"code"`
	Message       string   `json:"message"`
	Position      string   `json:"position"`
	Time          string   `json:"time"`
	More          bool     `json:"more"`
	Cursor        string   `json:"cursor"`
	Key           string   `json:"key"`      // of a welcome
	Roles         []string `json:"roles"`    // of a welcome or a renewal
	AfterMS       int64    `json:"after_ms"` // of a reconnect
	Subscriptions []Update `json:"subscriptions"`
	Raw           []byte   `json:"-"` // of the last part
	Parts         int      `json:"-"` // how many it came in
}

// String is the frame as it came.
func (f *Frame) String() string {
	if f == nil {
		return "no frame"
	}
	return string(f.Raw)
}

// Update is one subscription's part of a data frame.
type Update struct {
	ID       int       `json:"id"`
	Reset    bool      `json:"reset"`
	Resumed  bool      `json:"resumed"`
	Loading  bool      `json:"loading"`
	Snapshot *Snapshot `json:"snapshot"`
	Added    []Row     `json:"added"`
	Modified []Row     `json:"modified"`
	Removed  []Row     `json:"removed"`

	Names  []string `json:"names"`
	Events []Event  `json:"events"`

	AddedOrder    []string `json:"added_order"`
	ModifiedOrder []string `json:"modified_order"`
}

// Event is one named event, or a gap.
type Event struct {
	Event    string   `json:"event"`
	ID       string   `json:"id"`
	Position string   `json:"position"`
	Time     string   `json:"time"`
	Table    string   `json:"table"`
	Key      Row      `json:"key"`
	Row      Row      `json:"row"`
	Old      Row      `json:"old"`
	Changed  []string `json:"changed"`
	Count    int      `json:"count"`
	Keys     []Row    `json:"keys"`
	From     string   `json:"from"` // of a gap, as the following
	To       string   `json:"to"`
	Since    string   `json:"since"`
	Until    string   `json:"until"`
	Because  string   `json:"because"`
	Raw      []byte   `json:"-"`
}

// UnmarshalJSON keeps the event as it came beside what it says.
func (e *Event) UnmarshalJSON(text []byte) error {
	type members Event
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode((*members)(e)); err != nil {
		return err
	}
	e.Raw = bytes.Clone(text)
	return nil
}

// Snapshot is a subscription's start.
type Snapshot struct {
	Token   string   `json:"token"`
	Key     []string `json:"key"`
	Columns []Column `json:"columns"`
	Rows    []Row    `json:"rows"`
	Order   []string `json:"order"`
}

// Column is a column as a snapshot describes it.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

func parseFrame(data []byte) (*Frame, error) {
	f := &Frame{Raw: data, Parts: 1}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(f); err != nil {
		return nil, fmt.Errorf("frame %q: %w", data, err)
	}
	if d.More() {
		return nil, fmt.Errorf("frame %q: more than one JSON value", data)
	}
	return f, nil
}

// join appends the continuation of a frame.
func (f *Frame) join(next *Frame) error {
	if next.Type != "data" || next.Position != f.Position || next.Time != f.Time {
		return fmt.Errorf("a frame at %s is continued by %.200s", f.Position, next.Raw)
	}
	f.Raw, f.More, f.Cursor = next.Raw, next.More, next.Cursor
	f.Parts++
	for _, u := range next.Subscriptions {
		if last := &f.Subscriptions[len(f.Subscriptions)-1]; last.ID != u.ID {
			f.Subscriptions = append(f.Subscriptions, u)
		} else if err := last.join(&u); err != nil {
			return err
		}
	}
	return nil
}

func (u *Update) join(next *Update) error {
	if s := next.Snapshot; s != nil {
		if u.Snapshot == nil || next.Reset || s.Token != "" || s.Key != nil || s.Columns != nil {
			return fmt.Errorf("subscription %d: a continued snapshot has rows only", u.ID)
		}
		u.Snapshot.Rows = append(u.Snapshot.Rows, s.Rows...)
		u.Snapshot.Order = append(u.Snapshot.Order, s.Order...)
	}
	u.Added = append(u.Added, next.Added...)
	u.Modified = append(u.Modified, next.Modified...)
	u.Removed = append(u.Removed, next.Removed...)
	u.Events = append(u.Events, next.Events...)
	u.AddedOrder = append(u.AddedOrder, next.AddedOrder...)
	u.ModifiedOrder = append(u.ModifiedOrder, next.ModifiedOrder...)
	return nil
}
