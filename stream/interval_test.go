package stream

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/walwire/walwire/mapping/predicate"
)

func drawRange(t *rapid.T) predicate.Range {
	key := rapid.StringOfN(rapid.SampledFrom([]rune("abc\x00")), 0, 2, -1)
	r := predicate.Range{
		HasLo: rapid.Bool().Draw(t, "hasLo"), HasHi: rapid.Bool().Draw(t, "hasHi"),
		LoIncl: rapid.Bool().Draw(t, "loIncl"), HiIncl: rapid.Bool().Draw(t, "hiIncl"),
	}
	if r.HasLo {
		r.Lo = key.Draw(t, "lo")
	}
	if r.HasHi {
		r.Hi = key.Draw(t, "hi")
	}
	return r
}

// The tree against a list of its intervals, through additions and removals,
// also of intervals that hold nothing and of those it holds many times.
func TestIntervalTree(t *testing.T) {
	type item struct {
		r predicate.Range
		v *view
	}
	rapid.Check(t, func(t *rapid.T) {
		var tree intervalTree[*view]
		var list []item
		for range rapid.IntRange(1, 600).Draw(t, "steps") {
			switch n := len(list); {
			case n > 0 && rapid.IntRange(0, 2).Draw(t, "op") == 0:
				i := rapid.IntRange(0, n-1).Draw(t, "which")
				tree.remove(list[i].r, list[i].v)
				list = slices.Delete(list, i, i+1)
			case n > 0 && rapid.IntRange(0, 3).Draw(t, "again") == 0:
				it := item{list[rapid.IntRange(0, n-1).Draw(t, "which")].r, new(view)}
				tree.add(it.r, it.v)
				list = append(list, it)
			default:
				it := item{drawRange(t), new(view)}
				tree.add(it.r, it.v)
				list = append(list, it)
			}
			key := rapid.StringOfN(rapid.SampledFrom([]rune("abcd\x00")), 0, 3, -1).Draw(t, "key")
			found := make(map[*view]int)
			tree.stab(key, func(v *view) { found[v]++ })
			for _, it := range list {
				want := 0
				if it.r.Contains(key) {
					want = 1
				}
				if found[it.v] != want {
					t.Fatalf("%+v is found %d times for %q, want %d", it.r, found[it.v], key, want)
				}
				delete(found, it.v)
			}
			if len(found) > 0 {
				t.Fatalf("%d views are found that were removed", len(found))
			}
		}
		for _, it := range list {
			tree.remove(it.r, it.v)
		}
		if tree.root != nil {
			t.Fatal("the tree is not empty without its intervals")
		}
	})
}
