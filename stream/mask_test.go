package stream

import (
	"encoding/json"
	"testing"

	"github.com/walwire/walwire/cdc/pgvalue"
	"github.com/walwire/walwire/mapping/predicate"
)

// A mask shows the key first, then the columns asked for, each once; the key
// alone is a JSON object, whatever stands in the values.
func TestMask(t *testing.T) {
	table := []predicate.Column{
		column("secret", "text", pgvalue.KindText, nil), column("b}", "text", pgvalue.KindText, nil),
		column("n", "bigint", pgvalue.KindInt8, nil), column("a", "text", pgvalue.KindText, nil),
	}
	row := texts{"hidden", `}","x":"`, 7, nil}
	for name, tc := range map[string]struct {
		keys, columns []int
		verbatim      bool
		row, key      string
	}{
		"one key":       {[]int{2}, []int{3, 2, 3}, false, `{"n":"7","a":null}`, `{"n":"7"}`},
		"two keys":      {[]int{2, 1}, []int{1, 3}, false, `{"n":"7","b}":"}\",\"x\":\"","a":null}`, `{"n":"7","b}":"}\",\"x\":\""}`},
		"only the key":  {[]int{1}, nil, false, `{"b}":"}\",\"x\":\""}`, `{"b}":"}\",\"x\":\""}`},
		"null in it":    {[]int{3}, []int{2}, false, `{"a":null,"n":"7"}`, `{"a":null}`},
		"as text":       {[]int{2}, []int{1}, true, `{"n":"7","b}":"}\",\"x\":\""}`, `{"n":"7"}`},
		"order counts":  {[]int{2}, []int{1, 3}, false, `{"n":"7","b}":"}\",\"x\":\"","a":null}`, `{"n":"7"}`},
		"order counts2": {[]int{2}, []int{3, 1}, false, `{"n":"7","a":null,"b}":"}\",\"x\":\""}`, `{"n":"7"}`},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMask(table, tc.keys, tc.columns, tc.verbatim)
			text, keyEnd, err := m.append([]byte("before"), row)
			if err != nil {
				t.Fatal(err)
			}
			e := encoding{json: text[len("before"):], key: keyEnd}
			if string(e.json) != tc.row || string(e.keyJSON()) != tc.key {
				t.Errorf("row %s with key %s, want %s with %s", e.json, e.keyJSON(), tc.row, tc.key)
			}
			if !json.Valid(e.json) || !json.Valid(e.keyJSON()) {
				t.Error("not JSON")
			}
		})
	}
	t.Run("ids", func(t *testing.T) {
		ids := make(map[string]bool)
		for _, m := range []*mask{
			newMask(table, []int{2}, []int{1}, false), newMask(table, []int{2}, []int{1}, true), newMask(table, []int{1}, []int{2}, false),
			newMask(table, []int{2}, []int{1, 3}, false), newMask(table, []int{2}, nil, false), newMask(table, []int{2, 1}, []int{3}, true),
		} {
			if ids[m.id] {
				t.Errorf("two masks share the id %s", m.id)
			}
			ids[m.id] = true
		}
	})
}
