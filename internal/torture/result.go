package torture

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Result is what a run has done.
type Result struct {
	lines [][2]string
	zero  []string // counts that are nothing

	resumes, unexplained int64
}

// String is a table of the counts.
func (r *Result) String() string {
	var b strings.Builder
	for _, l := range r.lines {
		fmt.Fprintf(&b, "%-24s %s\n", l[0], l[1])
	}
	return b.String()
}

// Forgetful says that clients were begun anew too often for no reason that shows from
// outside: the log did not reach back to where it has to. Some are unexplained on
// a slow machine, whose clients come back late.
func (r *Result) Forgetful() bool { return r.unexplained > 5+r.resumes/20 }

// Nothing are the counts at zero without which no run tells anything, however short.
func (r *Result) Nothing() []string {
	return slices.DeleteFunc(slices.Clone(r.zero), func(name string) bool {
		return !slices.Contains([]string{"changes", "clients", "states compared", "snapshots shown", "resumes from the log", "events compared", "faults"}, name)
	})
}

// Missing are the counts that a long run must not leave at zero, and has.
func (r *Result) Missing() []string { return r.zero }

func (r *Result) count(name string, n int64, needed bool) {
	r.lines = append(r.lines, [2]string{name, fmt.Sprint(n)})
	if needed && n == 0 {
		r.zero = append(r.zero, name)
	}
}

func (r *run) result(took time.Duration) *Result {
	c, s := r.counts, r.stage.server
	out := &Result{resumes: c.resumes.Load()}
	out.lines = append(out.lines, [2]string{"run", fmt.Sprintf("seed %d, %d s, took %s", r.options.Seed, r.options.Seconds, took.Round(time.Second))})
	r.versions.mu.RLock()
	changes, commits := r.versions.changes, r.versions.commits
	r.versions.mu.RUnlock()
	out.count("changes", changes, true)
	out.count("commits", commits, true)
	out.count("clients", int64(len(r.clients)), true)
	out.count("connections", c.connections.Load(), true)
	out.count("states compared", c.compared.Load(), true)
	out.count("states forgiven", c.forgiven.Load(), false)
	out.count("states loading", c.loading.Load(), false)
	out.count("queries asked of history", c.asked.Load(), true)
	out.count("windows cross-checked", c.crossChecked.Load(), r.options.Windows)
	feeds := slices.ContainsFunc(r.clients, func(c *client) bool { return c.feed != nil })
	out.count("events compared", c.events.Load(), feeds)
	out.count("events optional", c.eventsOptional.Load(), false)
	out.count("gaps told", c.eventGaps.Load(), false)
	c.mu.Lock()
	out.lines = append(out.lines, [2]string{"  by reason", list(c.because)})
	c.mu.Unlock()
	out.count("events lost or doubled", c.eventFaults.Load(), false)
	if r.options.SDK > 0 {
		out.count("changes told by the SDK", c.sdkSteps.Load(), true)
		out.count("queries by its Firestore entry", c.firestore.Load(), true)
	}
	out.count("snapshots shown", c.snapshots.Load(), true)
	out.count("resumes from the log", c.resumes.Load(), r.options.Resume)
	out.count("resets on resume", c.resetsOnResume.Load(), r.options.Resume)
	c.mu.Lock()
	out.lines = append(out.lines, [2]string{"  by reason", list(c.reasons)})
	out.unexplained = int64(c.reasons[noReason])
	c.mu.Unlock()
	out.count("resets while connected", c.resets.Load(), false)
	out.count("SELECTs by walwire", int64(s.metric("walwire_snapshots_total")), true)
	out.count("rereads by walwire", int64(s.metric("walwire_rereads_total")), false)
	out.count("window refills", int64(s.metric("walwire_refills_total")), r.options.Windows)
	out.count("gaps found by walwire", int64(s.metric("walwire_gaps_total")), false)
	out.count("mismatches by walwire", int64(s.metric("walwire_mismatches_total")), false)
	out.count("walwire ended by itself", c.restarts.Load(), false)
	out.count("connections fallen silent", c.silences.Load(), false)
	c.mu.Lock()
	defer c.mu.Unlock()
	total := 0
	for _, n := range c.faults {
		total += n
	}
	out.count("faults", int64(total), r.options.Faults != "none")
	out.lines = append(out.lines, [2]string{"  by kind", list(c.faults)}, [2]string{"errors told", list(c.errors)}, [2]string{"connections ended", list(c.endings)})
	out.count("divergences", c.divergences.Load(), false)
	out.count("leaks", c.leaks.Load(), false)
	out.count("silent gaps", c.gaps.Load(), false)
	out.count("breaches of the protocol", c.breaches.Load(), false)
	for _, f := range r.options.faults() {
		if c.faults[f.name] == 0 {
			out.zero = append(out.zero, "faults of kind "+f.name)
		}
	}
	return out
}

// shownBy are the loaded live queries of a client that is at rest.
func (r *run) shownBy(c *client) []*live {
	if c.segment == nil {
		return nil
	}
	c.segment.mu.Lock()
	defer c.segment.mu.Unlock()
	var out []*live
	for _, l := range c.subs {
		if l.here && l.loaded {
			out = append(out, l)
		}
	}
	return out
}
