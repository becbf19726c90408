package bench

import (
	"slices"
	"strings"
	"testing"
)

func TestMarks(t *testing.T) {
	const text = `{"notes":"#7 1764400000000001;"},{"notes":"# no mark"},{"notes":"#12 1764400000000002;"}`
	var got []int
	take := func(change int, micros int64) {
		got = append(got, change)
		if want := int64(1764400000000000 + len(got)); micros != want {
			t.Errorf("change %d at %d, want %d", change, micros, want)
		}
	}
	if rest := marks([]byte(text+strings.Repeat(" ", 40)), take); rest != nil || !slices.Equal(got, []int{7, 12}) {
		t.Errorf("changes %v, rest %q", got, rest)
	}
	// In two parts, cut anywhere.
	for at := range len(text) {
		got = nil
		rest := marks([]byte(text[:at]), take)
		marks(append(slices.Clone(rest), text[at:]...), take)
		if !slices.Equal(got, []int{7, 12}) {
			t.Errorf("cut at %d: changes %v", at, got)
		}
	}
}

// In a reset, what comes twice does not take the place of what another client lacks.
func TestFanoutReset(t *testing.T) {
	f := newFanout()
	frame := func(marks string) []byte {
		return []byte(`{"type":"data","subscriptions":[{"id":1,"reset":true,"snapshot":{"rows":[` + marks + `]}}],"cursor":"c"}`)
	}
	f.count(new(client), frame("#0 1;#0 1;#1 1;"))
	f.count(new(client), frame("#1 1;"))
	f.count(new(client), frame("#1 1;#0 1;"))
	if f.received != 5 || f.lost != 1 || f.doubled != 1 || f.resets != 3 {
		t.Errorf("received %d, lost %d, doubled %d in %d resets, want 5, 1, 1 in 3", f.received, f.lost, f.doubled, f.resets)
	}
	if f.exact() == nil {
		t.Error("it passes for exact")
	}
}
