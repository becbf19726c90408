package stream

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/walwire/walwire/auth"
	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/cdc/pgvalue"
	"github.com/walwire/walwire/mapping/predicate"
)

// texts is a row in PostgreSQL's text; nil is NULL.
type texts []any

func (r texts) Column(ordinal int) (text []byte, null bool) {
	if r[ordinal] == nil {
		return nil, true
	}
	return []byte(fmt.Sprint(r[ordinal])), false
}

func column(name, typeName string, kind pgvalue.Kind, elem *pgvalue.Type) predicate.Column {
	return predicate.Column{Name: name, Type: &pgvalue.Type{Name: typeName, Kind: kind, Elem: elem}}
}

var people = []predicate.Column{column("id", "integer", pgvalue.KindInt, nil), column("name", "text", pgvalue.KindText, nil)}

// script makes the frames of one vector with the encoder.
type script struct {
	t       *testing.T
	frames  []string
	mask    *mask
	maximum int // octets of a frame
	cursor  string
}

func newScript(t *testing.T, columns []predicate.Column, keys ...int) *script {
	all := make([]int, len(columns))
	for i := range all {
		all[i] = i
	}
	return &script{t: t, mask: newMask(columns, keys, all, false), maximum: 1 << 20, cursor: "cursor"}
}

func (s *script) row(values ...any) encoding {
	s.t.Helper()
	text, keyEnd, err := s.mask.append(nil, texts(values))
	if err != nil {
		s.t.Fatal(err)
	}
	return encoding{json: text, key: keyEnd}
}

func (s *script) op(kind opKind, values ...any) op {
	e := s.row(values...)
	o := op{kind: kind, key: string(e.json[:e.key]), data: e.json}
	if kind == opRemoved {
		o.data = e.keyJSON()
	}
	return o
}

// snapshot is the first update of a subscription.
func (s *script) snapshot(id uint64, reset bool, rows ...encoding) update {
	b := (&view{mask: s.mask}).base()
	u := update{id: id, snapshot: true, reset: reset, base: base{head: b.head}, token: "token"}
	for _, r := range rows {
		u.rows = append(u.rows, r.json)
	}
	return u
}

func commits(id uint64, ops ...[]op) update {
	u := update{id: id}
	for _, o := range ops {
		u.entries = append(u.entries, &entry{ops: o})
	}
	return u
}

// told is an update with events, each of a commit of its own.
func told(id uint64, events ...string) update {
	var ops [][]op
	for _, e := range events {
		ops = append(ops, []op{{kind: opEvent, data: []byte(e)}})
	}
	return commits(id, ops...)
}

func (s *script) write(position cdc.LSN, micros int64, updates ...update) {
	f := frames{maxBytes: s.maximum, position: position, time: micros, cursor: s.cursor, emit: func(frame []byte) error {
		s.frames = append(s.frames, string(frame))
		return nil
	}}
	if err := f.write(updates); err != nil {
		s.t.Fatal(err)
	}
}

func (s *script) say(v any) { s.frames = append(s.frames, string(mustJSON(v))) }

// micros of 2026-03-01 09:00 UTC, in PostgreSQL's time.
var nine = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC).Sub(postgresEpoch).Microseconds()

// scripts are the vectors as the server makes them.
var scripts = map[string]func(t *testing.T) *script{
	"snapshot": func(t *testing.T) *script {
		s := newScript(t, people, 0)
		s.write(0x10, 0, s.snapshot(1, false, s.row(1, "ann"), s.row(2, "bob")))
		return s
	},
	"snapshot-empty": func(t *testing.T) *script {
		s := newScript(t, people, 0)
		s.write(0x10, 0, s.snapshot(1, false))
		s.write(0x20, nine, commits(1, []op{s.op(opAdded, 1, "ann")}))
		return s
	},
	"commit": func(t *testing.T) *script {
		s := newScript(t, people, 0)
		s.write(0x10, 0, s.snapshot(1, false, s.row(1, "ann"), s.row(2, "bob")))
		s.write(0x20, nine, commits(1, []op{s.op(opRemoved, 2, "bob"), s.op(opAdded, 3, "cat"), s.op(opModified, 1, "anna")}))
		return s
	},
	"two-subscriptions": func(t *testing.T) *script {
		s := newScript(t, people, 0)
		s.write(0x10, 0, s.snapshot(1, false, s.row(1, "ann")), s.snapshot(2, false, s.row(2, "bob")))
		s.write(0x20, nine, commits(1, []op{s.op(opRemoved, 1, "ann")}), commits(2, []op{s.op(opAdded, 1, "ann")}))
		s.write(0x30, nine+1, commits(2, []op{s.op(opModified, 2, "bo")}))
		return s
	},
	"merged": func(t *testing.T) *script {
		s := newScript(t, people, 0)
		s.write(0x10, 0, s.snapshot(1, false, s.row(1, "ann"), s.row(2, "bob")))
		s.write(0x40, nine+1, commits(1,
			[]op{s.op(opAdded, 3, "c"), s.op(opAdded, 4, "dan"), s.op(opRemoved, 1, "ann"), s.op(opModified, 2, "bo")},
			[]op{s.op(opModified, 3, "cat"), s.op(opRemoved, 4, "dan"), s.op(opAdded, 1, "anna"), s.op(opRemoved, 2, "bo")}))
		return s
	},
	"snapshot-and-changes": func(t *testing.T) *script {
		s := newScript(t, people, 0)
		u := s.snapshot(1, false, s.row(1, "ann"), s.row(2, "bob"))
		u.entries = commits(1, []op{s.op(opAdded, 3, "cat"), s.op(opModified, 1, "anna"), s.op(opRemoved, 2, "bob")}).entries
		s.write(0x20, nine, u)
		return s
	},
	"returned": func(t *testing.T) *script {
		s := newScript(t, people, 0)
		s.write(0x10, 0, s.snapshot(1, false, s.row(1, "ann")))
		s.write(0x20, nine, commits(1, []op{s.op(opRemoved, 1, "ann")}))
		s.write(0x30, nine+1, commits(1, []op{s.op(opAdded, 1, "anna")}))
		return s
	},
	"time": func(t *testing.T) *script {
		s := newScript(t, people, 0)
		s.write(0xFFFFFFFF_FFFFFFFF, -1, s.snapshot(1, false, s.row(1, "ann")))
		return s
	},
	"continued-snapshot": func(t *testing.T) *script {
		s := newScript(t, people, 0)
		s.maximum = 1
		s.write(0x10, 0, s.snapshot(1, false, s.row(1, "ann"), s.row(2, "bob"), s.row(3, "cat")))
		return s
	},
	"continued-commit": func(t *testing.T) *script {
		s := newScript(t, people, 0)
		s.write(0x10, 0, s.snapshot(1, false, s.row(1, "ann"), s.row(2, "bob")), s.snapshot(2, false))
		s.maximum = 1
		s.write(0x20, nine,
			commits(1, []op{s.op(opAdded, 3, "cat"), s.op(opAdded, 4, "dan"), s.op(opModified, 1, "anna"), s.op(opRemoved, 2, "bob")}),
			commits(2, []op{s.op(opAdded, 5, "eve"), s.op(opAdded, 6, "fay")}))
		return s
	},
	"continued-sections": func(t *testing.T) *script {
		s := newScript(t, people, 0)
		s.write(0x10, 0, s.snapshot(1, false, s.row(1, "ann"), s.row(2, "bob")), s.snapshot(2, false))
		s.maximum = 180
		s.write(0x20, nine,
			commits(1, []op{s.op(opAdded, 3, "cat"), s.op(opAdded, 4, "dan"), s.op(opModified, 1, "anna"), s.op(opRemoved, 2, "bob")}),
			commits(2, []op{s.op(opAdded, 5, "eve"), s.op(opAdded, 6, "fay")}))
		return s
	},
	"reset": func(t *testing.T) *script {
		s := newScript(t, people, 0)
		s.write(0x10, 0, s.snapshot(1, false, s.row(1, "ann"), s.row(2, "bob")), s.snapshot(2, false, s.row(1, "ann")))
		narrow := newScript(t, people[:1], 0)
		s.write(0x20, 0, narrow.snapshot(1, true, narrow.row(7)), commits(2, []op{s.op(opModified, 1, "anna")}))
		s.write(0x30, nine, commits(1, []op{narrow.op(opAdded, 8)}))
		return s
	},
	"continued-reset": func(t *testing.T) *script {
		s := newScript(t, people, 0)
		s.write(0x10, 0, s.snapshot(1, false, s.row(1, "ann")))
		s.maximum = 1
		u := s.snapshot(1, true, s.row(2, "bob"), s.row(3, "cat"))
		u.entries = commits(1, []op{s.op(opRemoved, 2, "bob")}).entries
		s.write(0x20, 0, u)
		return s
	},
	"composite-key": func(t *testing.T) *script {
		s := newScript(t, []predicate.Column{
			column("name", "text", pgvalue.KindText, nil), column("n", "bigint", pgvalue.KindInt8, nil), column("branch", "text", pgvalue.KindText, nil),
		}, 2, 1)
		s.write(0x10, 0, s.snapshot(1, false, s.row("x", 11, "a"), s.row("y", 1, "a1")))
		s.write(0x20, nine, commits(1, []op{s.op(opRemoved, "y", 1, "a1")}))
		return s
	},
	"strings": func(t *testing.T) *script {
		s := newScript(t, []predicate.Column{people[0], column(`na"me`, "text", pgvalue.KindText, nil)}, 0)
		s.write(0x10, 0, s.snapshot(1, false, s.row(1, "quote \" backslash \\ slash / newline \n tab \t bell \a del \x7f ü \u2028 \U0001F600 <&>")))
		return s
	},
	"values": func(t *testing.T) *script {
		text := &pgvalue.Type{Name: "text", Kind: pgvalue.KindText}
		s := newScript(t, []predicate.Column{
			people[0],
			column("b", "boolean", pgvalue.KindBool, nil), column("i2", "smallint", pgvalue.KindInt, nil), column("i4", "integer", pgvalue.KindInt, nil),
			column("i8", "bigint", pgvalue.KindInt8, nil), column("n", "numeric", pgvalue.KindNumeric, nil), column("nan", "numeric", pgvalue.KindNumeric, nil),
			column("f4", "real", pgvalue.KindFloat4, nil), column("f8", "double precision", pgvalue.KindFloat8, nil), column("t", "text", pgvalue.KindText, nil),
			column("c", "character(3)", pgvalue.KindBPChar, nil), column("u", "uuid", pgvalue.KindUUID, nil), column("d", "date", pgvalue.KindDate, nil),
			column("ts", "timestamp without time zone", pgvalue.KindTimestamp, nil), column("tz", "timestamp with time zone", pgvalue.KindTimestampTZ, nil),
			column("inf", "timestamp with time zone", pgvalue.KindTimestampTZ, nil), column("tm", "time without time zone", pgvalue.KindTime, nil),
			column("iv", "interval", pgvalue.KindInterval, nil), column("by", "bytea", pgvalue.KindBytea, nil), column("j", "json", pgvalue.KindJSON, nil),
			column("jb", "jsonb", pgvalue.KindJSONB, nil), column("ta", "text[]", pgvalue.KindArray, text), column("na", "integer[]", pgvalue.KindArray, people[0].Type),
			column("nul", "text", pgvalue.KindText, nil),
		}, 0)
		s.write(0x10, 0, s.snapshot(1, false, s.row(1, "t", -5, 7, "9007199254740993", "12.50", "NaN", "1.5", "-Infinity", "x", "a  ", "6f1c0000-0000-0000-0000-000000000001",
			"2026-03-01", "2026-03-01 09:00:00.5", "2026-03-01 09:00:00+00", "infinity", "09:00:00", "P1DT2H", `\x0001ff`, `{"a":[1,null]}`, "7", `{a,NULL,"c,d"}`, "{{1,2},{3,4}}", nil)))
		return s
	},
	"error-subscription": func(t *testing.T) *script {
		s := newScript(t, people, 0)
		s.write(0x10, 0, s.snapshot(1, false, s.row(1, "ann")), s.snapshot(2, false, s.row(2, "bob")))
		s.say(errorFrame(1, errorf(CodeFailedPrecondition, "table staff has changed its columns")))
		s.say(errorFrame(3, errorf(CodePermissionDenied, "table %q is not open to this token's roles", "x")))
		s.write(0x20, nine, commits(2, []op{s.op(opRemoved, 2, "bob")}))
		return s
	},
	"error-wait": func(t *testing.T) *script {
		s := newScript(t, people, 0)
		s.write(0x10, 0, s.snapshot(1, false, s.row(1, "ann")))
		s.say(errorAnswer{Type: "error", Wait: 1, Code: CodeDeadlineExceeded, Message: "0/20 has not been reached within 5s"})
		s.write(0x20, nine, commits(1, []op{s.op(opRemoved, 1, "ann")}))
		return s
	},
	"error-connection": func(t *testing.T) *script {
		s := newScript(t, people, 0)
		s.write(0x10, 0, s.snapshot(1, false, s.row(1, "ann")))
		for _, code := range []Code{CodeInvalidArgument, CodeUnauthenticated, CodePermissionDenied, CodeNotFound, CodeFailedPrecondition, CodeResourceExhausted, CodeDeadlineExceeded, CodeUnavailable, CodeInternal} {
			s.say(errorFrame(0, errorf(code, "of code %s", code)))
		}
		return s
	},
	"ordered": func(t *testing.T) *script {
		s := newScript(t, people, 0)
		first := s.snapshot(1, false, s.row(2, "bob"), s.row(1, "ann"))
		first.order = []string{"68", "6G"}
		s.write(0x10, 0, first)
		added, modified := s.op(opAdded, 3, "cat"), s.op(opModified, 2, "bob")
		added.order, modified.order = "6C", "6O"
		s.write(0x20, 0, commits(1, []op{modified, added}))
		s.write(0x30, 0, commits(1, []op{s.op(opRemoved, 1, "ann")}))
		return s
	},
	"continued-ordered": func(t *testing.T) *script {
		s := newScript(t, people, 0)
		s.maximum = 60
		u := s.snapshot(1, false, s.row(1, "ann"), s.row(2, "bob"))
		u.order = []string{"68", "6C"}
		added := s.op(opAdded, 3, "cat")
		added.order = "60"
		u.entries = []*entry{{ops: []op{added}}}
		s.write(0x10, 0, u)
		return s
	},
	"cursor": func(t *testing.T) *script {
		s := newScript(t, people, 0)
		s.write(0x10, 0, s.snapshot(1, false))
		s.cursor = "later"
		s.write(0x20, 0)
		return s
	},
	"resumed": func(t *testing.T) *script {
		s := newScript(t, people, 0)
		u := commits(1, []op{s.op(opAdded, 1, "ann")})
		u.resumed = true
		s.write(0x10, 0, u)
		s.write(0x10, 0, s.snapshot(2, true, s.row(2, "bob")))
		return s
	},
	"events": func(t *testing.T) *script {
		s := newScript(t, people, 0)
		names := (&listener{names: []string{"person.bulk_updated", "person.created", "person.renamed"}, at: 0x10}).head()
		s.write(0x10, 0, s.snapshot(1, false), update{id: 3, names: names})
		s.write(0x20, nine, commits(1, []op{s.op(opAdded, 1, "ann")}), told(3, `{"event":"person.created","id":"18-0-0","position":"0/20","time":"2026-03-01T09:00:00.000000Z","table":"people","key":{"id":1},"row":{"id":1,"name":"ann"}}`))
		s.write(0x40, nine+1, commits(1, []op{s.op(opModified, 1, "anna")}, []op{s.op(opModified, 1, "anne")}),
			told(3, `{"event":"person.renamed","id":"28-0-1","position":"0/30","time":"2026-03-01T09:00:00.000001Z","table":"people","key":{"id":1},"row":{"id":1,"name":"anna"},"old":{"name":"ann"},"changed":["name"]}`,
				`{"event":"person.renamed","id":"38-0-1","position":"0/40","time":"2026-03-01T09:00:00.000001Z","table":"people","key":{"id":1},"row":{"id":1,"name":"anne"},"old":{"name":"anna"},"changed":["name"]}`))
		s.write(0x50, nine+2, told(3, `{"event":"person.bulk_updated","id":"48-0-2","position":"0/50","time":"2026-03-01T09:00:00.000002Z","table":"people","count":2,"keys":[{"id":7},{"id":8}]}`))
		s.write(0x60, nine+3, told(3, string(gap{table: "people", to: 0x60, until: nine + 3, because: "the table was truncated"}.json())))
		return s
	},
	"events-resumed": func(t *testing.T) *script {
		s := newScript(t, people, 0)
		u := told(3, string(gap{from: 0x10, to: 0x20, until: nine, because: "the log does not reach back to where the client was"}.json()),
			`{"event":"person.left","id":"28-0-2","position":"0/30","time":"2026-03-01T09:00:00.000001Z","table":"people","key":{"id":1}}`,
			`{"event":"person.left","id":"28-1-2","position":"0/30","time":"2026-03-01T09:00:00.000001Z","table":"people","key":{"id":2}}`)
		u.names = (&listener{names: []string{"person.left"}, at: 0x10}).head()
		s.maximum = 1
		s.write(0x30, nine+1, u)
		return s
	},
	"answers": func(t *testing.T) *script {
		s := newScript(t, people, 0)
		hub := &Hub{}
		hub.visited.Store(0x10)
		p := &auth.Principal{ID: "ann", Company: "c1", Roles: []string{"staff", "owner"}, Expires: time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)}
		ann := &session{id: "001122334455667788", server: &Server{hub: hub, options: ServerOptions{FrameBytes: 64 << 10}}}
		ann.principal.Store(p)
		s.say(ann.welcome())
		s.write(0x10, 0, s.snapshot(1, false, s.row(1, "ann")), s.snapshot(2, false, s.row(2, "bob")))
		s.frames = append(s.frames, string(waitedFrame(1, 0x20)))
		s.say(idAnswer{Type: "pong", ID: 7})
		s.say(idAnswer{Type: "pong"})
		s.say(idAnswer{Type: "unsubscribed", ID: 1})
		return s
	},
}

// The vectors, as the server makes them: byte for byte.
func TestVectorsServer(t *testing.T) {
	files, err := filepath.Glob("testdata/frames/*.json")
	if err != nil || len(files) < len(scripts) {
		t.Fatalf("%d vectors, want %d: %v", len(files), len(scripts), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		if name == "unknown" {
			continue // what no server sends
		}
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var v struct {
				Steps []struct{ Frame json.RawMessage }
			}
			if err := json.Unmarshal(text, &v); err != nil {
				t.Fatal(err)
			}
			if scripts[name] == nil {
				t.Fatal("nobody makes its frames")
			}
			made := scripts[name](t).frames
			if len(made) != len(v.Steps) {
				t.Fatalf("%d frames are made, want %d:\n%s", len(made), len(v.Steps), strings.Join(made, "\n"))
			}
			for i, step := range v.Steps {
				var want bytes.Buffer
				if err := json.Compact(&want, step.Frame); err != nil {
					t.Fatal(err)
				}
				if made[i] != want.String() {
					t.Errorf("frame %d is\n%s\nwant\n%s", i, made[i], want.String())
				}
			}
		})
	}
}
