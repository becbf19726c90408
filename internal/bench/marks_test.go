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
