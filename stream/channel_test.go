package stream

import (
	"slices"
	"testing"

	"github.com/walwire/walwire/cdc"
)

// Commits are told from the first one at or after a time, also where another one stands
// behind it in the log with a time before.
func TestSince(t *testing.T) {
	c := &company{floor: 0x10, floorTime: 10, position: 0x60}
	for i, at := range []int64{20, 40, 30, 50} {
		tx := &cdc.Transaction{Time: at}
		tx.End = cdc.LSN(0x20 + 0x10*i)
		c.recent = append(c.recent, companyTx{tx: tx})
	}
	for at, want := range map[int64]cdc.LSN{11: 0x10, 20: 0x10, 21: 0x20, 35: 0x20, 40: 0x20, 41: 0x40, 50: 0x40, 51: 0x60} {
		if got, gaps := c.since(at); got != want || gaps != nil {
			t.Errorf("since %d: from %s, want %s; %+v", at, got, want, gaps)
		}
	}
	if from, gaps := c.since(10); from != 0x10 || len(gaps) != 1 || gaps[0].to != 0x10 {
		t.Errorf("since a time that the log does not reach back to: from %s, %+v", from, gaps)
	}
}

// What a writer has collected stays as it is while the chain lets go of it.
func TestCollectedEvents(t *testing.T) {
	ch := &channel{chain: chain{first: firstEvent}}
	s := &session{company: &company{}, listeners: []*listener{{channel: ch, next: firstEvent, opened: true}}}
	for range 3 { // so that the next one takes no new array
		ch.chain.append(&entry{}, 1<<20)
	}
	var out cut
	s.collectEvents(&out)
	ch.chain.append(&entry{}, 1)
	if len(out.updates) != 1 || len(out.updates[0].entries) != 3 || slices.Contains(out.updates[0].entries, nil) {
		t.Errorf("collected %+v", out.updates)
	}
}
