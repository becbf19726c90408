package main

import (
	"bytes"
	"testing"
)

// mustTake gives frames to a goal on one connection.
func mustTake(t *testing.T, g *tailGoal, out *bytes.Buffer, frames ...string) {
	t.Helper()
	g.query.here, g.events.here = false, false
	for _, frame := range frames {
		if _, err := g.take(out, []byte(frame)); err != nil {
			t.Fatal(err)
		}
	}
}

// A connection that breaks within a frame: its events come again, and are printed once.
func TestTailBrokenFrame(t *testing.T) {
	g := &tailGoal{endless: true, waited: true, told: make(map[string]bool)}
	var out bytes.Buffer
	mustTake(t, g, &out,
		`{"type":"data","position":"0/1","subscriptions":[{"id":2,"names":["a.b"]}],"cursor":"1"}`,
		`{"type":"data","position":"0/2","subscriptions":[{"id":2,"events":[{"event":"a.b","id":"x"}]}],"more":true}`)
	if g.events.cursor != "1" {
		t.Errorf("the cursor is %q: the frame has not ended", g.events.cursor)
	}
	mustTake(t, g, &out,
		`{"type":"data","position":"0/3","subscriptions":[{"id":2,"names":["a.b"],"events":[{"event":"a.b","id":"x"},{"event":"a.b","id":"y"}]}],"cursor":"3"}`)
	if want := `{"event":"a.b","id":"x"}` + "\n" + `{"event":"a.b","id":"y"}` + "\n"; out.String() != want || g.events.cursor != "3" || len(g.told) != 0 {
		t.Errorf("at %q, printed\n%s", g.events.cursor, out.String())
	}
}

// What has been answered on this connection is gone on from its cursor, the other from
// the one of the connection before.
func TestTailCursors(t *testing.T) {
	g := &tailGoal{endless: true, waited: true, told: make(map[string]bool)}
	var out bytes.Buffer
	mustTake(t, g, &out,
		`{"type":"data","position":"0/1","subscriptions":[{"id":1,"snapshot":{"token":"t","rows":[]}},{"id":2,"names":["a.b"]}],"cursor":"1"}`)
	mustTake(t, g, &out,
		`{"type":"data","position":"0/2","subscriptions":[{"id":2,"names":["a.b"],"events":[{"event":"gap","because":"x"}]}],"cursor":"2"}`)
	if g.query != (resumePoint{false, "1", "t"}) || g.events != (resumePoint{true, "2", ""}) {
		t.Errorf("the query goes on from %+v, the events from %+v", g.query, g.events)
	}
	const want = `{"type":"data","position":"0/1","subscriptions":[{"id":1,"snapshot":{"token":"t","rows":[]}}],"cursor":"1"}
{"event":"gap","because":"x"}
`
	if out.String() != want {
		t.Errorf("printed\n%s", out.String())
	}
}
