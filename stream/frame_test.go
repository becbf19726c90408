package stream

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"
)

// joined is what a client makes of the parts of a frame.
type joined struct {
	Type, Position, Time string
	More                 bool
	Subscriptions        []joinedUpdate
}

type joinedUpdate struct {
	ID                       int
	Reset                    bool
	Snapshot                 *joinedSnapshot
	Added, Modified, Removed []map[string]any
}

type joinedSnapshot struct {
	Key     []string
	Columns []map[string]string
	Rows    []map[string]any
}

func join(t *testing.T, parts []string) joined {
	t.Helper()
	var whole joined
	for i, part := range parts {
		var f joined
		if err := json.Unmarshal([]byte(part), &f); err != nil {
			t.Fatalf("%s: %v", part, err)
		}
		if f.More != (i < len(parts)-1) {
			t.Fatalf("part %d of %d says more: %t", i+1, len(parts), f.More)
		}
		if i == 0 {
			whole = f
			continue
		}
		for _, u := range f.Subscriptions {
			last := &whole.Subscriptions[len(whole.Subscriptions)-1]
			if last.ID != u.ID {
				whole.Subscriptions = append(whole.Subscriptions, u)
				continue
			}
			if u.Snapshot != nil {
				last.Snapshot.Rows = append(last.Snapshot.Rows, u.Snapshot.Rows...)
			}
			last.Added = append(last.Added, u.Added...)
			last.Modified = append(last.Modified, u.Modified...)
			last.Removed = append(last.Removed, u.Removed...)
		}
	}
	whole.More = false
	return whole
}

// Wherever a frame is cut, its parts together say what the whole says, and no
// part is larger than the bound and one row.
func TestFramesCut(t *testing.T) {
	make := func(maxBytes int) []string {
		s := newScript(t, people, 0)
		s.maximum = maxBytes
		first := s.snapshot(1, true, s.row(1, "ann"), s.row(2, "bob"), s.row(3, "cat"))
		first.entries = commits(1, []op{s.op(opAdded, 4, "dan")}, []op{s.op(opModified, 1, "anna"), s.op(opRemoved, 2, "bob")}).entries
		second := commits(2, []op{s.op(opAdded, 5, "eve"), s.op(opAdded, 6, "fay"), s.op(opModified, 7, "gil"), s.op(opRemoved, 8, ""), s.op(opRemoved, 9, "")})
		third := s.snapshot(3, false)
		fourth := commits(4, []op{s.op(opRemoved, 1, "")})
		s.write(0x10, nine, first, second, third, fourth)
		return s.frames
	}
	whole := make(1 << 20)
	if len(whole) != 1 {
		t.Fatalf("%d frames without a bound", len(whole))
	}
	want := join(t, whole)
	most := 0
	for maxBytes := range len(whole[0]) + 10 {
		parts := make(maxBytes)
		most = max(most, len(parts))
		if got := join(t, parts); !reflect.DeepEqual(got, want) {
			t.Fatalf("cut at %d octets: %v\nwant %v", maxBytes, got, want)
		}
	}
	if most < 5 {
		t.Errorf("at most %d parts: the cuts were not tried", most)
	}
}

// A client that is gone ends the writing.
func TestFramesStop(t *testing.T) {
	s := newScript(t, people, 0)
	gone, calls := errors.New("gone"), 0
	f := frames{maxBytes: 1, emit: func([]byte) error { calls++; return gone }}
	err := f.write([]update{s.snapshot(1, false, s.row(1, "ann"), s.row(2, "bob"), s.row(3, "cat"))})
	if !errors.Is(err, gone) || calls != 1 {
		t.Errorf("%d frames after the first failed: %v", calls-1, err)
	}
}

// A gap that comes before a channel's own events is in one array with them, however many
// there are and wherever the frame is cut.
func TestFramesGap(t *testing.T) {
	event := func(name string) *entry {
		return &entry{ops: []op{{kind: opEvent, data: []byte(`{"event":"` + name + `"}`)}}}
	}
	for _, entries := range [][]*entry{nil, {event("a.a")}, {event("a.a"), event("a.b")}} {
		for _, maxBytes := range []int{10_000, 1} {
			var got []string
			f := frames{maxBytes: maxBytes, emit: func(frame []byte) error {
				var part struct {
					Subscriptions []struct{ Events []struct{ Event string } }
				}
				if err := json.Unmarshal(frame, &part); err != nil {
					t.Fatalf("%s: %v", frame, err)
				}
				for _, e := range part.Subscriptions[0].Events {
					got = append(got, e.Event)
				}
				return nil
			}}
			if err := f.write([]update{{id: 1, pull: &pull{gaps: []gap{{because: "x"}}}, entries: entries}}); err != nil {
				t.Fatal(err)
			}
			want := []string{"gap", "a.a", "a.b"}[:1+len(entries)]
			if !reflect.DeepEqual(got, want) {
				t.Errorf("told %v, want %v", got, want)
			}
		}
	}
}
