package stream

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// The chain against a list that forgets nothing: it gives the entries from any
// number on or says that they are gone, holds no more than its bound and the
// newest, and never lets go of what still fits.
func TestChain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c chain
		var all []*entry
		limit := rapid.IntRange(1, 2000).Draw(t, "limit")
		for range rapid.IntRange(1, 60).Draw(t, "entries") {
			e := &entry{ops: make([]op, rapid.IntRange(1, 8).Draw(t, "ops"))}
			all = append(all, e)
			c.append(e, limit)
			if c.end() != uint64(len(all)) {
				t.Fatalf("end is %d after %d entries", c.end(), len(all))
			}
			held := 0
			for _, e := range c.entries {
				held += e.size()
			}
			if held != c.bytes || held > limit && len(c.entries) > 1 {
				t.Fatalf("%d octets in %d entries, counted as %d, bound %d", held, len(c.entries), c.bytes, limit)
			}
			if c.first > 0 && held+all[c.first-1].size() <= limit {
				t.Fatal("an entry that fits was let go")
			}
			for next := range uint64(len(all) + 1) {
				since, ok := c.since(next)
				if ok != (next >= c.first) {
					t.Fatalf("since(%d) is %t, the chain begins at %d", next, ok, c.first)
				}
				if ok && fmt.Sprint(since) != fmt.Sprint(all[next:]) {
					t.Fatalf("since(%d) gives other entries", next)
				}
			}
		}
	})
}
