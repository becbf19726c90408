package pgoutput_test

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/walwire/walwire/cdc/pgoutput"
)

func TestDecode(t *testing.T) {
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			var d pgoutput.Decoder
			kind := mustDecode(t, &d, s.src)
			if byte(kind) != s.src[0] {
				t.Fatalf("type %s", kind)
			}
			if diff := difference(&d, kind, s.src); diff != "" {
				t.Fatal(diff)
			}
		})
	}
}

// TestDecode_Fields spells out, without the help of another parser, what some
// messages mean.
func TestDecode_Fields(t *testing.T) {
	var d pgoutput.Decoder
	src := make(map[string][]byte)
	for _, s := range samples() {
		src[s.name] = s.src
		mustDecode(t, &d, s.src) // the fields are used again from here on
	}
	mustDecode(t, &d, src["begin"])
	if want := (pgoutput.Begin{FinalLSN: 0x16B374D848, CommitTime: 770_000_000_123_456, XID: 0xFFFFFFFE}); d.Begin != want {
		t.Errorf("Begin = %+v, want %+v", d.Begin, want)
	}
	if want := time.Date(2024, 5, 26, 0, 53, 20, 123_456_000, time.UTC); !d.Begin.Time().Equal(want) {
		t.Errorf("Begin.Time() = %v, want %v", d.Begin.Time(), want)
	}
	mustDecode(t, &d, src["relation"])
	want := pgoutput.Relation{OID: 16402, Namespace: "Sales", Name: "Tâble \"x\"", Identity: pgoutput.IdentityFull,
		Columns: []pgoutput.RelationColumn{
			{Flags: 1, Name: "id", TypeOID: 20, TypeModifier: -1},
			{Name: "price", TypeOID: 1700, TypeModifier: 655366},
		}}
	if !reflect.DeepEqual(d.Relation, want) {
		t.Errorf("Relation = %+v, want %+v", d.Relation, want)
	}
	if !d.Relation.Columns[0].Key() || d.Relation.Columns[1].Key() {
		t.Error("Key() is not the first column alone")
	}
	mustDecode(t, &d, src["update with old key"])
	if u := &d.Update; u.OldKind != pgoutput.OldKey || u.Unchanged != 1 || u.Old.Len() != 3 || u.New.Len() != 3 {
		t.Errorf("Update = %+v", u)
	}
	mustDecode(t, &d, src["update"])
	if u := &d.Update; u.OldKind != 0 || !u.Old.Absent() || u.Unchanged != 1 {
		t.Errorf("Update without old tuple = %+v", u)
	}
	wantRow := row{{'t', "1"}, {'n', ""}, {'t', ""}, {'u', ""}, {'b', "\x00\x01\xff"}, {'t', "naïve\n\x01"}}
	if got := columns(d.Update.New); !reflect.DeepEqual(got, wantRow) {
		t.Errorf("columns %v, want %v", got, wantRow)
	}
	mustDecode(t, &d, src["truncate cascade restart identity"])
	if m := d.Truncate; !m.Cascade || !m.RestartIdentity || fmt.Sprint(m.RelationOIDs) != "[16402 16403 4294967295]" {
		t.Errorf("Truncate = %+v", m)
	}
	for _, name := range []string{"upstream", "upstairs", "up", ""} {
		if mustDecode(t, &d, newMessage('O').uint64(1).string(name).src); d.Origin.Name != name {
			t.Errorf("Origin.Name = %q, want %q", d.Origin.Name, name)
		}
	}
	mustDecode(t, &d, src["insert without columns"])
	if d.Insert.New.Absent() || d.Insert.New.Len() != 0 {
		t.Error("a row without columns is absent")
	}
}

// TestDecode_ErrTruncated cuts every message at every byte, and adds one.
func TestDecode_ErrTruncated(t *testing.T) {
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			var d pgoutput.Decoder
			for n := range s.src {
				short := s.src[:n:n]
				if _, err := d.Decode(short); err == nil {
					t.Fatalf("first %d of %d bytes: no error", n, len(s.src))
				} else {
					checkError(t, short, err)
				}
			}
			long := append(s.src[:len(s.src):len(s.src)], 0)
			_, err := d.Decode(long)
			want := fmt.Sprintf("decode %s message: end at byte %d: 1 unexpected bytes", pgoutput.MessageType(s.src[0]), len(s.src))
			if err == nil || err.Error() != want {
				t.Fatalf("error %v, want %s", err, want)
			}
		})
	}
}

func TestDecode_Err(t *testing.T) {
	row := func(kind byte) *message { return newMessage(kind).uint32(7) }
	tests := []struct {
		name string
		src  []byte
		want string
	}{
		{"Empty", nil, `decode empty message: type at byte 0: needs 1 bytes, 0 left`},
		{"UnknownType", []byte("S\x00\x00"), `decode unknown ('S') message: type at byte 0: unknown value 'S'`},
		{"UnknownTuple", row('I').tuple('O', "1").src, `decode Insert message: new tuple at byte 5: unknown value 'O'`},
		{"UnknownOldTuple", row('D').tuple('N', "1").src, `decode Delete message: old tuple at byte 5: unknown value 'N'`},
		{"OldTupleTwice", row('U').tuple('O', "1").tuple('O', "1").src, `decode Update message: new tuple at byte 14: unknown value 'O'`},
		{"UnknownColumn", row('U').tuple('K', "1", nil).byte('N').uint16(2).byte('n', 'x').src,
			`decode Update message: new tuple column 1 at byte 19: unknown value 'x'`},
		{"NegativeLength", row('I').byte('N').uint16(1).byte('t').uint32(-2).src,
			`decode Insert message: new tuple column 0 at byte 9: negative length -2`},
		{"LongLength", row('I').byte('N').uint16(1).byte('b').uint32(1 << 30).string("x").src,
			`decode Insert message: new tuple column 0 at byte 13: needs 1073741824 bytes, 2 left`},
		{"ManyColumns", row('D').byte('O').uint16(65535).byte('n').src,
			`decode Delete message: old tuple at byte 6: count 65535 does not fit into the 3 bytes left`},
		{"ManyRelations", newMessage('T').uint32(-1).byte(0).uint32(7).src,
			`decode Truncate message: relations at byte 6: count 4294967295 does not fit into the 4 bytes left`},
		{"TruncateFlags", newMessage('T').uint32(1).byte(4).uint32(7).src, `decode Truncate message: flags at byte 5: unknown value '\x04'`},
		{"ManyRelationColumns", row('R').string("s").string("t").byte('d').uint16(65535).src,
			`decode Relation message: columns at byte 12: count 65535 does not fit into the 0 bytes left`},
		{"Identity", row('R').string("s").string("t").byte('x').uint16(0).src, `decode Relation message: replica identity at byte 9: unknown value 'x'`},
		{"NoNUL", row('Y').string("s").byte('t').src, `decode Type message: name at byte 7: no NUL in the 1 bytes left`},
		{"MessageFlags", newMessage('M').byte(2).uint64(1).string("p").block("c").src, `decode Message message: flags at byte 1: unknown value '\x02'`},
		{"NegativeContent", newMessage('M').byte(1).uint64(1).string("p").uint32(-1).src, `decode Message message: content at byte 12: negative length -1`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var d pgoutput.Decoder
			_, err := d.Decode(tt.src)
			if err == nil || err.Error() != tt.want {
				t.Fatalf("error %v\nwant  %s", err, tt.want)
			}
			checkError(t, tt.src, err)
		})
	}
}

// TestDecode_ErrRelation checks that a bad row is blamed on its relation.
func TestDecode_ErrRelation(t *testing.T) {
	var d pgoutput.Decoder
	for _, kind := range []byte("IUD") {
		_, err := d.Decode(newMessage(kind).uint32(16402).byte('?').src)
		var format *pgoutput.FormatError
		if !errors.As(err, &format) || format.RelationOID != 16402 {
			t.Errorf("%c: error %v blames relation %d", kind, err, format.RelationOID)
		}
	}
}

// TestDecode_ErrMemory checks that a claimed size costs no memory.
func TestDecode_ErrMemory(t *testing.T) {
	claims := [][]byte{
		newMessage('I').uint32(7).byte('N').uint16(65535).src,
		newMessage('I').uint32(7).byte('N').uint16(1).byte('t').uint32(1 << 30).src,
		newMessage('T').uint32(1 << 30).byte(0).src,
		newMessage('R').uint32(7).string("s").string("t").byte('d').uint16(65535).src,
		newMessage('M').byte(1).uint64(1).string("p").uint32(1 << 30).src,
	}
	for _, src := range claims {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var d pgoutput.Decoder
		if _, err := d.Decode(src); err == nil {
			t.Fatalf("%s: no error", quote(src))
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 16<<10 {
			t.Errorf("%s: allocated %d bytes", quote(src), n)
		}
	}
}

// TestDecode_Allocs pins that rows cost no allocation.
func TestDecode_Allocs(t *testing.T) {
	var d pgoutput.Decoder
	for _, s := range append(samples(), sample{"appointment", appointmentUpdate()}) {
		if s.src[0] == 'R' {
			continue // its strings and columns are the caller's to keep
		}
		mustDecode(t, &d, s.src)
		n := testing.AllocsPerRun(100, func() {
			if _, err := d.Decode(s.src); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", s.name, n)
		}
	}
}

func mustDecode(tb testing.TB, d *pgoutput.Decoder, src []byte) pgoutput.MessageType {
	tb.Helper()
	kind, err := d.Decode(src)
	if err != nil {
		tb.Fatalf("%s: %v", quote(src), err)
	}
	return kind
}
