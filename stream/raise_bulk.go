package stream

import (
	"slices"
	"strconv"

	"github.com/walwire/walwire/mapping"
)

// bulk collects the rows of an event of several.
type bulk struct {
	index int // of the first change
	rows  []uint64
	keys  [][]byte
}

// collect notes a row of an event of several.
func (t *tap) collect(et *eventTable, at int, row uint64, index int, key []byte) {
	if t.bulks == nil {
		t.bulks = make([]bulk, len(et.rules))
	}
	if !t.bulky {
		t.bulky, et.bulky = true, append(et.bulky, t)
	}
	b := &t.bulks[at]
	if len(b.rows) == 0 {
		b.index = index
	}
	b.rows, b.keys = append(b.rows, row), append(b.keys, key)
}

// maxKeys bounds the keys that an event of several lists.
const maxKeys = 10_000

// bulks raises the events of several rows.
func (r *raiser) bulks(t *companyTx, et *eventTable) {
	for _, tap := range et.bulky {
		for at := range tap.bulks {
			b := &tap.bulks[at]
			if rule := et.rules[at]; len(b.rows) > 0 && len(b.rows) >= rule.Several {
				r.stand(tap.channel, rule, b.rows)
				r.put(tap.channel, raised{b.index, rule.Ordinal, 0, rule, bulkJSON(rule, et, t, b)})
			}
			*b = bulk{}
		}
		tap.bulky = false
	}
	clear(et.bulky)
	et.bulky = et.bulky[:0]
}

// stand takes out the events of rows for which one of several stands.
func (r *raiser) stand(ch *channel, rule *mapping.Event, rows []uint64) {
	ch.raised = slices.DeleteFunc(ch.raised, func(e raised) bool {
		if e.rule == nil || e.row == 0 || !rule.StandsFor(e.rule) {
			return false
		}
		_, is := slices.BinarySearch(rows, e.row)
		return is
	})
	if len(ch.raised) == 0 {
		r.touched = slices.DeleteFunc(r.touched, func(other *channel) bool { return other == ch })
	}
}

func bulkJSON(rule *mapping.Event, et *eventTable, t *companyTx, b *bulk) []byte {
	buf := et.eventHead(rule, t, b.index)
	buf = strconv.AppendInt(append(buf, `,"count":`...), int64(len(b.keys)), 10)
	buf = append(buf, `,"keys":[`...)
	for i, key := range b.keys[:min(len(b.keys), maxKeys)] {
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = append(buf, key...)
	}
	buf = append(buf, ']')
	if len(b.keys) > maxKeys {
		buf = append(buf, `,"keys_cut":true`...)
	}
	return append(buf, '}')
}
