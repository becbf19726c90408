package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// tailGoal prints frames and events and knows when tail has what it was asked for.
type tailGoal struct {
	all     bool // print every frame, as it comes
	endless bool // more is wanted until something else ends it
	wanted  int  // data frames of the query and events still wanted
	waited  bool // no wait is open
	welcome bool // the server has let us in
	partial bool // rows have come of a frame that continues

	cursor        string // the last one
	query, events resumePoint
	told          map[string]bool // the events printed since events.cursor, by id
}

// resumePoint is where a subscription can be gone on from, on another connection.
type resumePoint struct {
	here          bool // it has been answered on this connection
	cursor, token string
}

// frameHead is what tail reads of a frame. It is written with members in the
// protocol's order.
type frameHead struct {
	Type          string            `json:"type"`
	Position      string            `json:"position"`
	Time          string            `json:"time,omitempty"`
	Subscriptions []json.RawMessage `json:"subscriptions"`
	More          bool              `json:"more,omitempty"`
	Cursor        string            `json:"cursor,omitempty"`

	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
}

// part is what tail reads of one subscription in a data frame.
type part struct {
	ID       int `json:"id"`
	Snapshot struct {
		Token string `json:"token"`
	} `json:"snapshot"`
	Events []json.RawMessage `json:"events"`
}

// take prints a frame if it is wanted. It says whether that was all, and an
// error frame is an error.
func (g *tailGoal) take(out io.Writer, frame []byte) (done bool, err error) {
	var head frameHead
	if err := json.Unmarshal(frame, &head); err != nil {
		return false, notFrame(err)
	}
	if g.all || head.Type == "waited" {
		if err := printLine(out, frame); err != nil {
			return false, err
		}
	}
	switch head.Type {
	case "welcome":
		g.welcome = true
	case "error":
		return false, &serverError{head.Code, head.Message}
	case "waited":
		g.waited = true
	case "data":
		if err := g.data(out, frame, &head); err != nil {
			return false, err
		}
	}
	return g.done(), nil
}

func notFrame(err error) error {
	return fmt.Errorf("the server sent something that is no frame: %w", err)
}

func (g *tailGoal) done() bool { return !g.endless && g.wanted == 0 && g.waited }

// data takes a data frame: what it says of the query is printed as a frame, what it
// says of events one by one.
func (g *tailGoal) data(out io.Writer, frame []byte, head *frameHead) error {
	var rows, events []json.RawMessage
	for _, text := range head.Subscriptions {
		var p part
		if err := json.Unmarshal(text, &p); err != nil {
			return notFrame(err)
		}
		if p.ID == eventsID {
			g.events.here, events = true, append(events, p.Events...)
			continue
		}
		g.query.here, rows = true, append(rows, text)
		if p.Snapshot.Token != "" {
			g.query.token = p.Snapshot.Token
		}
	}
	if err := g.rows(out, frame, head, rows); err != nil {
		return err
	}
	for _, event := range events {
		if g.done() {
			return nil
		}
		if err := g.event(out, event); err != nil {
			return err
		}
	}
	g.keep(head.Cursor)
	return nil
}

// rows prints what a data frame says of the query.
func (g *tailGoal) rows(out io.Writer, frame []byte, head *frameHead, rows []json.RawMessage) error {
	if len(rows) > 0 && !g.all {
		if len(rows) < len(head.Subscriptions) {
			alone := *head
			alone.Subscriptions = rows
			var text bytes.Buffer
			e := json.NewEncoder(&text)
			e.SetEscapeHTML(false) // as it came
			if err := e.Encode(alone); err != nil {
				return fmt.Errorf("print the frame: %w", err)
			}
			frame = text.Bytes()
		}
		if err := printLine(out, frame); err != nil {
			return err
		}
	}
	g.partial = g.partial || len(rows) > 0
	if !head.More {
		if g.partial && g.wanted > 0 {
			g.wanted--
		}
		g.partial = false
	}
	return nil
}

// event prints one event, unless it was printed before the connection broke within
// its frame.
func (g *tailGoal) event(out io.Writer, text json.RawMessage) error {
	var e struct {
		ID string `json:"id"` // "" of a gap
	}
	if err := json.Unmarshal(text, &e); err != nil {
		return notFrame(err)
	}
	if e.ID != "" && g.told[e.ID] {
		return nil
	}
	g.told[e.ID] = true
	if !g.all {
		if err := printLine(out, text); err != nil {
			return err
		}
	}
	if g.wanted > 0 {
		g.wanted--
	}
	return nil
}

// keep notes what can be gone on from: a subscription that has not been answered on
// this connection is still where it was on the one before.
func (g *tailGoal) keep(cursor string) {
	if cursor == "" {
		return
	}
	g.cursor = cursor
	if g.query.here {
		g.query.cursor = cursor
	}
	if g.events.here {
		g.events.cursor = cursor
		clear(g.told)
	}
}

// serverError is an error frame.
type serverError struct{ code, message string }

func (e *serverError) Error() string { return e.code + ": " + e.message }

// passes reports whether trying again helps.
func (e *serverError) passes() bool { return e.code == "unavailable" || e.code == "resource-exhausted" }

// unmet says what was still missing at the end, nil when nothing was.
func (g *tailGoal) unmet(end string) error {
	switch {
	case g.wanted > 0:
		return fmt.Errorf("%s: %d more data frames or events were asked for", end, g.wanted)
	case !g.waited:
		return fmt.Errorf("%s: the position was not reached", end)
	}
	return nil
}

// printLine writes a frame as it came, and in one write, so that a reader of the
// output never sees half a line. A line break between its parts, where JSON
// allows one, is taken out.
func printLine(out io.Writer, frame []byte) error {
	var line bytes.Buffer
	if bytes.ContainsAny(frame, "\r\n") {
		if err := json.Compact(&line, frame); err != nil {
			return notFrame(err)
		}
	} else {
		line.Write(frame)
	}
	line.WriteByte('\n')
	if _, err := out.Write(line.Bytes()); err != nil {
		return fmt.Errorf("print the frame: %w", err)
	}
	return nil
}
