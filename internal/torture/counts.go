package torture

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// counts is what a run has done. Safe for concurrent use.
type counts struct {
	connections, snapshots, resumes    atomic.Int64
	resets, resetsOnResume             atomic.Int64
	compared, forgiven, asked, askTime atomic.Int64
	crossChecked, loading              atomic.Int64
	divergences, leaks, gaps, breaches atomic.Int64
	restarts                           atomic.Int64 // that nobody asked for
	silences                           atomic.Int64 // connections given up by clients
	events, eventsOptional, eventGaps  atomic.Int64
	eventFaults                        atomic.Int64
	sdkSteps, firestore                atomic.Int64 // told to the SDK's listeners; of its queries
	rows                               atomic.Int64 // that writers say they changed

	mu      sync.Mutex // protects following
	faults  map[string]int
	errors  map[string]int
	reasons map[string]int // of resets of clients that came back
	because map[string]int // of gaps, as the server says
	endings map[string]int
}

func newCounts() *counts {
	return &counts{faults: make(map[string]int), errors: make(map[string]int), reasons: make(map[string]int), because: make(map[string]int), endings: make(map[string]int)}
}

func (c *counts) entry(what kindOfEntry) {
	switch what {
	case entrySnapshot:
		c.snapshots.Add(1)
	case entryResumed:
		c.resumes.Add(1)
	case entryReset:
		c.resets.Add(1)
	case entryResetOnResume:
		c.resetsOnResume.Add(1)
	}
}

func (c *counts) fault(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults[name]++
}

func (c *counts) reset(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reasons[reason]++
}

func (c *counts) gap(because string) {
	c.eventGaps.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.because[because]++
}

func (c *counts) refused(f *frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.errors[f.Code]++
}

func (c *counts) ending(err error) {
	text := err.Error()
	for _, known := range []string{"4000", "4001", "4502", "StatusAbnormalClosure", "connection refused", "connection reset", "503", "EOF", "broken pipe", "deadline", "closed", "canceled"} {
		if strings.Contains(text, known) {
			text = known
			break
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endings[text[:min(len(text), 60)]]++
}

func list(m map[string]int) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		out = append(out, fmt.Sprintf("%s %d", name, m[name]))
	}
	return strings.Join(out, ", ")
}
