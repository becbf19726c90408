package stream

import (
	"sync/atomic"
	"time"
)

// memory is what live queries and logs hold, in octets, against the most they may. What
// gives way, in this order:
//
//  1. from 80 % on, the logs of live queries, from which slow clients catch up: these
//     are begun anew instead;
//  2. from 90 % on, the log of recent changes, from which clients resume, down to a
//     quarter of retention.memory, or of this;
//  3. at 100 %, live queries that nobody has open yet are refused to companies that hold
//     more than their share, at 110 % to all;
//  4. from 110 % on, the largest live query of such a company ends.
//
// Safe for concurrent use. The zero value bounds nothing.
type memory struct {
	most      int64 // 0: no bound
	rows      atomic.Int64
	chains    atomic.Int64
	log       atomic.Int64
	companies atomic.Int64 // that are connected
}

// held is all that is held.
func (m *memory) held() int64 { return m.rows.Load() + m.chains.Load() + m.log.Load() }

// over reports whether more is held than so many percent of the most.
func (m *memory) over(percent int64) bool {
	return m.most > 0 && m.held() > m.most/100*percent
}

// tightChain is what a live query's log may hold where memory is short.
const tightChain = 16 << 10

func (h *Hub) chainBytes() int {
	if h.memory.over(80) {
		return min(h.ChainBytes, tightChain)
	}
	return h.ChainBytes
}

// bounds are those of the log of recent changes for now.
func (h *Hub) bounds() *Retention {
	if !h.memory.over(90) {
		return &h.Retention
	}
	tight := h.Retention
	tight.Bytes = min(tight.Bytes/4, int(h.memory.most/4))
	return &tight
}

// count counts octets of rows in, or out.
func (c *company) count(octets int) {
	c.rowBytes += int64(octets)
	c.hub.memory.rows.Add(int64(octets))
}

// appendLocked moves what was applied behind a chain. c.mu is held.
func (c *company) appendLocked(ch *chain, fresh []*entry) {
	before := ch.bytes
	for _, e := range fresh {
		ch.append(e, c.hub.chainBytes())
	}
	c.hub.memory.chains.Add(int64(ch.bytes - before))
}

// greedy reports whether the company holds more than its share.
func (c *company) greedy() bool {
	m := &c.hub.memory
	return c.rowBytes*max(m.companies.Load(), 1) >= m.most
}

// full reports whether the company can't be given more live queries.
func (c *company) full() bool {
	m := &c.hub.memory
	return m.over(110) || m.over(100) && c.greedy()
}

// errMemory refuses a live query.
func errMemory() *Error {
	err := errorf(CodeResourceExhausted, "the server holds as many rows as it may (limits.memory): ask for fewer rows, or try again later")
	err.after = 5 * time.Second
	return err
}

// shedPause is how often a company looks whether it holds too much.
const shedPause = 100 * time.Millisecond

// shed ends the company's largest live query where it holds more than its share of far
// too much.
func (c *company) shed() {
	if !c.hub.memory.over(110) || time.Since(c.shedAt) < shedPause || !c.greedy() {
		return
	}
	c.shedAt = time.Now()
	var largest *view
	most := 0
	for _, t := range c.tables {
		for _, v := range t.views {
			if size := v.size(); size > most && !v.mask.verbatim {
				largest, most = v, size
			}
		}
	}
	if largest != nil {
		c.log.Warn("memory is short: the company's largest live query ends", "table", largest.table.shape.mapping.Name, "bytes", most)
		c.end(largest, errMemory())
	}
}

// size is about how many octets the view's rows take.
func (v *view) size() (octets int) {
	of := func(r *heldRow) {
		if e, ok := r.code(v.mask); ok {
			octets += e.size()
		}
	}
	for _, r := range v.rows {
		of(r)
	}
	if v.window != nil {
		for _, r := range v.window.rows {
			of(r.heldRow)
		}
	}
	return octets
}

// rowOverhead is about what a row takes besides its JSON.
const rowOverhead = 240

func (e encoding) size() int { return rowOverhead + len(e.json) }
