package torture

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// shownRow is a row that a client shows.
type shownRow struct {
	hash  uint64
	order string
}

// live is a live query as a client keeps it, over its connections.
type live struct {
	id      int
	query   *query
	nonce   int // makes the query one of its own; 0: it is as others may ask it
	rows    map[string]shownRow
	total   uint64 // of their hashes
	loaded  bool
	token   string
	cursor  string    // of the last frame that they are after
	at      uint64    // its position
	seen    time.Time // when that was
	variant int       // that the rows were read under
	columns []int
	mask    uint64

	// Of the connection it is on.
	loading bool // its rows are still to come
	here    bool // it has had its first entry there
	resume  bool // it asked for its first entry to be what it missed
	leaving bool
	track   *track
}

// kindOfEntry tells what an entry was, for the counts.
type kindOfEntry int

const (
	entryChange kindOfEntry = iota
	entrySnapshot
	entryResumed
	entryResetOnResume
	entryReset
)

// apply takes an entry of a frame. An error is a breach of the protocol.
func (l *live) apply(h *hasher, u *update, variant int) (kindOfEntry, error) {
	what := entryChange
	if u.Loading && (u.Snapshot == nil || len(u.Snapshot.Rows) > 0) {
		return what, fmt.Errorf("rows of a query that is loading")
	}
	l.loading = u.Loading || l.loading && u.Snapshot == nil
	switch {
	case u.Resumed:
		if !l.resume || l.here {
			return what, fmt.Errorf("resumed, which was not asked for")
		}
		what = entryResumed
		l.begin(variant)
	case u.Snapshot != nil:
		if what = entrySnapshot; u.Reset {
			what = entryReset
			if !l.here {
				what = entryResetOnResume
			}
		}
		if err := l.checkSnapshot(u); err != nil {
			return what, err
		}
		l.begin(variant)
		l.rows, l.total = make(map[string]shownRow, len(u.Snapshot.Rows)), 0
		if err := l.put(h, u.Snapshot.Rows, u.Snapshot.Order, false); err != nil {
			return what, err
		}
		l.loaded = true
		if u.Snapshot.Token != "" {
			l.token = u.Snapshot.Token
		}
	case !l.here:
		return what, fmt.Errorf("changes before the first entry")
	}
	l.here, l.resume = true, false
	return what, l.change(h, u)
}

// begin sets what the rows are to look like.
func (l *live) begin(variant int) {
	l.variant, l.mask = variant, 0
	l.columns = l.query.shown(variant)
	for _, i := range l.columns {
		l.mask |= 1 << i
	}
}

func (l *live) checkSnapshot(u *update) error {
	s := u.Snapshot
	switch {
	case l.here && !u.Reset:
		return fmt.Errorf("a second snapshot without reset")
	case !l.here && !l.resume && u.Reset:
		return fmt.Errorf("reset before there was anything")
	case !l.here && l.resume && !u.Reset:
		return fmt.Errorf("a snapshot without reset in answer to a resume")
	case len(s.Key) != l.query.table.keys:
		return fmt.Errorf("a snapshot with the key %v", s.Key)
	}
	return nil
}

func (l *live) change(h *hasher, u *update) error {
	if len(u.Added)+len(u.Modified)+len(u.Removed) == 0 {
		return nil
	}
	if err := l.once(h, u); err != nil {
		return err
	}
	for _, raw := range u.Removed {
		row, err := h.row(l.query.table, raw)
		if err != nil {
			return err
		}
		if row.columns != l.query.table.keys {
			return leakf("a removal carries more than the key: %.300s", raw)
		}
		old, had := l.rows[row.key]
		if !had {
			return fmt.Errorf("removed row %s was not shown", row.key)
		}
		l.total -= scramble(old.hash)
		delete(l.rows, row.key)
	}
	if err := l.put(h, u.Modified, u.ModifiedOrder, true); err != nil {
		return err
	}
	return l.put(h, u.Added, u.AddedOrder, false)
}

// once checks that no key comes twice.
func (l *live) once(h *hasher, u *update) error {
	keys := make(map[string]bool, len(u.Added)+len(u.Modified)+len(u.Removed))
	for _, list := range [][]json.RawMessage{u.Added, u.Modified, u.Removed} {
		for _, raw := range list {
			row, err := h.row(l.query.table, raw)
			if err != nil {
				return err
			}
			if keys[row.key] {
				return fmt.Errorf("key %s twice in one frame", row.key)
			}
			keys[row.key] = true
		}
	}
	return nil
}

func (l *live) put(h *hasher, rows []json.RawMessage, orders []string, had bool) error {
	if ordered := l.query.order != nil; ordered && len(orders) != len(rows) || !ordered && orders != nil {
		return fmt.Errorf("%d rows come with %d order keys", len(rows), len(orders))
	}
	for i, raw := range rows {
		row, err := h.row(l.query.table, raw)
		if err != nil {
			return err
		}
		if extra := row.mask &^ l.mask; extra != 0 {
			return leakf("columns %b of table %s are not for this role: %.300s", extra, l.query.table.name, raw)
		}
		if row.mask != l.mask {
			return fmt.Errorf("row %.300s lacks columns", raw)
		}
		old, has := l.rows[row.key]
		if has != had {
			return fmt.Errorf("row %s was shown: %t, the frame takes it for %t", row.key, has, had)
		}
		if had {
			l.total -= scramble(old.hash)
		}
		l.total += scramble(row.hash)
		shown := shownRow{hash: row.hash}
		if orders != nil {
			shown.order = orders[i]
		}
		l.rows[row.key] = shown
	}
	return nil
}

// sum is the hash of what is shown: of a list where it is ordered.
func (l *live) sum() uint64 {
	if l.query.order == nil {
		return l.total
	}
	list := make([]shownRow, 0, len(l.rows))
	for _, r := range l.rows {
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b shownRow) int { return cmp.Compare(a.order, b.order) })
	var sum uint64
	for _, r := range list {
		sum = fold(sum, r.hash)
	}
	return sum
}

// leakError is something that a client must not see.
type leakError struct{ what string }

func (e *leakError) Error() string { return "leak: " + e.what }

func leakf(format string, args ...any) error {
	return &leakError{strings.TrimSpace(fmt.Sprintf(format, args...))}
}
