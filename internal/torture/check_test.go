package torture

import (
	"slices"
	"testing"
)

func TestSweep(t *testing.T) {
	// Three rows by rank 0, 1, 2; the middle one comes late and the first one goes.
	rows := []interval{{from: 10, to: 30, rank: 0, hash: 1}, {from: 10, to: forever, rank: 2, hash: 3}, {from: 20, to: forever, rank: 1, hash: 2}}
	t.Run("Set", func(t *testing.T) {
		s := newSweep(rows, nil)
		for _, at := range []struct {
			position uint64
			n        int
			sum      uint64
		}{{9, 0, 0}, {10, 2, scramble(1) + scramble(3)}, {29, 3, scramble(1) + scramble(2) + scramble(3)}, {30, 2, scramble(2) + scramble(3)}} {
			if sum, n := s.to(at.position); n != at.n || sum != at.sum {
				t.Errorf("at %d: %d rows, sum %d; want %d, %d", at.position, n, sum, at.n, at.sum)
			}
		}
	})
	for name, c := range map[string]struct {
		order *order
		want  [][]int // ranks at 10, 20, 30
	}{
		"First": {&order{limit: 2}, [][]int{{0, 2}, {0, 1}, {1, 2}}},
		"Last":  {&order{limit: 2, last: true}, [][]int{{0, 2}, {1, 2}, {1, 2}}},
		"All":   {&order{}, [][]int{{0, 2}, {0, 1, 2}, {1, 2}}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSweep(rows, c.order)
			for i, want := range c.want {
				s.to(uint64(10 * (i + 1)))
				if got := s.window(); !slices.Equal(got, want) {
					t.Errorf("at %d: ranks %v, want %v", 10*(i+1), got, want)
				}
			}
		})
	}
}
