package torture

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// diverged reports a state that is not the query's at its position.
func (r *run) diverged(ctx context.Context, q question, t shownTrack, answers *answers, at int) error {
	d := &divergence{run: r, question: q, track: t, at: at, position: t.positions[at]}
	d.grant = r.versions.grantAt(q.user.index, d.position)
	rows, err := answers.rows(ctx, d.grant.wide)
	if err != nil {
		return err
	}
	d.expect(rows)
	d.replay()
	what := "divergence"
	if t.resumed && at == t.states[0].at {
		what = "silent gap"
		r.counts.gaps.Add(1)
	}
	if leaked, err := d.leaks(ctx); err != nil {
		return err
	} else if leaked {
		what = "leak"
		r.counts.leaks.Add(1)
	}
	r.counts.divergences.Add(1)
	r.fail(&Failure{What: what, Query: q.query.index, Table: q.query.table.name, Report: d.report(ctx)})
	return nil
}

// divergence is a wrong state of one live query.
type divergence struct {
	run      *run
	question question
	track    shownTrack
	at       int // of the track's positions
	position uint64
	grant    grant
	expected map[string]interval
	listed   []string // expected keys in order
	shown    map[string]shownRow
	raw      map[string]string // rows as they were last received, by key
}

// expect works the expected rows out again.
func (d *divergence) expect(rows []interval) {
	s := newSweep(rows, d.question.query.order)
	s.to(d.position)
	d.expected = make(map[string]interval)
	add := func(r interval) {
		d.expected[r.version.key] = r
		d.listed = append(d.listed, r.version.key)
	}
	if s.order != nil {
		for _, rank := range s.window() {
			add(rows[s.byRank[rank]])
		}
		return
	}
	for _, r := range rows {
		if r.from <= d.position && d.position < r.to {
			add(r)
		}
	}
}

// replay works out what was shown, from what was received.
func (d *divergence) replay() {
	l := &live{id: d.track.id, query: d.question.query, rows: make(map[string]shownRow), here: true, loaded: true}
	l.begin(d.question.variant)
	for key, hash := range d.track.base {
		l.rows[key] = shownRow{hash: hash}
	}
	d.raw = make(map[string]string)
	for _, f := range d.track.frames {
		if f.at > d.at {
			break
		}
		var parsed frame
		if json.Unmarshal(f.data, &parsed) != nil {
			continue
		}
		for i := range parsed.Subscriptions {
			if u := &parsed.Subscriptions[i]; u.ID == d.track.id {
				d.take(l, u)
			}
		}
	}
	d.shown = l.rows
}

func (d *divergence) take(l *live, u *update) {
	lists := [][]json.RawMessage{u.Added, u.Modified}
	orders := [][]string{u.AddedOrder, u.ModifiedOrder}
	if u.Snapshot != nil {
		if u.Snapshot.Columns != nil {
			l.rows = make(map[string]shownRow)
		}
		lists, orders = append(lists, u.Snapshot.Rows), append(orders, u.Snapshot.Order)
	}
	for _, raw := range u.Removed {
		if row, err := d.run.hasher.row(l.query.table, raw); err == nil {
			delete(l.rows, row.key)
		}
	}
	for i, list := range lists {
		for j, raw := range list {
			row, err := d.run.hasher.row(l.query.table, raw)
			if err != nil {
				continue
			}
			shown := shownRow{hash: row.hash}
			if j < len(orders[i]) {
				shown.order = orders[i][j]
			}
			l.rows[row.key], d.raw[row.key] = shown, string(raw)
		}
	}
}

// difference is how the shown rows differ, by key.
func (d *divergence) difference() map[string]string {
	out := make(map[string]string)
	for key, want := range d.expected {
		switch got, ok := d.shown[key]; {
		case !ok:
			out[key] = "is missing"
		case got.hash != want.hash:
			out[key] = "has other values"
		}
	}
	for key := range d.shown {
		if _, ok := d.expected[key]; !ok {
			out[key] = "is too many"
		}
	}
	return out
}

// leaks says whether a row is shown that the rule forbids at this position.
func (d *divergence) leaks(ctx context.Context) (bool, error) {
	q := d.question
	rule := fmt.Sprintf("company = %d AND %s", q.user.company, accessOf(q.query.table, q.query.role, q.variant).rule(q.user, d.grant.wide))
	ids, err := d.run.store.matching(ctx, q.query.table, rule, "")
	if err != nil {
		return false, err
	}
	allowed := make(map[string]bool)
	for _, i := range d.run.checker.intervals(q, ids) {
		if i.from <= d.position && d.position < i.to {
			allowed[i.version.key] = true
		}
	}
	for key := range d.shown {
		if !allowed[key] || !d.grant.active {
			return true, nil
		}
	}
	return false, nil
}

func (d *divergence) report(ctx context.Context) string {
	var b strings.Builder
	q, t := d.question, d.track
	fmt.Fprintf(&b, "client %d, subscription %d, at %s (frame %d of %d)\n%s\n", t.client, t.id, formatLSN(d.position), d.at, len(t.positions), q)
	order := ""
	if q.query.order != nil {
		order = " ORDER BY " + q.query.order.sql
	}
	fmt.Fprintf(&b, "SQL: SELECT ... FROM %s WHERE %s%s\n", q.query.table.name, q.query.condition(q.user, q.variant, d.grant.wide), order)
	fmt.Fprintf(&b, "the user has access: %t, to all rows: %t\n", d.grant.active, d.grant.wide)
	differences := d.difference()
	fmt.Fprintf(&b, "it shows %d rows, the SELECT gives %d; %d differ\n", len(d.shown), len(d.expected), len(differences))
	if q.query.order != nil {
		fmt.Fprintf(&b, "order shown: %.600v\norder of the SELECT: %.600v\n", d.shownOrder(), d.listed)
	}
	for i, key := range slices.Sorted(maps.Keys(differences)) {
		if i == 5 {
			break
		}
		fmt.Fprintf(&b, "row %s %s\n", key, differences[key])
		fmt.Fprintf(&b, "  as received: %.800s\n", d.raw[key])
		d.history(ctx, &b, key)
	}
	how := "from a snapshot"
	if t.resumed {
		how = "by a resume"
	}
	fmt.Fprintf(&b, "it was begun %s in frame %d\n", how, t.states[0].at)
	for _, f := range t.frames {
		if f.at >= d.at-8 && f.at <= d.at+4 {
			fmt.Fprintf(&b, "frame %d: %s\n", f.at, d.entry(f.data))
		}
	}
	d.commits(&b)
	return b.String()
}

// commits are those of the table around the position.
func (d *divergence) commits(b *strings.Builder) {
	v := d.run.versions
	v.mu.RLock()
	defer v.mu.RUnlock()
	after, _ := slices.BinarySearchFunc(v.recent, d.position, func(s summary, p uint64) int { return cmp.Compare(s.end, p) })
	for _, s := range v.recent[max(0, after-40):min(len(v.recent), after+10)] {
		fmt.Fprintf(b, "commit %s:%s\n", formatLSN(s.end), s.text)
	}
}

// entry is what a frame says of the live query, and what else it concerns.
func (d *divergence) entry(data []byte) string {
	var f struct {
		Position      string            `json:"position"`
		Time          string            `json:"time"`
		Subscriptions []json.RawMessage `json:"subscriptions"`
	}
	if err := json.Unmarshal(data, &f); err != nil {
		return err.Error()
	}
	out := f.Position + " " + f.Time
	for _, raw := range f.Subscriptions {
		var u struct {
			ID int `json:"id"`
		}
		if json.Unmarshal(raw, &u) != nil || u.ID != d.track.id {
			out += fmt.Sprintf(" [%d]", u.ID)
			continue
		}
		out += fmt.Sprintf(" %.900s", raw)
	}
	return out
}

func (d *divergence) shownOrder() []string {
	return slices.SortedFunc(maps.Keys(d.shown), func(a, b string) int { return strings.Compare(d.shown[a].order, d.shown[b].order) })
}

// history is what became of a row around the position.
func (d *divergence) history(ctx context.Context, b *strings.Builder, key string) {
	v := d.run.versions
	var of []*version
	v.mu.RLock()
	for _, row := range v.byID {
		if row.table == d.question.query.table && row.key == key {
			of = append(of, row)
		}
	}
	v.mu.RUnlock()
	slices.SortFunc(of, func(x, y *version) int { return int(x.id - y.id) })
	for i, row := range of {
		near := row.from <= d.position && (i+1 >= len(of) || of[min(i+3, len(of)-1)].from > d.position) || row.from > d.position && (i == 0 || of[i-1].from <= d.position)
		if !near {
			continue
		}
		until := "now"
		if row.to != forever {
			until = formatLSN(row.to)
		}
		fmt.Fprintf(b, "  history %s to %s: %.900s\n", formatLSN(row.from), until, d.run.store.text(ctx, row))
	}
}
