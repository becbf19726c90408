package torture

import (
	"sync"
	"time"
)

// retention is the configuration's retention.age, from which the log may not reach back.
const retention = 12 * time.Second

// chronicle remembers when something last happened that may cost a client its
// place in the log. Safe for concurrent use.
type chronicle struct {
	mu   sync.Mutex // protects following
	last map[string]time.Time
}

func newChronicle() *chronicle { return &chronicle{last: make(map[string]time.Time)} }

// note says that it happens now: "slot", to "clients" on their way, or to a table of this name.
func (c *chronicle) note(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last[what] = time.Now()
}

func (c *chronicle) since(what string, at time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last[what].After(at)
}

// noReason is said of a reset that ought not to have been.
const noReason = "no reason known"

// resetReason is why a client that came back was begun anew, as far as it shows
// from outside.
func (r *run) resetReason(l *live, user string, variant int) string {
	t := l.query.table
	switch {
	case l.variant != variant:
		return "another configuration"
	case r.chronicle.since("slot", l.seen):
		return "slot lost"
	case r.chronicle.since(user, l.seen.Add(-forgiven)):
		return "rights changed"
	case r.chronicle.since(t.name, l.seen.Add(-forgiven)):
		return "table altered or truncated"
	case time.Since(l.seen) > retention:
		return "away for longer than the log"
	case t.extra != "":
		return "large values not in the log"
	case l.query.order != nil && l.query.order.limit > 0:
		return "window not known"
	}
	return noReason
}
