package torture

import "testing"

func TestWire(t *testing.T) {
	for _, c := range []struct {
		kind       kind
		text, want string
	}{
		{kindInt, "-7", "-7"},
		{kindBig, "10.50", `"10.50"`},
		{kindFloat, "1e-07", "1e-07"},
		{kindFloat, "100", "100"},
		{kindFloat, "NaN", `"NaN"`},
		{kindBool, "t", "true"},
		{kindText, "a<\"é\t", `"a<\"é\t"`},
		{kindTime, "2026-03-01 09:30:00.5+00", `"2026-03-01T09:30:00.500000Z"`},
		{kindBytea, `\x00ff`, `"AP8="`},
		{kindJSONB, `{"b": [1, 2], "a": 1.0}`, `{"a":1,"b":[1,2]}`},
		{kindTextArray, `{vip,"a b","quo\"te",NULL,"NULL"}`, `["vip","a b","quo\"te",null,"NULL"]`},
		{kindTextArray, `{}`, `[]`},
		{kindIntArray, `{3,NULL}`, `[3,null]`},
	} {
		got, err := c.kind.wire(c.text)
		if err != nil || got != c.want {
			t.Errorf("kind %d, %s: got %s, %v, want %s", c.kind, c.text, got, err, c.want)
		}
	}
}

func TestCanonical(t *testing.T) {
	for raw, want := range map[string]string{
		`"a"`: `"a"`, `"\u0061\/"`: `"a/"`, `1.50`: "1.5", `1e2`: "100", `12345678901234567890`: "12345678901234567890",
		`100000000000000000000`: "1e+20", `1e20`: "1e+20", `9007199254740991`: "9.007199254740991e+15",
		`{ "b" : null, "a" : [ true ] }`: `{"a":[true],"b":null}`,
	} {
		if got, err := canonical([]byte(raw)); err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", raw, got, err, want)
		}
	}
}
