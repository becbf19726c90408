package torture

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// move is what one commit did to a row of a table with events.
type move struct {
	position      uint64
	table         *table
	before, after *version // nil: there was none
}

// movesBetween gives the moves above from, up to to.
func (v *versions) movesBetween(from, to uint64) []move {
	v.mu.RLock()
	defer v.mu.RUnlock()
	i := sort.Search(len(v.moves), func(i int) bool { return v.moves[i].position > from })
	j := sort.Search(len(v.moves), func(i int) bool { return v.moves[i].position > to })
	return slices.Clone(v.moves[i:j])
}

// noteBefore remembers the row that stood under a key before the commit. v.mu is held.
func (v *versions) noteBefore(t *table, key string) {
	if len(eventRules(t)) == 0 {
		return
	}
	at := tableKey{t, key}
	if _, known := v.touched[at]; !known {
		v.touched[at] = v.open[t][key]
	}
}

type tableKey struct {
	table *table
	key   string
}

// settleMoves notes what the commit came to. v.mu is held.
func (v *versions) settleMoves(end uint64) {
	for at, before := range v.touched {
		after := v.open[at.table][at.key]
		if before != nil || after != nil {
			v.moves = append(v.moves, move{end, at.table, before, after})
		}
	}
	clear(v.touched)
}

// forgetMoves drops those up to position. v.mu is held.
func (v *versions) forgetMoves(position uint64) {
	i := sort.Search(len(v.moves), func(i int) bool { return v.moves[i].position > position })
	v.moves = append([]move(nil), v.moves[i:]...)
}

// company is whose row a version is.
func (v *version) company() string {
	i, _ := v.table.column("company")
	return *v.values[i]
}

// eventChecker holds what clients were told of events against the history.
type eventChecker struct {
	*checker
	visible map[rightsKey]map[int64]bool
	until   uint64
}

type rightsKey struct {
	user    *user
	table   *table
	variant int
	wide    bool
}

// checkEvents compares what every client with events was told since the last time.
func (c *checker) checkEvents(ctx context.Context, pieces map[*client][]piece) error {
	e := &eventChecker{checker: c, visible: make(map[rightsKey]map[int64]bool)}
	for cl, told := range pieces {
		for i := range told {
			e.until = c.run.versions.reached() // rights that were in force when it was told
			if i+1 < len(told) {
				e.until = told[i+1].to
			}
			report, err := e.piece(ctx, cl, &told[i])
			if err != nil {
				return err
			}
			if report != "" {
				c.run.counts.eventFaults.Add(1)
				c.run.fail(&Failure{What: "events", Query: -1, Report: fmt.Sprintf("client %d (%s by %s): %s", cl.index, cl.user.id, cl.way, report)})
				return nil
			}
		}
	}
	return nil
}

// sees asks PostgreSQL which versions a user may see.
func (e *eventChecker) sees(ctx context.Context, v *version, k rightsKey) (bool, error) {
	if !accessOf(k.table, k.user.role, k.variant).widened() {
		k.wide = false
	}
	if e.visible[k] == nil {
		a := accessOf(k.table, k.user.role, k.variant)
		ids, err := e.run.store.matching(ctx, k.table, fmt.Sprintf("company = %d AND %s", k.user.company, a.rule(k.user, k.wide)), "")
		if err != nil {
			return false, err
		}
		e.visible[k] = make(map[int64]bool, len(ids))
		for _, id := range ids {
			e.visible[k][id] = true
		}
	}
	return e.visible[k][v.id], nil
}

// wanted is an event that a client must have been told, or may have been.
type wanted struct {
	must bool
	n    int
}

// piece compares one piece and says what is wrong, "" for nothing.
func (e *eventChecker) piece(ctx context.Context, cl *client, p *piece) (string, error) {
	want := make(map[told]*wanted)
	for _, m := range e.run.versions.movesBetween(p.from, p.to) {
		optional := p.open(m.table.name, m.position)
		takes := []move{m}
		if optional && m.before != nil && m.after != nil { // a table truncated and filled in one commit: rows are new
			takes = append(takes, move{m.position, m.table, nil, m.after})
		}
		for _, m := range takes {
			for _, r := range eventRules(m.table) {
				any, all, err := e.raises(ctx, cl.user, p, m, r)
				if err != nil {
					return "", err
				}
				if any {
					want[told{event: r.event, table: m.table.name, key: m.key(), position: m.position}] = &wanted{must: all && !optional}
				}
			}
		}
	}
	for _, got := range p.events {
		got.id = ""
		w := want[got]
		if w == nil {
			return fmt.Sprintf("was told %s, which was not to be told; %s", got, e.history(p, got)), nil
		}
		if w.n++; w.n > 1 {
			return fmt.Sprintf("was told %s twice", got), nil
		}
	}
	for t, w := range want {
		if w.must && w.n == 0 {
			return fmt.Sprintf("was not told %s; the frame covers %s to %s, with %d events and the gaps %v; %s", t, formatLSN(p.from), formatLSN(p.to), len(p.events), p.holes, e.history(p, t)), nil
		}
		if w.must {
			e.run.counts.events.Add(1)
		} else {
			e.run.counts.eventsOptional.Add(1)
		}
	}
	for _, h := range p.holes {
		e.run.counts.gap(h.because)
	}
	return "", nil
}

func (t told) String() string {
	return fmt.Sprintf("%s of %s %s at %s", t.event, t.table, t.key, formatLSN(t.position))
}

// open reports whether the client knows that events of then may be missing.
func (p *piece) open(table string, position uint64) bool {
	return slices.Contains(p.missing, table) || slices.ContainsFunc(p.holes, func(h hole) bool {
		return (h.table == "" || h.table == table) && h.from < position && position <= h.to
	})
}

func (m *move) key() string {
	if m.after != nil {
		return m.after.key
	}
	return m.before.key
}

// raises says whether a move raises an event for a user, by any of the rights that they
// had between the commit and the frame that told it, and whether by all.
func (e *eventChecker) raises(ctx context.Context, u *user, p *piece, m move, r rule) (any, all bool, err error) {
	company := fmt.Sprint(u.company)
	before, after := m.before, m.after
	if before != nil && before.company() != company {
		before = nil
	}
	if after != nil && after.company() != company {
		after = nil
	}
	subject, on := after, byte('I')
	switch {
	case before == nil && after == nil:
		return false, false, nil
	case after == nil:
		subject, on = before, 'D'
	case before != nil:
		on = 'U'
	}
	if on != r.on || on == 'U' && !e.changed(u, p.variant, before, after, r) {
		return false, false, nil
	}
	all = true
	for _, wide := range e.run.versions.widths(u.index, m.position, e.until) {
		sees, err := e.sees(ctx, subject, rightsKey{u, m.table, p.variant, wide})
		if err != nil {
			return false, false, err
		}
		any, all = any || sees, all && sees
	}
	return any, all, nil
}

// changed says whether an update satisfies a rule, in what the user may read.
func (e *eventChecker) changed(u *user, variant int, before, after *version, r rule) bool {
	if r.state != "" {
		if i, _ := after.table.column("state"); *after.values[i] != r.state {
			return false
		}
	}
	for _, i := range accessOf(after.table, u.role, variant).visible(after.table) {
		differs := before.hashes[i] != after.hashes[i] || (before.values[i] == nil) != (after.values[i] == nil) // NULL and a JSON null hash alike
		if differs && (r.changes == nil || slices.Contains(r.changes, after.table.columns[i].name)) {
			return true
		}
	}
	return false
}

// widths are what a user might have been between two positions.
func (v *versions) widths(index int, from, to uint64) []bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	now := false
	out := make(map[bool]bool)
	for _, g := range v.grants[index] {
		if g.from > from {
			break
		}
		now = g.wide
	}
	out[now] = true
	for _, g := range v.grants[index] {
		if g.from > from && g.from <= to {
			out[g.wide] = true
		}
	}
	var widths []bool
	for wide := range out {
		widths = append(widths, wide)
	}
	return widths
}

// history tells what the commit of an event did to its row.
func (e *eventChecker) history(p *piece, t told) string {
	var b strings.Builder
	for _, m := range e.run.versions.movesBetween(t.position-1, t.position) {
		if m.table.name == t.table && m.key() == t.key {
			for name, row := range map[string]*version{"before": m.before, "after": m.after} {
				if row != nil {
					fmt.Fprintf(&b, " %s: %s", name, e.run.store.text(context.Background(), row))
				}
			}
		}
	}
	return "the row" + b.String() + fmt.Sprintf(" in configuration %d", p.variant)
}
