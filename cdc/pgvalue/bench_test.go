package pgvalue_test

import (
	"testing"

	"github.com/walwire/walwire/cdc/pgvalue"
)

// column is a column of a row in text format.
type column struct {
	typ  *pgvalue.Type
	text []byte
}

// appointment is a row of 17 columns as the reference schema has them.
func appointment() []column {
	id := &pgvalue.Type{Kind: pgvalue.KindUUID, Name: "uuid"}
	text := &pgvalue.Type{Kind: pgvalue.KindText, Name: "text"}
	at := &pgvalue.Type{Kind: pgvalue.KindTimestampTZ, Name: "timestamptz"}
	tags := &pgvalue.Type{Kind: pgvalue.KindArray, Name: "text[]", Elem: text}
	a := []byte("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")
	return []column{
		{id, a}, {id, a}, {id, a}, {id, a}, {id, a},
		{text, []byte("haircut and beard")}, {text, []byte("confirmed")},
		{at, []byte("2026-03-01 09:00:00+00")}, {at, []byte("2026-03-01 09:45:00+00")},
		{text, []byte("Prefers the chair by the window.\nCalls \"late\" a virtue; für später.")},
		{text, []byte("paid cash last time")},
		{&pgvalue.Type{Kind: pgvalue.KindNumeric, Name: "numeric"}, []byte("42.50")},
		{at, []byte("2026-02-14 18:22:03.123456+00")}, {at, []byte("2026-02-27 07:01:59.5+00")},
		{&pgvalue.Type{Kind: pgvalue.KindBool, Name: "bool"}, []byte("t")},
		{tags, []byte(`{vip,"with dog",NULL}`)},
		{&pgvalue.Type{Kind: pgvalue.KindJSONB, Name: "jsonb"}, []byte(`{"reminders": true, "minutes": 30}`)},
	}
}

func appendRow(dst []byte, row []column) ([]byte, error) {
	dst = append(dst, '[')
	for i, c := range row {
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = c.typ.AppendJSON(dst, c.text); err != nil {
			return dst, err
		}
	}
	return append(dst, ']'), nil
}

func BenchmarkAppendJSON17Columns(b *testing.B) {
	row := appointment()
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, err = appendRow(buf[:0], row); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkKey17Columns(b *testing.B) {
	row := appointment()
	var scratch []byte
	b.ReportAllocs()
	for b.Loop() {
		for _, c := range row {
			var err error
			if _, scratch, err = c.typ.Key(scratch, c.text); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// TestAllocations: neither the wire form nor the key of any common value
// allocates into memory that is large enough.
func TestAllocations(t *testing.T) {
	row := append(appointment(),
		column{&pgvalue.Type{Kind: pgvalue.KindInt8, Name: "int8"}, []byte("-42")},
		column{&pgvalue.Type{Kind: pgvalue.KindFloat8, Name: "float8"}, []byte("0.1234567890123456")},
		column{&pgvalue.Type{Kind: pgvalue.KindInterval, Name: "interval"}, []byte("P1DT2H3.5S")},
		column{&pgvalue.Type{Kind: pgvalue.KindNet, Name: "inet"}, []byte("2001:db8::1/64")},
		column{&pgvalue.Type{Kind: pgvalue.KindTimeTZ, Name: "timetz"}, []byte("09:30:00.5-05:30")},
		column{&pgvalue.Type{Kind: pgvalue.KindBytea, Name: "bytea"}, []byte(`\x00112233445566778899`)},
		column{&pgvalue.Type{Kind: pgvalue.KindDate, Name: "date"}, []byte("0044-03-15 BC")})
	buf := make([]byte, 0, 4096)
	for _, c := range row {
		if n := testing.AllocsPerRun(100, func() { buf, _ = c.typ.AppendJSON(buf[:0], c.text) }); n != 0 {
			t.Errorf("AppendJSON of %s: %v allocations", c.typ.Name, n)
		}
		if n := testing.AllocsPerRun(100, func() { _, buf, _ = c.typ.Key(buf, c.text) }); n != 0 {
			t.Errorf("Key of %s: %v allocations", c.typ.Name, n)
		}
	}
}
