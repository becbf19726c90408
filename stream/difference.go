package stream

// intern checks the rows against those that other views show already: both
// describe the same position, so they are equal. If not, walwire has a fault: the
// others are read again, in the open.
func (c *company) intern(v *view, rows []keyedRow) {
	for i := range rows {
		held, e := v.table.rows[rows[i].key], &rows[i]
		if held == nil {
			continue
		}
		if shared, ok := held.code(v.mask); ok && string(shared.json) != string(e.json) {
			c.hub.Metrics.Mismatches.Inc()
			c.log.Error("two views disagree about a row: both are read again", "table", v.table.shape.mapping.Name, "position", c.position.String())
			for _, other := range v.table.views {
				if other.live() {
					c.reread(other)
				}
			}
			return
		}
	}
}

// baseline is what the view's subscribers are shown.
func (v *view) baseline() map[string]loadedRow {
	rows := make(map[string]loadedRow)
	for _, r := range v.shown() {
		e, _ := r.code(v.mask)
		rows[r.key] = loadedRow{e, r.place}
	}
	return rows
}

// difference adds the ops that lead from before to what the view shows.
func (v *view) difference(before map[string]loadedRow) {
	for _, o := range v.differenceOps(before) {
		v.add(o)
	}
}

func (v *view) differenceOps(before map[string]loadedRow) []op {
	var ops []op
	still := make(map[string]bool, len(before))
	for _, r := range v.shown() {
		e, _ := r.code(v.mask)
		old, had := before[r.key]
		switch {
		case !had:
			ops = append(ops, v.added(r.key, e.json, r.place))
		case string(old.json) != string(e.json) || old.place != r.place:
			o := op{kind: opModified, key: r.key, data: e.json, order: v.order.wire(r.place)}
			v.rememberLoaded(&o, old)
			ops = append(ops, o)
		}
		still[r.key] = true
	}
	for key, old := range before {
		if !still[key] {
			o := op{kind: opRemoved, key: key, data: old.keyJSON()}
			v.rememberLoaded(&o, old)
			ops = append(ops, o)
		}
	}
	return ops
}

func (v *view) rememberLoaded(o *op, was loadedRow) {
	if v.window != nil {
		o.was, o.wasOrder = was.json, v.order.wire(was.place)
	}
}
