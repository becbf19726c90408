package torture

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
)

// forever is the end of a version that is still there.
const forever = math.MaxUint64

// version is a row from one commit to another: it is there at position p if
// from <= p < to. Both are the ends of commits.
type version struct {
	id       int64
	table    *table
	leaf     string
	key      string
	from, to uint64
	hashes   []uint64  // of each column's value
	values   []*string // as PostgreSQL prints them, nil is NULL; dropped when stored and closed
}

// masked is the hash of the columns shown.
func (v *version) masked(columns []int) uint64 {
	var h uint64
	for _, i := range columns {
		h ^= v.hashes[i]
	}
	return h
}

// versions are all rows that there ever were, by the commits that the reader
// has seen. Safe for concurrent use.
type versions struct {
	hasher *hasher

	mu       sync.RWMutex // protects following
	byID     map[int64]*version
	open     map[*table]map[string]*version
	nextID   int64
	fresh    []*version // not yet stored
	detached []*version // rows of a partition that is not attached
	spans    []*span
	grants   map[int][]grant       // by the user's index
	moves    []move                // what commits did to the rows of tables with events
	touched  map[tableKey]*version // by the commit being applied
	recent   []summary
	position uint64
	commits  int64
	changes  int64
}

// remembered is how many commits a report can tell about.
const remembered = 5000

// summary is a commit as a report tells it.
type summary struct {
	end  uint64
	text string
}

func commitSummary(end uint64, changes []rowChange) summary {
	var b strings.Builder
	for i := 0; i < len(changes); {
		first := &changes[i]
		n := 0
		for ; i < len(changes) && changes[i].op == first.op && changes[i].leaf == first.leaf; i++ {
			n++
		}
		fmt.Fprintf(&b, " %d %c %s", n, first.op, first.leaf)
		if b.Len() > 200 {
			b.WriteString(" ...")
			break
		}
	}
	return summary{end, b.String()}
}

func newVersions(h *hasher, tables []*table) *versions {
	v := &versions{hasher: h, byID: make(map[int64]*version), open: make(map[*table]map[string]*version), grants: make(map[int][]grant), touched: make(map[tableKey]*version)}
	for _, t := range tables {
		v.open[t] = make(map[string]*version)
	}
	return v
}

// rowChange is a row event of the log, or with op M a marker. values holds the new row, old the key of
// the row before, where the log says it.
type rowChange struct {
	op     byte // I, U, D, T, M
	table  *table
	leaf   string // of a marker its text
	values []cell
	old    []cell
}

// cell is a column's value in the log.
type cell struct {
	kind byte // n: NULL, u: unchanged and not sent, t: text
	text string
}

// commit applies a transaction.
func (v *versions) commit(end uint64, changes []rowChange) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if end <= v.position {
		return nil // had before a connection was lost
	}
	for i := range changes {
		if err := v.apply(end, &changes[i]); err != nil {
			return err
		}
	}
	v.settleMoves(end)
	v.recent = append(v.recent[max(0, len(v.recent)-remembered+1):], commitSummary(end, changes))
	v.position = max(v.position, end)
	v.commits++
	v.changes += int64(len(changes))
	return nil
}

// reach notes that there are no more commits up to position.
func (v *versions) reach(position uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.position = max(v.position, position)
}

func (v *versions) reached() uint64 {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.position
}

func (v *versions) apply(end uint64, c *rowChange) error {
	if c.op == 'M' {
		return v.upheave(end, c.leaf)
	}
	open := v.open[c.table]
	if c.op == 'T' {
		v.detached = slices.DeleteFunc(v.detached, func(row *version) bool { return row.leaf == c.leaf })
		for key, row := range open {
			if row.leaf == c.leaf {
				v.noteBefore(c.table, key)
				v.end(row, end)
				delete(open, key)
			}
		}
		return nil
	}
	var before *version
	if c.op != 'I' {
		cells := c.old
		if cells == nil {
			cells = c.values
		}
		key, err := keyOf(c.table, cells)
		if err != nil {
			return err
		}
		if before = open[key]; before == nil {
			return fmt.Errorf("history: %c of %s %s at %s, which is not there", c.op, c.table.name, key, formatLSN(end))
		}
		v.noteBefore(c.table, key)
		v.end(before, end)
		delete(open, key)
	}
	if c.op == 'D' {
		return nil
	}
	return v.insert(end, c, before)
}

func (v *versions) insert(end uint64, c *rowChange, before *version) error {
	row := &version{id: v.nextID, table: c.table, leaf: c.leaf, from: end, to: forever,
		hashes: make([]uint64, len(c.table.columns)), values: make([]*string, len(c.table.columns))}
	v.nextID++
	for i, cell := range c.values {
		col := &c.table.columns[i]
		switch {
		case cell.kind == 'u' && before == nil:
			return fmt.Errorf("history: column %s.%s is unchanged in a new row", c.table.name, col.name)
		case cell.kind == 'u':
			row.values[i], row.hashes[i] = before.values[i], before.hashes[i]
			continue
		case cell.kind != 'n':
			row.values[i] = &cell.text
		}
		text := "null"
		if row.values[i] != nil {
			var err error
			if text, err = col.kind.wire(*row.values[i]); err != nil {
				return fmt.Errorf("history: column %s.%s: %w", c.table.name, col.name, err)
			}
		}
		row.hashes[i] = v.hasher.value(col.name, text)
	}
	var err error
	if row.key, err = keyOfRow(c.table, row.values); err != nil {
		return err
	}
	if v.open[c.table][row.key] != nil {
		return fmt.Errorf("history: %s %s is inserted at %s, but it is there", c.table.name, row.key, formatLSN(end))
	}
	v.noteBefore(c.table, row.key)
	v.open[c.table][row.key], v.byID[row.id] = row, row
	v.fresh = append(v.fresh, row)
	return nil
}

// end closes a version. One that lived within one commit was never there.
func (v *versions) end(row *version, end uint64) {
	row.to = end
	if row.from == end {
		delete(v.byID, row.id)
	}
}

func keyOf(t *table, cells []cell) (string, error) {
	values := make([]*string, len(cells))
	for i := range cells {
		values[i] = &cells[i].text
	}
	return keyOfRow(t, values)
}

func keyOfRow(t *table, values []*string) (string, error) {
	keys := make([]string, t.keys)
	for i := range keys {
		if values[i] == nil {
			return "", fmt.Errorf("history: NULL in the key of %s", t.name)
		}
		var err error
		if keys[i], err = t.columns[i].kind.wire(*values[i]); err != nil {
			return "", err
		}
	}
	return "[" + strings.Join(keys, ",") + "]", nil
}

// forget drops the versions that ended at or before position, and gives their ids.
func (v *versions) forget(position uint64) []int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.forgetMoves(position)
	var gone []int64
	for id, row := range v.byID {
		if row.to <= position {
			gone = append(gone, id)
			delete(v.byID, id)
		}
	}
	return gone
}

// takeFresh gives the versions to store: those that were there between commits.
func (v *versions) takeFresh() []*version {
	v.mu.Lock()
	defer v.mu.Unlock()
	fresh := slices.DeleteFunc(v.fresh, func(row *version) bool { return row.from == row.to })
	v.fresh = nil
	return fresh
}
