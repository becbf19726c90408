package stream

import (
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/walwire/walwire/mapping/predicate"
)

// The table against a map, through additions and removals, whatever its size.
func TestPostings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p postings[*view]
		want := make(map[string][]*view)
		key := rapid.Map(rapid.IntRange(0, 60), strconv.Itoa)
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			k := key.Draw(t, "key")
			if rapid.IntRange(0, 2).Draw(t, "op") > 0 {
				v := new(view)
				p.add(k, posted[*view]{predicate.Check{}, v})
				want[k] = append(want[k], v)
			} else if n := len(want[k]); n > 0 {
				i := rapid.IntRange(0, n-1).Draw(t, "which")
				p.remove(k, want[k][i])
				want[k] = slices.Delete(want[k], i, i+1)
			}
			for i := range 61 {
				k := strconv.Itoa(i)
				got := p.at([]byte(k))
				for _, v := range want[k] {
					if !slices.ContainsFunc(got, func(e posted[*view]) bool { return e.item == v }) {
						t.Fatalf("a view at %s is missed", k)
					}
				}
				if len(got) != len(want[k]) {
					t.Fatalf("%d views at %s, want %d", len(got), k, len(want[k]))
				}
			}
		}
		for k, views := range want {
			for _, v := range views {
				p.remove(k, v)
			}
		}
		if p.used != 0 || p.slots != nil {
			t.Fatalf("%d keys and %d slots of an empty table", p.used, len(p.slots))
		}
	})
}

// What is found for the first time is told from what is not, few or many.
func TestOnce(t *testing.T) {
	var o once[int]
	for range 2 {
		o.reset()
		for n := range 3 * mostFew {
			if !o.first(n) || o.first(n) || o.first(n/2) {
				t.Fatalf("wrong at %d", n)
			}
		}
	}
}
