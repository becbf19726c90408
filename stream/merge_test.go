package stream

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// client is what a client shows: the data of each key.
type client map[string]string

// apply takes the ops of one frame as a client that checks them does.
func (c client) apply(ops []op) error {
	seen := make(map[string]bool)
	for _, o := range ops {
		_, shown := c[o.key]
		switch {
		case seen[o.key]:
			return fmt.Errorf("key %s twice", o.key)
		case shown != (o.kind != opAdded):
			return fmt.Errorf("op %d on key %s, shown: %t", o.kind, o.key, shown)
		case o.data == nil:
			return fmt.Errorf("op %d on key %s has no data", o.kind, o.key)
		}
		seen[o.key] = true
		if o.kind == opRemoved {
			delete(c, o.key)
		} else {
			c[o.key] = string(o.data)
		}
	}
	return nil
}

// drawEntries makes commits that follow each other on what start shows; within
// one commit a key occurs once.
func drawEntries(t *rapid.T, start client) []*entry {
	now := maps.Clone(start)
	entries := make([]*entry, rapid.IntRange(1, 8).Draw(t, "commits"))
	for i := range entries {
		entries[i] = new(entry)
		keys := rapid.SliceOfNDistinct(rapid.IntRange(1, 6), 1, 6, rapid.ID[int]).Draw(t, "keys")
		for _, k := range keys {
			key := fmt.Sprint(k)
			o := op{key: key, data: fmt.Appendf(nil, "%d of %s", i, key)}
			if _, shown := now[key]; shown {
				o.kind = rapid.SampledFrom([]opKind{opModified, opRemoved}).Draw(t, "op")
			}
			if o.kind == opRemoved {
				delete(now, key)
			} else {
				now[key] = string(o.data)
			}
			entries[i].ops = append(entries[i].ops, o)
		}
	}
	return entries
}

func drawClient(t *rapid.T) client {
	c := make(client)
	for _, k := range rapid.SliceOfDistinct(rapid.IntRange(1, 6), rapid.ID[int]).Draw(t, "shown") {
		c[fmt.Sprint(k)] = "before"
	}
	return c
}

// A client that gets several commits merged shows what one shows that got them
// in turn, and the entries themselves stay as they are for other readers.
func TestMerge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := drawClient(t)
		entries := drawEntries(t, start)
		before := fmt.Sprint(entries[0].ops, entries[len(entries)-1].ops)
		one, all := maps.Clone(start), maps.Clone(start)
		for _, e := range entries {
			if err := one.apply(e.ops); err != nil {
				t.Fatalf("the test itself: %v", err)
			}
		}
		if err := all.apply(merge(entries)); err != nil {
			t.Fatalf("merged: %v", err)
		}
		if !maps.Equal(one, all) {
			t.Fatalf("merged shows %v, in turn %v", all, one)
		}
		if after := fmt.Sprint(entries[0].ops, entries[len(entries)-1].ops); after != before {
			t.Fatal("merging changed the entries")
		}
	})
}

// Keys stay in the order in which they first occur.
func TestFoldKeepsOrder(t *testing.T) {
	ops := foldOps([]op{
		{kind: opAdded, key: "b", data: []byte("1")}, {kind: opAdded, key: "a", data: []byte("2")}, {kind: opRemoved, key: "b", data: []byte("3")},
		{kind: opModified, key: "c", data: []byte("4")}, {kind: opAdded, key: "b", data: []byte("5")}, {kind: opModified, key: "a", data: []byte("6")},
	})
	var got []string
	for _, o := range ops {
		got = append(got, fmt.Sprintf("%d%s%s", o.kind, o.key, o.data))
	}
	if want := []string{"0b5", "0a6", "1c4"}; !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}
