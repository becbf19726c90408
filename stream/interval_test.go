package stream

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/walwire/walwire/mapping/predicate"
)

// drawKey draws keys some of which differ only where no head does tell.
func drawKey(runes string, most int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		common := rapid.SampledFrom([]string{"", "", "common", "commonly", "commonlya", "\xff\xff\xff\xff\xff\xff\xff\xff"}).Draw(t, "common")
		return common + rapid.StringOfN(rapid.SampledFrom([]rune(runes)), 0, most, -1).Draw(t, "rest")
	})
}

func drawRange(t *rapid.T) predicate.Range {
	key := drawKey("abc\x00", 2)
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
	decided := predicate.Always().Checks([]predicate.Anchor{{Kind: predicate.AnchorScan}})[0]
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
				tree.remove(&list[i].r, list[i].v)
				list = slices.Delete(list, i, i+1)
			case n > 0 && rapid.IntRange(0, 3).Draw(t, "again") == 0:
				it := item{list[rapid.IntRange(0, n-1).Draw(t, "which")].r, new(view)}
				tree.add(&it.r, posted[*view]{decided, it.v})
				list = append(list, it)
			default:
				it := item{drawRange(t), new(view)}
				tree.add(&it.r, posted[*view]{decided, it.v})
				list = append(list, it)
			}
			key := drawKey("abcd\x00", 3).Draw(t, "key")
			found := make(map[*view]int)
			var s search[*view]
			tree.stab([]byte(key), &s)
			for _, v := range s.found {
				found[v]++
			}
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
			tree.remove(&it.r, it.v)
		}
		if tree.root != nil {
			t.Fatal("the tree is not empty without its intervals")
		}
	})
}

// A tree several levels deep, as it grows and as it shrinks.
func TestIntervalTreeIsDeep(t *testing.T) {
	decided := predicate.Always().Checks([]predicate.Anchor{{Kind: predicate.AnchorScan}})[0]
	random := rand.New(rand.NewPCG(1, 2))
	var tree intervalTree[*view]
	ranges := make(map[*view]*predicate.Range)
	key := func() string { return fmt.Sprintf("%05d", random.IntN(100_000)) }
	check := func() {
		t.Helper()
		at := key()
		var s search[*view]
		tree.stab([]byte(at), &s)
		want := 0
		for _, r := range ranges {
			if r.Contains(at) {
				want++
			}
		}
		for _, v := range s.found {
			if r := ranges[v]; r == nil || !r.Contains(at) {
				t.Fatalf("%+v is found for %s", r, at)
			}
		}
		if len(s.found) != want {
			t.Fatalf("%d of %d intervals are found", len(s.found), want)
		}
	}
	for i := range 5000 {
		from := key()
		r := &predicate.Range{Lo: from, HasLo: true, LoIncl: true, Hi: from + "~", HasHi: true}
		if i%10 == 0 {
			r.Hi = "99999"
		}
		v := new(view)
		tree.add(r, posted[*view]{decided, v})
		if ranges[v] = r; i%50 == 0 {
			check()
		}
	}
	for v, r := range ranges { // in no order
		tree.remove(r, v)
		delete(ranges, v)
		if len(ranges)%50 == 0 {
			check()
		}
		if most := nodes(tree.root); most > 2+len(ranges)/(fanout/8) {
			t.Fatalf("%d nodes hold %d intervals", most, len(ranges))
		}
	}
	if tree.root != nil {
		t.Fatal("the tree is not empty without its intervals")
	}
}

func nodes(n *intervalNode[*view]) int {
	if n == nil {
		return 0
	}
	sum := 1
	for i := range n.n {
		if n.children != nil {
			sum += nodes(n.children[i])
		}
	}
	return sum
}
