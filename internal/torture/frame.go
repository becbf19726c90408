package torture

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// frame is a frame of the server, its rows as they came.
type frame struct {
	Type          string   `json:"type"`
	ID            int      `json:"id"`
	Wait          int      `json:"wait"`
	Code          string   `json:"code"`
	Message       string   `json:"message"`
	Position      string   `json:"position"`
	Cursor        string   `json:"cursor"`
	More          bool     `json:"more"`
	Subscriptions []update `json:"subscriptions"`
}

// update is one subscription's part of a data frame.
type update struct {
	ID            int               `json:"id"`
	Reset         bool              `json:"reset"`
	Loading       bool              `json:"loading"`
	Resumed       bool              `json:"resumed"`
	Snapshot      *snapshot         `json:"snapshot"`
	Added         []json.RawMessage `json:"added"`
	AddedOrder    []string          `json:"added_order"`
	Modified      []json.RawMessage `json:"modified"`
	ModifiedOrder []string          `json:"modified_order"`
	Removed       []json.RawMessage `json:"removed"`
	Names         []string          `json:"names"` // of a subscription to events, as the next
	From          string            `json:"from"`
	Events        []json.RawMessage `json:"events"`
}

type snapshot struct {
	Token   string   `json:"token"`
	Key     []string `json:"key"`
	Columns []struct {
		Name string `json:"name"`
		Type string `json:"type"`
	} `json:"columns"`
	Rows  []json.RawMessage `json:"rows"`
	Order []string          `json:"order"`
}

// join appends the continuation of a data frame.
func (f *frame) join(next *frame) error {
	if next.Type != "data" || next.Position != f.Position {
		return fmt.Errorf("a frame at %s is continued by one of type %s at %s", f.Position, next.Type, next.Position)
	}
	f.More, f.Cursor = next.More, next.Cursor
	for _, u := range next.Subscriptions {
		last := &f.Subscriptions[len(f.Subscriptions)-1]
		if last.ID != u.ID {
			f.Subscriptions = append(f.Subscriptions, u)
			continue
		}
		if s := u.Snapshot; s != nil {
			if last.Snapshot == nil || u.Reset || s.Key != nil || s.Columns != nil {
				return fmt.Errorf("subscription %d: a continued snapshot has rows only", u.ID)
			}
			last.Snapshot.Rows = append(last.Snapshot.Rows, s.Rows...)
			last.Snapshot.Order = append(last.Snapshot.Order, s.Order...)
		}
		last.Added, last.AddedOrder = append(last.Added, u.Added...), append(last.AddedOrder, u.AddedOrder...)
		last.Modified, last.ModifiedOrder = append(last.Modified, u.Modified...), append(last.ModifiedOrder, u.ModifiedOrder...)
		last.Events = append(last.Events, u.Events...)
		last.Removed = append(last.Removed, u.Removed...)
	}
	return nil
}

// parseLSN reads a position as PostgreSQL prints it.
func parseLSN(text string) (uint64, error) {
	high, low, ok := strings.Cut(text, "/")
	h, err1 := strconv.ParseUint(high, 16, 32)
	l, err2 := strconv.ParseUint(low, 16, 32)
	if !ok || err1 != nil || err2 != nil {
		return 0, fmt.Errorf("position %q", text)
	}
	return h<<32 | l, nil
}

func formatLSN(lsn uint64) string { return fmt.Sprintf("%X/%X", lsn>>32, uint32(lsn)) }
