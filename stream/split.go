package stream

import (
	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/cdc/pgoutput"
)

// split hands each change of tx to the companies it concerns: the one of the new
// row, and the one of the old row where it is another. A change whose old
// company the WAL does not tell goes to everyone: who shows its key drops it.
func (h *Hub) split(tx *cdc.Transaction, find func(key []byte) *company, everyone func(func(*company))) {
	for i := range tx.Changes {
		c := &tx.Changes[i]
		b := h.bound(c.Relation)
		if b.shape == nil {
			continue
		}
		switch {
		case c.Op == cdc.OpUndecodable && !h.back:
			h.quarantine(b.shape, c.Err)
			h.ring.concernAll(h.ring.newest())
			continue
		case c.Op == cdc.OpUndecodable, b.keyless && (c.Op == cdc.OpUpdate || c.Op == cdc.OpDelete):
			// Only the database can tell which row, or what is left of it.
			everyone(func(co *company) { co.addReread(b.shape) })
			continue
		case b.stale, h.suspect(tx, b.shape):
			// Its columns are not those of now, and were not when the catalogue was
			// asked: the table has been altered twice; or this may not be all that the
			// transaction did. Only the database can tell the row as it is now. In the
			// log there may be very many of these: they concern whom they concerned.
			reread := func(co *company) { co.addReread(b.shape) }
			if !h.back || !b.owners(c, find, reread) {
				everyone(reread)
			}
			continue
		case c.Op == cdc.OpTruncate && b.shape.catalog.Partitioned:
			// Of one partition or several: only the database knows which rows are left.
			everyone(func(co *company) { co.addReread(b.shape) })
			continue
		case c.Op == cdc.OpTruncate:
			everyone(func(co *company) { co.add(rowChange{Change: c, binding: b, index: i}) })
			continue
		}
		h.splitRow(rowChange{Change: c, binding: b, index: i}, find, everyone)
	}
	for _, rel := range tx.Touched {
		if b := h.bound(rel); b.shape != nil {
			everyone(func(co *company) { co.addReread(b.shape) })
		}
	}
}

func (h *Hub) splitRow(ch rowChange, find func([]byte) *company, everyone func(func(*company))) {
	c, b := ch.Change, ch.binding
	var owner *company
	if !c.New.Absent() {
		kind, key := c.New.Column(b.company)
		if kind == pgoutput.KindNull {
			h.Metrics.NullCompany.Inc()
		} else if owner = find(key); owner != nil {
			own := ch
			own.here, own.was = true, sameCompany(c, b, key)
			owner.add(own)
		}
	}
	if c.Op == cdc.OpInsert {
		return
	}
	if kind, key := oldCompany(c, b); kind != 0 {
		if kind == pgoutput.KindNull {
			return
		}
		if former := find(key); former != nil && former != owner {
			left := ch
			left.was = true
			former.add(left)
		}
		return
	}
	everyone(func(co *company) {
		if co != owner {
			co.add(ch)
		}
	})
}

// owners visits the companies that a change concerns; false where the WAL does not tell.
func (b *binding) owners(c *cdc.Change, find func(key []byte) *company, visit func(*company)) bool {
	if b.company < 0 {
		return false
	}
	var keys [][]byte
	if !c.New.Absent() {
		if kind, key := c.New.Column(b.company); kind == pgoutput.KindText {
			keys = append(keys, key)
		}
	}
	if c.Op != cdc.OpInsert {
		kind, key := oldCompany(c, b)
		switch kind {
		case 0:
			return false
		case pgoutput.KindText:
			keys = append(keys, key)
		}
	}
	for _, key := range keys {
		if co := find(key); co != nil {
			visit(co)
		}
	}
	return true
}

// sameCompany reports whether the old row is known to be of the company key.
func sameCompany(c *cdc.Change, b *binding, key []byte) bool {
	kind, old := oldCompany(c, b)
	return kind == pgoutput.KindText && string(old) == string(key)
}

// oldCompany is the company column of the old row: its kind is 0 where the WAL
// does not say. An index identity sends the columns of its index only, the others as
// null, and nothing at all when none of those changed.
func oldCompany(c *cdc.Change, b *binding) (kind byte, key []byte) {
	switch {
	case c.OldKind == pgoutput.OldRow:
		return c.Old.Column(b.company)
	case c.OldKind == pgoutput.OldKey:
		if kind, key = c.Old.Column(b.company); kind == pgoutput.KindText {
			return kind, key
		}
	}
	return 0, nil
}

// splitFor gives what transactions mean to one company, by the shapes in force. The
// one being routed is still to come.
func (h *Hub) splitFor(c *company, txs []*cdc.Transaction) []companyTx {
	var split []companyTx
	kept, touched := c.routing, h.touched
	h.back = true
	defer func() { h.back = false }()
	for _, tx := range txs {
		if tx == h.current {
			continue
		}
		c.routing = routing{}
		h.split(tx, func(key []byte) *company {
			if string(key) == c.id {
				return c
			}
			return nil
		}, func(visit func(*company)) { visit(c) })
		c.routing.seal(tx)
		sealed, _ := c.routing.routed()
		split = append(split, sealed...)
	}
	c.routing, h.touched = kept, touched
	return split
}
