package torture

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// forgiven is how long walwire may take to notice rows that changed without row
// events: it looks at the catalogue at an interval, and reads again.
const forgiven = 8 * time.Second

// marker is the prefix of the messages in the log by which the nemesis tells the
// history, within the same transaction, about rows that change without row events.
const marker = "torture"

// markerSQL writes one: "detach LEAF", "attach LEAF", "increment TABLE COLUMN"; or that rights change: "member USER ACTIVE WIDE".
func markerSQL(format string, args ...any) string {
	return fmt.Sprintf("SELECT pg_logical_emit_message(true, '%s', %s); ", marker, quote(fmt.Sprintf(format, args...)))
}

// span is a time in which a table's queries may show it as it was before.
type span struct {
	table    *table
	from, to uint64 // positions
	at       time.Time
}

// upheave applies a marker.
func (v *versions) upheave(end uint64, text string) error {
	words := strings.Fields(text)
	if words[0] == "member" {
		return v.member(end, words)
	}
	for t, open := range v.open {
		switch {
		case words[0] == "detach" && t.has(words[1]):
			for key, row := range open {
				if row.leaf == words[1] {
					v.end(row, end)
					delete(open, key)
					v.detached = append(v.detached, row)
				}
			}
		case words[0] == "attach" && t.has(words[1]):
			for _, row := range v.detached {
				v.again(row, end)
			}
			v.detached = nil
		case words[0] == "increment" && t.name == words[1]:
			if err := v.increment(t, end, words[2]); err != nil {
				return err
			}
		default:
			continue
		}
		v.spans = append(v.spans, &span{table: t, from: end, to: forever, at: time.Now()})
	}
	return nil
}

func (t *table) has(leaf string) bool {
	for _, l := range t.leaves {
		if l == leaf {
			return true
		}
	}
	return false
}

// again begins a new version with the values of an old one.
func (v *versions) again(old *version, end uint64) *version {
	row := &version{id: v.nextID, table: old.table, leaf: old.leaf, key: old.key, from: end, to: forever,
		hashes: append([]uint64(nil), old.hashes...), values: append([]*string(nil), old.values...)}
	v.nextID++
	v.open[row.table][row.key], v.byID[row.id] = row, row
	v.fresh = append(v.fresh, row)
	return row
}

// increment is what a rewriting ALTER TYPE ... USING column + 1 does.
func (v *versions) increment(t *table, end uint64, column string) error {
	i, c := t.column(column)
	rows := make([]*version, 0, len(v.open[t]))
	for _, row := range v.open[t] {
		rows = append(rows, row)
	}
	for _, old := range rows {
		v.end(old, end)
		row := v.again(old, end)
		n, err := strconv.Atoi(*row.values[i])
		if err != nil {
			return err
		}
		text := strconv.Itoa(n + 1)
		row.values[i], row.hashes[i] = &text, v.hasher.value(c.name, text)
	}
	return nil
}

// forgive says whether a table's queries may be behind at a position.
func (v *versions) forgive(t *table, position uint64) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for _, s := range v.spans {
		if s.table == t && s.from <= position && position < s.to {
			return true
		}
	}
	return false
}

// forgiving reports whether any table's queries may be behind now.
func (v *versions) forgiving() bool {
	v.closeSpans()
	v.mu.RLock()
	defer v.mu.RUnlock()
	return slices.ContainsFunc(v.spans, func(s *span) bool { return s.to == forever })
}

// closeSpans ends those that have lasted long enough, at the position of now.
func (v *versions) closeSpans() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range v.spans {
		if s.to == forever && time.Since(s.at) > forgiven {
			s.to = v.position
		}
	}
}
