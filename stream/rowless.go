package stream

// A view that was resumed holds no rows: its client has them. Until somebody
// needs them (a second subscriber, a client that has fallen behind) it follows the
// stream without a SELECT, by what the WAL says a row was and is.

// settleRowless tells the rowless views what becomes of one key.
func (c *company) settleRowless(tb *table, p *pending) error {
	if p.unknown {
		return nil // read again at the end of the commit
	}
	n := &c.scratch
	var failed error
	step := func(v *view, had, has bool) {
		o, ok, err := c.step(v, p.key, had, has)
		switch {
		case err != nil:
			failed = err
		case ok:
			v.add(o)
		}
	}
	if p.before != nil {
		n.formerRow = row{binding: p.before.binding, tuple: p.before.Old}
		tb.former.Reset(&n.formerRow)
		var err error
		if n.formers, err = tb.index.match(tb.former, n.formers[:0]); err != nil {
			return err
		}
		for _, v := range n.formers {
			if v.rowless {
				v.was = n.seen
				step(v, true, v.mark == n.seen)
			}
		}
	}
	for _, v := range n.matched {
		if v.rowless && v.was != n.seen {
			step(v, false, true)
		}
	}
	return failed
}

// step is what a client of v is told of a key: had says that scratch.former was
// the view's, has that scratch.row is.
func (c *company) step(v *view, key string, had, has bool) (o op, ok bool, err error) {
	n := &c.scratch
	var old, now loadedRow
	if had {
		var buf []byte
		if buf, old.key, err = v.mask.append(nil, &n.formerRow); err != nil {
			return o, false, err
		}
		old.json = buf
		const formerRow = 1 << 63
		if old.place, err = v.order.placeOf(v.table.former, n.nth|formerRow); err != nil {
			return o, false, err
		}
	}
	if has {
		e, err := c.encode(v.mask, nil)
		if err != nil {
			return o, false, err
		}
		now.encoding = e.encoding
		if now.place, err = v.order.placeOf(v.table.eval, n.nth); err != nil {
			return o, false, err
		}
	}
	switch {
	case had && has:
		o = op{kind: opModified, key: key, data: now.json, order: v.order.wire(now.place)}
		return o, string(old.json) != string(now.json) || old.place != now.place, nil
	case had:
		return op{kind: opRemoved, key: key, data: old.keyJSON()}, true, nil
	}
	return v.added(key, now.json, now.place), has, nil
}

// holdsRows ends a view's time without rows.
func (c *company) holdsRows(v *view) {
	if v.rowless {
		v.rowless = false
		v.table.rowless--
	}
}

// needRows reads the rows of a view that holds none, which goes on meanwhile.
func (c *company) needRows(v *view) {
	if v.rowless && v.loading == nil {
		c.read(v, c.load(v, nil), 0)
	}
}

// loadRowless begins a rowless view anew: the stream does not tell what becomes of
// its rows. Its clients are sent all of them.
func (c *company) loadRowless(v *view, require ...uint32) {
	c.holdsRows(v)
	c.mu.Lock()
	for sub := range v.subscribers {
		sub.startOverLocked()
	}
	c.mu.Unlock()
	c.read(v, c.load(v, nil, require...), 0)
}

// rereadRowless begins the rowless views of a table anew.
func (c *company) rereadRowless(tb *table, require ...uint32) {
	if tb.rowless == 0 {
		return
	}
	for _, v := range tb.views {
		if v.rowless {
			c.reread(v, require...)
		}
	}
}
