package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// tailGoal prints frames and knows when tail has what it was asked for.
type tailGoal struct {
	all     bool // print every frame
	endless bool // frames are wanted until something else ends it
	frames  int  // data frames still wanted
	waited  bool // no wait is open
	welcome bool // the server has let us in
	here    bool // the query has been answered on this connection

	cursor, token string // to go on from, on another connection
}

// frameHead is what tail reads of a frame.
type frameHead struct {
	Type    string `json:"type"`
	More    bool   `json:"more"`
	Code    string `json:"code"`
	Message string `json:"message"`

	Cursor        string `json:"cursor"`
	Subscriptions []struct {
		Snapshot struct {
			Token string `json:"token"`
		} `json:"snapshot"`
	} `json:"subscriptions"`
}

// keep notes what the query can be resumed with.
func (g *tailGoal) keep(head *frameHead) {
	g.here = g.here || len(head.Subscriptions) > 0
	if head.Cursor != "" && g.here { // else the query is still where it was on the connection before
		g.cursor = head.Cursor
	}
	for _, s := range head.Subscriptions {
		if s.Snapshot.Token != "" {
			g.token = s.Snapshot.Token
		}
	}
}

// idle reports whether a data frame has nothing but a cursor.
func (head *frameHead) idle() bool { return head.Type == "data" && len(head.Subscriptions) == 0 }

// take prints a frame if it is wanted. It says whether that was all, and an
// error frame is an error.
func (g *tailGoal) take(out io.Writer, frame []byte) (done bool, err error) {
	var head frameHead
	if err := json.Unmarshal(frame, &head); err != nil {
		return false, fmt.Errorf("the server sent something that is no frame: %w", err)
	}
	g.keep(&head)
	if g.all || head.Type == "data" && !head.idle() || head.Type == "waited" {
		if err := printLine(out, frame); err != nil {
			return false, fmt.Errorf("print the frame: %w", err)
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
		if !head.More && g.frames > 0 && !head.idle() {
			g.frames--
		}
	}
	return !g.endless && g.frames == 0 && g.waited, nil
}

// serverError is an error frame.
type serverError struct{ code, message string }

func (e *serverError) Error() string { return e.code + ": " + e.message }

// passes reports whether trying again helps.
func (e *serverError) passes() bool { return e.code == "unavailable" || e.code == "resource-exhausted" }

// unmet says what was still missing at the end, nil when nothing was.
func (g *tailGoal) unmet(end string) error {
	switch {
	case g.frames > 0:
		return fmt.Errorf("%s: %d more data frames were asked for", end, g.frames)
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
			return err
		}
	} else {
		line.Write(frame)
	}
	line.WriteByte('\n')
	_, err := out.Write(line.Bytes())
	return err
}
