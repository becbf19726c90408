package pgoutput_test

import (
	"bytes"
	"math"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"weak"

	"github.com/walwire/walwire/cdc/pgoutput"
)

// TestArena_Clone keeps many rows whose source is overwritten by the next one.
func TestArena_Clone(t *testing.T) {
	var d pgoutput.Decoder
	var arena pgoutput.Arena
	var buffer []byte
	var kept []pgoutput.Tuple
	var want []row
	size := int64(0)
	for i := range 3000 {
		wide := strings.Repeat("x", i*i%(3*pgoutput.OwnSize)) // some get memory of their own
		src := newMessage('I').uint32(7).tuple('N', strconv.Itoa(i), nil, wide, "", unchanged{}).src
		buffer = append(buffer[:0], src...)
		mustDecode(t, &d, buffer)
		want = append(want, columns(d.Insert.New))
		kept = append(kept, arena.Clone(d.Insert.New))
		size += int64(d.Insert.New.Size())
		clear(buffer)
	}
	for i := range kept {
		if got := columns(kept[i]); !reflect.DeepEqual(got, want[i]) {
			t.Fatalf("row %d is no longer what it was: %.100v", i, got)
		}
	}
	if arena.Bytes() != size {
		t.Errorf("Bytes() = %d, want %d", arena.Bytes(), size)
	}
}

func TestArena_CloneAbsent(t *testing.T) {
	var arena pgoutput.Arena
	for name, tuple := range map[string]pgoutput.Tuple{
		"Clone": arena.Clone(pgoutput.Tuple{}), "CloneOver": arena.CloneOver(pgoutput.Tuple{}, arena.Row(nil)),
	} {
		if !tuple.Absent() || tuple.Len() != 0 {
			t.Errorf("%s of an absent tuple is not absent", name)
		}
	}
	if empty := arena.Clone(arena.Row(nil)); empty.Absent() {
		t.Error("a row without columns became absent")
	}
	if arena.Bytes() != 0 {
		t.Errorf("Bytes() = %d", arena.Bytes())
	}
}

// TestArena_CloneAppend checks that a value's end can't be grown into the next.
func TestArena_CloneAppend(t *testing.T) {
	var arena pgoutput.Arena
	first := arena.Row([][]byte{[]byte("a"), []byte("b")})
	second := arena.Row([][]byte{[]byte("c")})
	for i := range 2 {
		_, data := first.Column(i)
		_ = append(data, '!')
	}
	mustEqual(t, first, new(pgoutput.Arena).Row([][]byte{[]byte("a"), []byte("b")}))
	mustEqual(t, second, new(pgoutput.Arena).Row([][]byte{[]byte("c")}))
}

func TestArena_CloneOver(t *testing.T) {
	var d pgoutput.Decoder
	var arena pgoutput.Arena
	mustDecode(t, &d, newMessage('U').uint32(7).
		tuple('O', "1", "long", nil, unchanged{}, "old").
		tuple('N', "2", unchanged{}, unchanged{}, unchanged{}, nil, unchanged{}).src)
	if d.Update.Unchanged != 4 {
		t.Errorf("Unchanged = %d", d.Update.Unchanged)
	}
	got := arena.CloneOver(d.Update.New, d.Update.Old)
	want := row{{'t', "2"}, {'t', "long"}, {'n', ""}, {'u', ""}, {'n', ""}, {'u', ""}}
	if !reflect.DeepEqual(columns(got), want) {
		t.Errorf("columns %v, want %v", columns(got), want)
	}
	if arena.Bytes() != int64(got.Size()) {
		t.Errorf("Bytes() = %d, want %d", arena.Bytes(), got.Size())
	}
	mustEqual(t, arena.CloneOver(d.Update.New, pgoutput.Tuple{}), d.Update.New)
}

func TestArena_Row(t *testing.T) {
	var arena pgoutput.Arena
	values := [][]byte{[]byte("1"), nil, {}, bytes.Repeat([]byte("x"), pgoutput.ChunkSize)}
	got := arena.Row(values)
	want := row{{'t', "1"}, {'n', ""}, {'t', ""}, {'t', strings.Repeat("x", pgoutput.ChunkSize)}}
	if !reflect.DeepEqual(columns(got), want) {
		t.Errorf("columns %.100v", columns(got))
	}
	if _, data := got.Column(2); data == nil {
		t.Error("an empty value is nil")
	}
}

// TestArena_Release checks that a chunk goes once nobody holds a tuple in it, and
// not before.
func TestArena_Release(t *testing.T) {
	var arena pgoutput.Arena
	value := bytes.Repeat([]byte("x"), 1000)
	held := arena.Row([][]byte{value})
	neighbour := weakData(arena.Row([][]byte{value})) // same chunk as held
	for range pgoutput.ChunkSize / len(value) {
		arena.Row([][]byte{value})
	}
	runtime.GC()
	if neighbour.Value() == nil {
		t.Fatal("chunk released while a tuple in it is held")
	}
	mustEqual(t, held, new(pgoutput.Arena).Row([][]byte{value}))
	held = pgoutput.Tuple{}
	runtime.GC()
	if neighbour.Value() != nil {
		t.Fatal("chunk not released though no tuple in it is held")
	}
	runtime.KeepAlive(&arena)
}

func weakData(t pgoutput.Tuple) weak.Pointer[byte] {
	_, data := t.Column(0)
	return weak.Make(&data[0])
}

// TestArena_Allocs pins that kept rows share allocations.
func TestArena_Allocs(t *testing.T) {
	var d pgoutput.Decoder
	var arena pgoutput.Arena
	src := appointmentUpdate()
	const rows = 1000
	before := arena.Bytes()
	fewest := math.Inf(1) // of several tries: the runtime's own allocations count as well
	for range 5 {
		fewest = min(fewest, testing.AllocsPerRun(1, func() {
			before = arena.Bytes()
			for range rows {
				mustDecode(t, &d, src)
				arena.Clone(d.Update.Old)
				arena.Clone(d.Update.New)
			}
		}))
	}
	if limit := float64(arena.Bytes()-before)/pgoutput.ChunkSize*1.3 + 2; fewest > limit {
		t.Errorf("%v allocations for %d rows, want at most %.0f", fewest, rows, limit)
	}
}

func mustEqual(tb testing.TB, got, want pgoutput.Tuple) {
	tb.Helper()
	if got.Absent() != want.Absent() || !reflect.DeepEqual(columns(got), columns(want)) {
		tb.Fatalf("tuple %.200v, want %.200v", columns(got), columns(want))
	}
}
