package pgvalue_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/walwire/walwire/cdc/pgvalue"
	"github.com/walwire/walwire/cdc/pgvalue/pgvaluetest"
)

func TestAppendJSON(t *testing.T) {
	conn := pgvaluetest.MustSession(t)
	for _, c := range []struct{ typ, value, want string }{
		{"bool", "t", `true`},
		{"int4", "-7", `-7`},
		{"int8", "9007199254740993", `"9007199254740993"`},
		{"oid", "4294967295", `4294967295`},
		{"numeric", "1.00", `"1.00"`},
		{"numeric", "NaN", `"NaN"`},
		{"float8", "0.1", `0.1`},
		{"float8", "1e20", `1e+20`},
		{"float8", "-Infinity", `"-Infinity"`},
		{"float4", "NaN", `"NaN"`},
		{"float4", "1.1", `1.1`},
		{"text", "a\"b\\c\n\t\x01ä😀</script>", `"a\"b\\c\n\t\u0001ä😀</script>"`},
		{"char(4)", "a", `"a   "`},
		{"uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", `"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"`},
		{"bytea", `\x`, `""`},
		{"bytea", `\x00ff10`, `"AP8Q"`},
		{"bytea", `\x` + strings.Repeat("ab", 100), `"` + strings.Repeat("q6ur", 33) + `qw=="`},
		{"date", "2026-03-01", `"2026-03-01"`},
		{"date", "0044-03-15 BC", `"-000043-03-15"`},
		{"date", "0001-01-01 BC", `"0000-01-01"`},
		{"date", "12026-03-01", `"+012026-03-01"`},
		{"date", "5874897-12-31", `"+5874897-12-31"`},
		{"date", "infinity", `"infinity"`},
		{"timestamp", "2026-03-01 09:00:00.5", `"2026-03-01T09:00:00.500000"`},
		{"timestamp", "0044-03-15 09:00:00 BC", `"-000043-03-15T09:00:00.000000"`},
		{"timestamptz", "2026-03-01 10:00:00+01", `"2026-03-01T09:00:00.000000Z"`},
		{"timestamptz", "2026-03-01 09:00:00.123456+00", `"2026-03-01T09:00:00.123456Z"`},
		{"timestamptz", "10000-01-01 00:00:00+00", `"+010000-01-01T00:00:00.000000Z"`},
		{"timestamptz", "-infinity", `"-infinity"`},
		{"time", "24:00:00", `"24:00:00"`},
		{"timetz", "09:30:00.5-05:30", `"09:30:00.5-05:30"`},
		{"interval", "1 year 2 mons 3 days 04:05:06.789", `"P1Y2M3DT4H5M6.789S"`},
		{"interval", "0", `"PT0S"`},
		{"jsonb", `{"b":[1,2.50],"a":null}`, `{"a": null, "b": [1, 2.50]}`},
		{"json", "{\n \"a b\" :\t1,\r\n \"\\\"\\n\": [ 1 , 2 ] }", `{"a b":1,"\"\n":[1,2]}`},
		{"inet", "10.0.0.1/8", `"10.0.0.1/8"`},
		{"point", "(1,2)", `"(1,2)"`},
		{"text[]", `{}`, `[]`},
		{"text[]", `{a,NULL,"NULL","a\"b"}`, `["a",null,"NULL","a\"b"]`},
		{"int4[]", `{{1,2},{3,NULL}}`, `[[1,2],[3,null]]`},
		{"int4[]", `[0:1]={1,2}`, `[1,2]`},
		{"int8[]", `{1}`, `["1"]`},
		{"jsonb[]", `{"{\"a\": [1]}"}`, `[{"a": [1]}]`},
		{"box[]", `{(1,1),(0,0);(2,2),(0,0)}`, `["(1,1),(0,0)","(2,2),(0,0)"]`},
		{`"Odd Schema"."Mood"`, `it's, "fine"`, `"it's, \"fine\""`},
	} {
		typ := pgvaluetest.MustType(t, conn, c.typ)
		got, err := typ.AppendJSON([]byte("x"), pgvaluetest.MustText(t, conn, c.typ, []string{c.value})[0])
		if err != nil || string(got) != "x"+c.want {
			t.Errorf("%s %q:\n got %s, %v\nwant x%s", c.typ, c.value, got, err, c.want)
		}
	}
}

// TestJSONRoundTrip: every sample gives one line of JSON, and what JSON says
// parses back to an equal constant.
func TestJSONRoundTrip(t *testing.T) {
	conn := pgvaluetest.MustSession(t)
	for _, s := range pgvaluetest.Samples() {
		typ := pgvaluetest.MustType(t, conn, s.Name)
		for i, text := range pgvaluetest.MustText(t, conn, s.Name, s.Values) {
			wire, err := typ.AppendJSON(nil, text)
			if err != nil || !json.Valid(wire) || bytes.ContainsAny(wire, "\n\r") {
				t.Fatalf("%s %q: got %s, %v", s.Name, s.Values[i], wire, err)
			}
			nested := typ.Kind == pgvalue.KindArray && (text[0] == '[' || bytes.HasPrefix(text, []byte("{{")))
			if typ.SupportsEquality() && !nested {
				checkParsesBack(t, typ, text, wire)
			}
		}
	}
}

func checkParsesBack(t *testing.T, typ *pgvalue.Type, text, wire []byte) {
	t.Helper()
	if string(wire) == "null" {
		return // JSON null is no constant
	}
	decoder := json.NewDecoder(bytes.NewReader(wire))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		t.Fatal(err)
	}
	param, err := typ.Parse(v)
	if err != nil {
		t.Errorf("%s %s as %s: %v", typ.Name, text, wire, err)
		return
	}
	key, err := typ.AppendKey(nil, text)
	if err != nil || string(key) != param.Key {
		t.Errorf("%s %s as %s: key %x, %v, of the constant %x", typ.Name, text, wire, key, err, param.Key)
	}
}

func TestJSONOfInvalidUTF8(t *testing.T) {
	typ := &pgvalue.Type{Kind: pgvalue.KindText, Name: "text"}
	got, err := typ.AppendJSON(nil, []byte("a\xffb\xe4\xbd"))
	if err != nil || string(got) != `"a`+"\uFFFD"+`b`+"\uFFFD\uFFFD"+`"` || !json.Valid(got) {
		t.Errorf("got %q, %v", got, err)
	}
}

func FuzzAppendJSON(f *testing.F) {
	for _, s := range pgvaluetest.Samples() {
		for _, v := range s.Values {
			f.Add(uint8(0), v)
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, text string) {
		elem := &pgvalue.Type{Kind: pgvalue.KindText, Name: "text"}
		typ := &pgvalue.Type{Kind: pgvalue.Kind(kind % 23), Name: "t", Elem: elem}
		_, _ = typ.AppendJSON(nil, []byte(text))
		_, _ = typ.AppendKey(nil, []byte(text))
		_, _ = typ.Parse(text)
	})
}
