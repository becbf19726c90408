package stream

import (
	"encoding/json"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/walwire/walwire/cdc/pgvalue"
	"github.com/walwire/walwire/mapping/predicate"
)

var indexed = []predicate.Column{
	column("status", "text", pgvalue.KindText, nil),
	column("n", "integer", pgvalue.KindInt, nil),
	column("tags", "text[]", pgvalue.KindArray, &pgvalue.Type{Name: "text", Kind: pgvalue.KindText}),
}

// drawFilter makes a filter of the protocol.
func drawFilter(t *rapid.T, depth int) any {
	if depth > 0 && rapid.IntRange(0, 2).Draw(t, "group") == 0 {
		list := make([]any, rapid.IntRange(1, 3).Draw(t, "conditions"))
		for i := range list {
			list[i] = drawFilter(t, depth-1)
		}
		switch kind := rapid.SampledFrom([]string{"and", "or", "not"}).Draw(t, "kind"); kind {
		case "not":
			return map[string]any{"not": list[0]}
		default:
			return map[string]any{kind: list}
		}
	}
	text := rapid.SampledFrom([]string{"", "a", "b", "ab", "c", "abcdefgh", "abcdefghi", "abcdefghj"})
	number := rapid.IntRange(-2, 3)
	switch rapid.IntRange(0, 7).Draw(t, "leaf") {
	case 0:
		return []any{"status", rapid.SampledFrom([]string{"==", "!=", "<", "<=", ">", ">=", "starts-with"}).Draw(t, "op"), text.Draw(t, "text")}
	case 1:
		return []any{"status", rapid.SampledFrom([]string{"in", "not-in"}).Draw(t, "op"), rapid.SliceOfN(text, 0, 3).Draw(t, "texts")}
	case 2, 3:
		return []any{"n", rapid.SampledFrom([]string{"==", "!=", "<", "<=", ">", ">="}).Draw(t, "op"), number.Draw(t, "number")}
	case 4:
		return []any{"n", rapid.SampledFrom([]string{"in", "not-in"}).Draw(t, "op"), rapid.SliceOfN(number, 0, 3).Draw(t, "numbers")}
	case 5:
		return []any{"tags", "array-contains", text.Draw(t, "text")}
	case 6:
		return []any{"tags", "array-contains-any", rapid.SliceOfN(text, 0, 3).Draw(t, "texts")}
	}
	return []any{rapid.SampledFrom([]string{"status", "n", "tags"}).Draw(t, "column"), "is-null", rapid.Bool().Draw(t, "null")}
}

func drawPredicate(t *rapid.T) *predicate.Node {
	filter, err := json.Marshal([]any{drawFilter(t, 3)})
	if err != nil {
		t.Fatal(err)
	}
	resolve := func(name string) (int, predicate.Column, error) {
		for i, c := range indexed {
			if c.Name == name {
				return i, c, nil
			}
		}
		return 0, predicate.Column{}, fmt.Errorf("no column %s", name)
	}
	n, err := predicate.ParseWhere(filter, resolve, predicate.Limits{})
	if err != nil {
		t.Fatalf("%s: %v", filter, err)
	}
	return n
}

func drawRow(t *rapid.T) texts {
	return texts{
		rapid.SampledFrom([]any{nil, "", "a", "b", "ab", "abc", "c", "abcdefgh", "abcdefghi", "abcdefghij"}).Draw(t, "status"),
		rapid.SampledFrom([]any{nil, -3, -2, -1, 0, 1, 2, 3, 4}).Draw(t, "n"),
		rapid.SampledFrom([]any{nil, "{}", "{a}", "{a,b}", "{NULL,ab}", `{""}`}).Draw(t, "tags"),
	}
}

// Views come and go; whatever is in the index, each view that shows a row is found once,
// no other is, and nothing of those that left stays behind.
func TestIndex(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ix index[*view]
		views := make(map[*view]bool)
		eval := predicate.NewRow(indexed)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 2).Draw(t, "op") {
			case 0:
				p := drawPredicate(t)
				v := &view{predicate: p, anchors: p.Anchors(nil)}
				ix.add(v)
				views[v] = true
			case 1:
				for v := range views {
					ix.remove(v)
					delete(views, v)
					break
				}
			}
			eval.Reset(drawRow(t))
			found, err := ix.match(eval, nil)
			if err != nil {
				t.Fatal(err)
			}
			times := make(map[*view]int)
			for _, v := range found {
				if times[v]++; !views[v] {
					t.Fatal("a view that left is found")
				}
			}
			for v := range views {
				shows, err := v.predicate.Eval(eval)
				if err != nil {
					t.Fatal(err)
				}
				if shows && times[v] != 1 || !shows && times[v] != 0 {
					t.Fatalf("a view is found %d times; that it shows the row is %v: %s", times[v], shows, v.predicate.Canonical())
				}
			}
		}
		for v := range views {
			ix.remove(v)
		}
		if len(ix.columns) > 0 || len(ix.scan) > 0 {
			t.Fatalf("the empty index holds %d columns and %d views", len(ix.columns), len(ix.scan))
		}
	})
}
