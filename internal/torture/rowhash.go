package torture

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"strings"
	"sync"
)

// hasher turns rows into hashes that the history and the clients have in common:
// the XOR of one hash for each column, of its name and canonical value. Safe for
// concurrent use.
type hasher struct {
	seed   maphash.Seed
	shards [64]rowShard
}

type rowShard struct {
	mu   sync.Mutex // protects following
	rows map[uint64]hashedRow
}

// hashedRow is a row as far as a client has to know it.
type hashedRow struct {
	key     string // canonical JSON array of the key's values
	hash    uint64
	columns int    // how many it has
	mask    uint64 // which columns of the table it has, as bits
}

// maxCachedRows bounds a shard.
const maxCachedRows = 2048

func newHasher() *hasher {
	h := &hasher{seed: maphash.MakeSeed()}
	for i := range h.shards {
		h.shards[i].rows = make(map[uint64]hashedRow)
	}
	return h
}

// value is the hash of one column's canonical value.
func (h *hasher) value(column, canonical string) uint64 {
	var m maphash.Hash
	m.SetSeed(h.seed)
	_, _ = m.WriteString(column)
	_ = m.WriteByte(0)
	_, _ = m.WriteString(canonical)
	return m.Sum64()
}

// row hashes a row of a frame. Many clients are sent the same one.
func (h *hasher) row(t *table, raw []byte) (hashedRow, error) {
	var m maphash.Hash
	m.SetSeed(h.seed)
	_, _ = m.WriteString(t.name)
	_, _ = m.Write(raw)
	id := m.Sum64()
	shard := &h.shards[id%uint64(len(h.shards))]
	shard.mu.Lock()
	row, ok := shard.rows[id]
	shard.mu.Unlock()
	if ok {
		return row, nil
	}
	row, err := h.parse(t, raw)
	if err != nil {
		return row, fmt.Errorf("row %.300s: %w", raw, err)
	}
	shard.mu.Lock()
	if len(shard.rows) >= maxCachedRows {
		clear(shard.rows)
	}
	shard.rows[id] = row
	shard.mu.Unlock()
	return row, nil
}

func (h *hasher) parse(t *table, raw []byte) (hashedRow, error) {
	members := make(map[string]json.RawMessage)
	if err := json.Unmarshal(raw, &members); err != nil {
		return hashedRow{}, err
	}
	row := hashedRow{columns: len(members)}
	keys := make([]string, t.keys)
	for name, value := range members {
		text, err := canonical(bytes.TrimSpace(value))
		if err != nil {
			return row, err
		}
		i, c := t.column(name)
		if c == nil {
			return row, fmt.Errorf("column %q is not known", name)
		}
		if i < t.keys {
			keys[i] = text
		}
		row.mask |= 1 << i
		row.hash ^= h.value(name, text)
	}
	row.key = "[" + strings.Join(keys, ",") + "]"
	return row, nil
}

// scramble spreads a row's hash, so that sums of them tell sets of rows apart.
func scramble(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// fold adds a row to the hash of a list.
func fold(sum, row uint64) uint64 { return sum*0x9e3779b97f4a7c15 + scramble(row) }
