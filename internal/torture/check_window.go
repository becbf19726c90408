package torture

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// crossCheck has PostgreSQL compute a window at two of the positions shown, by
// the LIMIT itself, and holds the sweep against it: a difference is a fault of this
// package.
func (c *checker) crossCheck(ctx context.Context, a *answers, t shownTrack) error {
	q := a.question
	o := q.query.order
	if o == nil || o.limit == 0 || len(t.positions) == 0 {
		return nil
	}
	for _, at := range []int{t.states[0].at, len(t.positions) - 1} {
		if at >= len(t.positions) {
			continue
		}
		position := t.positions[at]
		rows, err := a.rows(ctx, c.run.versions.grantAt(a.user.index, position).wide)
		if err != nil {
			return err
		}
		var there []string
		for _, r := range rows {
			if r.from <= position && position < r.to {
				there = append(there, fmt.Sprint(r.version.id))
			}
		}
		if len(there) == 0 {
			continue
		}
		sql := limited(fmt.Sprintf("SELECT vid FROM %s WHERE vid IN (%s)", q.query.table.name, strings.Join(there, ", ")), o)
		want, err := c.run.store.ids(ctx, sql)
		if err != nil {
			return err
		}
		if o.last {
			slices.Reverse(want)
		}
		s := newSweep(rows, o)
		s.to(position)
		var got []int64
		for _, rank := range s.window() {
			got = append(got, rows[s.byRank[rank]].version.id)
		}
		if !slices.Equal(got, want) {
			return c.run.void(fmt.Errorf("history: window of %s at %s: swept %v, PostgreSQL says %v", q, formatLSN(position), got, want))
		}
		c.run.counts.crossChecked.Add(1)
	}
	return nil
}
