package torture

import (
	"sync"
)

// segment is what one connection showed. The positions are those of its frames;
// each stands for a state of all its loaded subscriptions.
type segment struct {
	client  int
	user    *user
	variant int

	mu        sync.Mutex // protects following
	positions []uint64
	frames    []received // since the last portion, for a report
	tracks    []*track
	over      bool // nothing more comes
}

// received is a data frame, or a part of one.
type received struct {
	at   int // how many positions had been shown before
	data []byte
}

// track is what one subscription showed: a hash of its rows at each change.
// Its fields belong to the segment's mutex.
type track struct {
	id      int
	query   *query
	resumed bool              // the first state was reached by a resume
	base    map[string]uint64 // rows at the portion's start, hash by key
	states  []state
	end     int // the first position that it does not concern any more, -1: none
	live    func() map[string]uint64
}

// state holds from the position at this index on.
type state struct {
	at  int
	sum uint64
	n   int // rows
	// loading: the client was told that its rows are still to come.
	loading bool
}

// portion is a part of a segment that is checked at once.
type portion struct {
	*segment
	positions []uint64
	frames    []received
	tracks    []track
}

// portion takes what has been recorded since the last.
func (s *segment) portion() *portion {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &portion{segment: s, positions: s.positions, frames: s.frames}
	for _, t := range s.tracks {
		p.tracks = append(p.tracks, *t)
	}
	s.positions, s.frames = nil, nil
	kept := s.tracks[:0]
	for _, t := range s.tracks {
		if t.end >= 0 || s.over {
			continue
		}
		kept = append(kept, t)
		t.resumed = false
		if len(t.states) > 0 {
			last := t.states[len(t.states)-1]
			last.at = 0
			t.states, t.base = []state{last}, t.live()
		}
	}
	s.tracks = kept
	return p
}

// last is the position that was last shown.
func (p *portion) last() uint64 {
	if len(p.positions) == 0 {
		return 0
	}
	return p.positions[len(p.positions)-1]
}

func copyHashes(rows map[string]shownRow) map[string]uint64 {
	out := make(map[string]uint64, len(rows))
	for k, r := range rows {
		out[k] = r.hash
	}
	return out
}
