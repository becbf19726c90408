package stream

import (
	"github.com/walwire/walwire/mapping/predicate"
)

// subscription is one live query of one session: a cursor into its view's chain.
type subscription struct {
	id      uint64
	session *session
	query   *query
	watch   *watch // a query of walwire's own, nil for a client's
	view    *view  // the company's; nil once ended
	// read is called once no snapshot is being read for this subscription alone.
	read func()

	// The following are guarded by company.mu: the company writes them under the
	// lock, the session's writer reads and advances its cursor under the read lock.
	attached bool // has rows to show
	shown    bool // a snapshot has been handed to the writer
	held     bool // its view is read again: the whole session waits
	base     *base
	next     uint64 // sequence number in the chain
	reset    bool   // base replaces what was shown
}

// base is where a subscription starts: the view's rows at a position.
type base struct {
	head []byte // frame members that describe key and columns
	rows [][]byte
}

// watch is what walwire does with a query of its own.
type watch struct {
	ready    func(rows [][]byte, err *Error) // in the company's goroutine; must not block
	answered bool                            // the company's: rights hang on it from then on
}

// query is a compiled query of one principal.
type query struct {
	shape     *shape
	predicate *predicate.Node
	columns   []int
	verbatim  bool                           // see mask
	compile   func(*tables) (*query, *Error) // again, for other shapes
}

// subscribe opens a live query. Runs in the company's goroutine, like all below.
func (c *company) subscribe(sub *subscription) {
	if c.served.shapes[sub.query.shape.mapping.Name] != sub.query.shape || c.served.broken[sub.query.shape.mapping.Name] != nil {
		again, err := sub.query.compile(c.served)
		if err != nil {
			sub.read()
			sub.fail(err)
			return
		}
		sub.query = again
	}
	v := c.viewOf(sub.query, sub.read)
	v.subscribers[sub] = struct{}{}
	c.mu.Lock()
	sub.view = v
	if v.live() {
		c.attachLocked(sub, v.base(), c.publishedEnd(v))
	}
	sub.session.subscriptions = append(sub.session.subscriptions, sub)
	c.mu.Unlock()
	if v.live() {
		sub.session.kick()
	}
}

// viewOf gives the view for a query, made and loading when it is the first. read is
// called when its snapshot has been read, at once where there is none to read.
func (c *company) viewOf(q *query, read func()) *view {
	t := c.tables[q.shape]
	if t == nil {
		t = newTable(q.shape)
		c.tables[q.shape] = t
	}
	m := newMask(q.shape.columns, q.shape.key, q.columns, q.verbatim)
	if known := t.masks[m.id]; known != nil {
		m = known
	} else {
		t.masks[m.id] = m
	}
	id := q.predicate.Canonical() + "\x00" + m.id
	v := t.views[id]
	if v != nil {
		read()
		return v
	}
	v = c.newView(t, id, m, q)
	l := c.load(v, nil)
	l.read = read
	c.read(v, l, 0)
	return v
}

func (c *company) newView(t *table, id string, m *mask, q *query) *view {
	v := &view{
		company: c, table: t, id: id, predicate: q.predicate, mask: m,
		anchors:     q.predicate.Anchors(q.shape.distinct),
		subscribers: make(map[*subscription]struct{}),
	}
	t.views[id] = v
	t.index.add(v)
	c.hub.Metrics.Views.Inc()
	return v
}

// base is the view's rows as a subscription starts with them, at the company's
// position.
func (v *view) base() *base {
	b := &base{rows: v.encoded()}
	b.head = append(b.head, `"key":[`...)
	for i := range v.mask.columns[:v.mask.keys] {
		if i > 0 {
			b.head = append(b.head, ',')
		}
		b.head = appendString(b.head, v.mask.columns[i].Name)
	}
	b.head = append(b.head, `],"columns":[`...)
	for i := range v.mask.columns {
		if i > 0 {
			b.head = append(b.head, ',')
		}
		b.head = append(b.head, `{"name":`...)
		b.head = appendString(b.head, v.mask.columns[i].Name)
		b.head = append(b.head, `,"type":`...)
		b.head = appendString(b.head, v.mask.columns[i].Type.Name)
		b.head = append(b.head, '}')
	}
	b.head = append(b.head, ']')
	return b
}

// publishedEnd is where a subscription that starts now stands in the chain.
// Everything applied is published when it is called.
func (c *company) publishedEnd(v *view) uint64 { return v.chain.end() }

func (c *company) attachLocked(sub *subscription, b *base, next uint64) {
	if sub.watch != nil {
		sub.watch.ready(b.rows, nil)
		sub.watch.answered = true
	}
	sub.base, sub.next, sub.attached, sub.held = b, next, true, false
}

// release lets a view's subscriptions go on after its hand-off.
func (c *company) release(v *view) {
	var b *base
	c.mu.Lock()
	for sub := range v.subscribers {
		if !sub.attached {
			if b == nil {
				b = v.base()
			}
			c.attachLocked(sub, b, v.chain.end())
		}
		sub.held = false
	}
	c.mu.Unlock()
	for sub := range v.subscribers {
		sub.session.kick()
	}
}

// hold keeps the sessions of a view at the commit before the one it is read
// again for.
func (c *company) hold(v *view) {
	c.mu.Lock()
	for sub := range v.subscribers {
		sub.held = sub.attached
		if sub.watch != nil {
			sub.session.revoked = true
		}
	}
	c.mu.Unlock()
}

// rebase starts those of a session's subscriptions anew whose chains have moved on
// without them, all at once.
func (c *company) rebase(s *session) {
	c.mu.Lock()
	s.rebasing = false
	for _, sub := range s.subscriptions {
		if sub.attached && !sub.held && sub.behind() {
			c.hub.Metrics.Resets.Inc()
			sub.base, sub.reset, sub.next = sub.view.base(), sub.shown, sub.view.chain.end()
		}
	}
	c.mu.Unlock()
	s.kick()
}

// behind reports whether the chain has let go of what comes next. company.mu is held.
func (sub *subscription) behind() bool { return sub.next < sub.view.chain.first }

// unsubscribe ends a subscription; its view goes with the last.
func (c *company) unsubscribe(sub *subscription) {
	v := sub.view
	if v == nil {
		return
	}
	c.mu.Lock()
	sub.view = nil
	sub.session.forget(sub)
	c.mu.Unlock()
	delete(v.subscribers, sub)
	if len(v.subscribers) == 0 {
		c.closeView(v)
	}
}

func (c *company) closeView(v *view) {
	t := v.table
	for len(v.rows) > 0 {
		v.hide(v.rows[len(v.rows)-1])
	}
	if v.loading != nil {
		v.loading.abandoned.Store(true)
		v.loading = nil
	}
	delete(t.loading, v)
	t.index.remove(v)
	delete(t.views, v.id)
	c.hub.Metrics.Views.Dec()
	if len(t.views) == 0 {
		delete(c.tables, t.shape)
	}
}

// end ends a view with an error for each subscription.
func (c *company) end(v *view, err *Error) {
	for sub := range v.subscribers {
		c.unsubscribe(sub)
		sub.fail(err)
	}
}

// rebind moves a subscription to the shape in force; its session waits at the
// commit before until the new rows are there.
func (c *company) rebind(sub *subscription, broken *Error) {
	if sub.watch != nil { // the rights hang on it
		c.unsubscribe(sub)
		sub.session.revoke()
		return
	}
	q, err := (*query)(nil), broken
	if broken == nil {
		if q, err = sub.query.compile(c.served); err != nil {
			err = errorf(CodeFailedPrecondition, "the table has changed its columns: %s", err.Message)
		}
	}
	c.unsubscribe(sub)
	if err != nil {
		sub.fail(err)
		return
	}
	c.mu.Lock()
	sub.held, sub.reset = sub.shown, sub.shown
	sub.attached, sub.base = false, nil
	c.mu.Unlock()
	sub.query, sub.read = q, func() {}
	c.subscribe(sub)
}

// fail tells the client that its subscription has ended.
func (sub *subscription) fail(err *Error) {
	switch {
	case sub.watch != nil && sub.watch.answered:
		sub.session.revoke()
		return
	case sub.watch != nil:
		sub.watch.ready(nil, err)
		return
	}
	sub.session.ended(sub, err)
}
