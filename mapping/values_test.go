package mapping

import (
	"encoding/json"
	"fmt"
	"testing"
)

func TestParseRelation(t *testing.T) {
	for text, want := range map[string]struct{ relation, sql string }{
		"visits":                {"{public visits}", "public.visits"},
		"Shop.Visits":           {"{shop visits}", "shop.visits"},
		`public."Appointments"`: {"{public Appointments}", `public."Appointments"`},
		`"My ""Shop""".t`:       {`{My "Shop" t}`, `"My ""Shop""".t`},
		`"a.b"."c.d"`:           {"{a.b c.d}", `"a.b"."c.d"`},
		`s.t$1`:                 {"{s t$1}", "s.t$1"},
		`s."1t"`:                {"{s 1t}", `s."1t"`},
		"übung":                 {"{public übung}", `public."übung"`},
	} {
		r, err := ParseRelation(text)
		if err != nil || fmt.Sprintf("{%s %s}", r.Schema, r.Name) != want.relation || r.String() != want.sql {
			t.Errorf("%s: %q %s %v", text, r, r, err)
		}
		if again, err := ParseRelation(r.String()); err != nil || again != r {
			t.Errorf("%s: printed as %s, read as %v (%v)", text, r, again, err)
		}
	}
	for _, text := range []string{"", ".", "a.", ".a", "a.b.c", "a b", "1a", `"a`, `""`, `a."b"c`, "a;drop", "a\x00", `"a` + "\x00" + `"`,
		"a123456789012345678901234567890123456789012345678901234567890123"} {
		if r, err := ParseRelation(text); err == nil {
			t.Errorf("%q is read as %v", text, r)
		}
	}
}

func TestExpand(t *testing.T) {
	env := testEnv(map[string]string{"A": "x", "EMPTY": "", "NEST": "${A}"})
	for text, want := range map[string]string{
		"plain $5": "plain $5", "${A}": "x", "a${A}b${A}": "axbx", "${EMPTY:-d}": "d", "${NO:-}": "", "${NO:-a:b}": "a:b",
		"$${A}": "${A}", "${NEST}": "${A}", "${A:-d}": "x",
	} {
		if got, err := env.expand(text); err != nil || got != want {
			t.Errorf("%q: %q %v", text, got, err)
		}
	}
	for _, text := range []string{"${NO}", "${EMPTY}", "${", "${}", "${A", "${1}", "${A-b}", "${A B}"} {
		if got, err := env.expand(text); err == nil {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestParseByteSize(t *testing.T) {
	for text, want := range map[string]ByteSize{"0": 0, "512B": 512, "64KiB": 64 * KiB, "1 MiB": MiB, "2GiB": 2 * GiB, "1kB": 1000, "3MB": 3e6} {
		if got, err := ParseByteSize(text); err != nil || got != want {
			t.Errorf("%q: %d %v", text, got, err)
		}
	}
	for _, text := range []string{"", "KiB", "-1", "1.5MiB", "1TiB", "9999999999GiB", "99999999999999999999"} {
		if got, err := ParseByteSize(text); err == nil {
			t.Errorf("%q: %d", text, got)
		}
	}
	if s := fmt.Sprint(64*KiB, MiB, 3*GiB, ByteSize(1000)); s != "64KiB 1MiB 3GiB 1000B" {
		t.Error(s)
	}
}

func TestSecretIsNotPrinted(t *testing.T) {
	s := NewSecret("hunter2")
	encoded, err := json.Marshal(map[string]any{"s": s})
	printed := fmt.Sprintf("%v %s %q %#v %+v %s", s, s, s, s, struct{ S Secret }{s}, encoded)
	if err != nil || s.Reveal() != "hunter2" {
		t.Fatal(err)
	}
	for i := range len(printed) - 7 {
		if printed[i:i+7] == "hunter2" {
			t.Fatalf("printed: %s", printed)
		}
	}
}
