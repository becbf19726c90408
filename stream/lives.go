package stream

import (
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/walwire/walwire/cdc"
)

// tableLife is what a table's changes come by.
type tableLife struct {
	leaves string // see cdc.Fingerprint
	place  string // in the publication, and as of which it is complete
}

// hole is what a table has lost: events of it may be missing up to a position, and a time,
// to whose cursor is of a life with a lower number.
type hole struct {
	to   cdc.LSN
	n    uint64
	time int64 // as Transaction.Time
}

// noteLives notes what tables have lost since they were last served: those that were
// broken and are mended, whatever was raised meanwhile for who was told so; and those that
// were not in the configuration, whatever was raised before.
func (h *Hub) noteLives(schema *Schema, lost []string) {
	maps.DeleteFunc(h.known, func(name string, _ tableLife) bool { return h.shapes[name] == nil && schema.Broken[name] == nil })
	for name := range h.shapes {
		relation := schema.Tables[name].TableName
		now := tableLife{h.prints[relation].Leaves, h.prints[relation].Publication + h.admitted[relation]}
		before, known := h.known[name]
		if (known && before.lost(now) || !known && len(h.lives) > 0) && !slices.Contains(lost, name) {
			lost = append(lost, name)
		}
		h.known[name] = now
	}
	digest := crc32.NewIEEE()
	for _, name := range slices.Sorted(maps.Keys(h.known)) {
		_, _ = fmt.Fprintf(digest, "%q %q %q %t ", name, h.known[name].leaves, h.known[name].place, schema.Broken[name] != nil)
	}
	if now := digest.Sum32(); now != h.life || len(lost) > 0 || len(h.lives) == 0 {
		lives := maps.Clone(h.lives)
		if lives == nil {
			lives = make(map[uint32]uint64)
		}
		h.life = now
		h.lifeN++
		lives[h.life] = h.lifeN
		h.lives = lives
	}
	if len(lost) > 0 {
		holes := maps.Clone(h.holes)
		if holes == nil {
			holes = make(map[string]hole)
		}
		to, now := h.lostUpTo()
		for _, name := range lost {
			holes[name] = hole{to, h.lifeN, now}
		}
		h.holes = holes
	}
}

// lost reports whether something of before is not there any more.
func (l tableLife) lost(now tableLife) bool {
	leaves := strings.Split(now.leaves, ";")
	return l.place != now.place || slices.ContainsFunc(strings.Split(l.leaves, ";"), func(leaf string) bool { return !slices.Contains(leaves, leaf) })
}

// lostUpTo gives a position, and a time, that what was lost until now lies below: the
// stream may be behind the catalogue.
func (h *Hub) lostUpTo() (cdc.LSN, int64) {
	for h.Snapshotter != nil && h.ctx.Err() == nil {
		snap, err := h.Snapshotter.Visible(h.ctx)
		var now int64
		if err == nil {
			now, err = h.Snapshotter.Clock(h.ctx)
		}
		if err == nil {
			return max(h.position, snap.Position), now
		}
		if h.ctx.Err() == nil {
			h.Log.Warn("can't ask how far the WAL has come", "error", err)
		}
		pause(h.ctx, time.Second)
	}
	return h.position, 0
}

// lostSome is why a gap is told of a table.
const lostSome = "the table was made anew, lost a partition, joined the configuration, or was not served or not in the publication meanwhile"

// lostOther is why one is told where it is not known of which.
const lostOther = "tables or the publication may have changed meanwhile"

// startGap is the gap of who asks for all since a time before the start: of what the log
// has let go of, too.
func startGap(served *tables, since int64, gone []gap) []gap {
	g := gap{to: served.begun, since: since, until: served.begunAt, because: lostOther}
	if len(gone) > 0 {
		if g.because = gone[0].because; gone[0].to > g.to {
			g.to, g.until = gone[0].to, gone[0].until
		}
	}
	return []gap{g}
}

// missing gives the gaps of what a channel hears for who comes back from a cursor.
func (c *company) missing(q *eventQuery, from cursor) []gap {
	n, ok := c.served.lives[from.life]
	if !ok { // of another process, for which tables were others
		gaps := []gap{{to: max(c.published, c.served.begun), because: lostOther}}
		return append(gaps, c.served.holesOf(q, from.position, c.served.lives[c.served.life], 0)...)
	}
	return c.served.holesOf(q, from.position, n, 0)
}

// holesOf gives the gaps of what a channel hears for who has been told all up to at, under
// the life of number n, or asks for all since a time; 0: does not.
func (t *tables) holesOf(q *eventQuery, at cdc.LSN, n uint64, since int64) (gaps []gap) {
	var tables []string
	for _, tap := range q.taps {
		name := tap.table.Name
		if h := t.holes[name]; (h.to > at || h.n > n || since != 0 && h.time >= since) && !slices.Contains(tables, name) {
			tables = append(tables, name)
			gaps = append(gaps, gap{table: name, to: h.to, because: lostSome}) // since when is not known
		}
	}
	return gaps
}

// tellHoles tells those who listen what tables have lost since before was served.
func (c *company) tellHoles(before *tables) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ch := range c.channels {
		for _, g := range c.served.holesOf(ch.query, 0, 0, 0) {
			if c.served.holes[g.table] == before.holes[g.table] {
				continue // nothing new
			}
			for l := range ch.listeners {
				l.gaps = append(l.gaps, g)
				l.session.kick()
			}
		}
	}
}
