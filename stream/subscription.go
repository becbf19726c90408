package stream

import (
	"github.com/walwire/walwire/auth"
	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/mapping"
	"github.com/walwire/walwire/mapping/predicate"
)

// subscription is one live query of one session: a cursor into its view's chain.
type subscription struct {
	id      uint64
	session *session
	query   *query
	watch   *watch      // a query of walwire's own, nil for a client's
	view    *view       // the company's; nil once ended
	resume  *resumption // the company's; nil once answered
	// replaced is set once it goes on as another query than it was opened as.
	replaced bool
	// read is called once no snapshot is being read for this subscription alone.
	read func()

	// The following are guarded by company.mu: the company writes them under the
	// lock, the session's writer reads and advances its cursor under the read lock.
	attached bool // has rows to show, or goes on from those of before
	shown    bool // the client shows rows
	held     bool // its view is read again: the whole session waits
	resumed  bool // to be said: it goes on from the client's cursor
	reset    bool // base replaces what was shown
	base     *base
	token    string  // with base
	missed   *missed // before those of the chain; nil: nothing
	next     uint64  // sequence number in the chain
	blank    []byte  // to be said: the rows of before are gone; the head of those to come
}

// base is where a subscription starts: the view's rows at a position.
type base struct {
	head  []byte // frame members that describe key and columns
	rows  [][]byte
	order []string // of the rows, nil where the view has no order
}

// watch is what walwire does with a query of its own.
type watch struct {
	ready    func(b *base, at cdc.LSN, err *Error) // in the company's goroutine; must not block
	answered bool                                  // the company's: rights hang on it from then on
	once     bool                                  // it is a client's, to be answered once by its rights of then
}

// lookup reports whether it finds out who the session's user is.
func (sub *subscription) lookup() bool { return sub.watch != nil && !sub.watch.once }

// query is a compiled query of one principal.
type query struct {
	shape     *shape
	predicate *predicate.Node
	columns   []int
	order     predicate.Order  // nil: none
	limit     int              // 0: none
	last      bool             // limit counts from the end
	verbatim  bool             // see mask
	principal *auth.Principal  // whose rights it runs under; nil for a query of walwire's own
	mapping   *mapping.Mapping // whose rules these rights are by; likewise
	// compile makes it again, for other shapes or rights.
	compile func(*tables, *auth.Principal) (*query, *Error)
}

// subscribe opens a live query. Runs in the company's goroutine, like all below.
func (c *company) subscribe(sub *subscription) {
	if sub.session.left { // while its user was looked up again
		sub.read()
		sub.fail(errorf(CodeUnavailable, "the connection is gone"))
		return
	}
	p := sub.session.principal.Load()
	if q := sub.query; c.served.shapes[q.shape.mapping.Name] != q.shape || c.served.broken[q.shape.mapping.Name] != nil ||
		q.principal != nil && (q.principal != p || q.mapping != c.served.mapping) { // others than when it was sent
		again, err := q.compile(c.served, p)
		if err != nil {
			sub.read()
			sub.fail(err)
			return
		}
		sub.query = again
	}
	v := c.viewOf(sub.query)
	fresh := len(v.subscribers) == 0
	v.subscribers[sub] = struct{}{}
	c.mu.Lock()
	sub.view = v
	sub.session.subscriptions = append(sub.session.subscriptions, sub)
	c.mu.Unlock()
	if fresh && c.follow(sub, v) {
		sub.read()
		sub.session.kick()
		return
	}
	if fresh && !sub.replaced && !v.mask.verbatim && c.full() {
		sub.read()
		c.unsubscribe(sub, func() { sub.fail(errMemory()) })
		return
	}
	if fresh {
		l := c.load(v, nil)
		l.read = sub.read
		c.read(v, l, 0)
		return
	}
	sub.read()
	c.attach(sub)
}

// follow lets the first subscription of a view go on without the view's rows.
func (c *company) follow(sub *subscription, v *view) bool {
	if v.window != nil || sub.resume == nil {
		return false
	}
	v.rowless = true
	v.table.rowless++
	c.mu.Lock()
	v.chain.from = c.position
	c.mu.Unlock()
	if resumed, _ := c.resume(sub, v); resumed {
		return true
	}
	c.holdsRows(v)
	return false
}

// attach gives a subscription where it starts from, as soon as that is known.
func (c *company) attach(sub *subscription) {
	v := sub.view
	resumed, wait := c.resume(sub, v)
	switch {
	case wait:
	case !resumed && v.live():
		sub.resume = nil
		c.mu.Lock()
		c.attachLocked(sub, v.base(), v.chain.end())
		c.mu.Unlock()
		sub.session.kick()
	case !resumed:
		sub.resume = nil
		c.needRows(v)
	default:
		sub.session.kick()
	}
}

// base is the view's rows as a subscription starts with them, at the company's
// position.
func (v *view) base() *base {
	b := &base{head: v.head()}
	b.rows, b.order = v.encoded()
	return b
}

// head is the frame members that describe key and columns.
func (v *view) head() []byte {
	if v.mask.head != nil {
		return v.mask.head
	}
	head := []byte(`"key":[`)
	for i := range v.mask.columns[:v.mask.keys] {
		if i > 0 {
			head = append(head, ',')
		}
		head = appendString(head, v.mask.columns[i].Name)
	}
	head = append(head, `],"columns":[`...)
	for i := range v.mask.columns {
		if i > 0 {
			head = append(head, ',')
		}
		head = append(head, `{"name":`...)
		head = appendString(head, v.mask.columns[i].Name)
		head = append(head, `,"type":`...)
		head = appendString(head, v.mask.columns[i].Type.Name)
		head = append(head, '}')
	}
	v.mask.head = append(head, ']')
	return v.mask.head
}

func (c *company) attachLocked(sub *subscription, b *base, next uint64) {
	if sub.watch != nil {
		sub.watch.ready(b, c.position, nil)
		sub.watch.answered = true
	}
	sub.base, sub.next, sub.attached, sub.held = b, next, true, false
	if sub.watch == nil { // else the session is about to set its principal
		sub.token = c.token(sub.session.principal.Load().ID, sub.view)
	}
	sub.resumed, sub.blank = false, nil
	sub.miss(nil)
}

// startOverLocked makes a subscription wait for all its rows, and its session with
// it where the client shows those of before.
func (sub *subscription) startOverLocked() {
	sub.attached, sub.base, sub.resumed, sub.blank = false, nil, false, nil
	sub.miss(nil)
	sub.held, sub.reset = sub.shown, sub.shown
}

// release lets a view's subscriptions go on after its hand-off.
func (c *company) release(v *view) {
	for sub := range v.subscribers {
		if sub.resume != nil && !sub.attached {
			if _, wait := c.resume(sub, v); !wait {
				sub.resume = nil
			}
		}
	}
	var b *base
	c.mu.Lock()
	for sub := range v.subscribers {
		switch {
		case sub.resume != nil && !sub.attached:
			continue
		case !sub.attached:
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
	}
	c.mu.Unlock()
}

// rebase starts those of a session's subscriptions anew whose chains have moved on
// without them, all at once.
func (c *company) rebase(s *session) {
	var rowless []*view
	c.mu.Lock()
	s.rebasing = false
	for _, sub := range s.subscriptions {
		if !sub.attached || sub.held || !sub.behind() {
			continue
		}
		c.hub.Metrics.Resets.Inc()
		if sub.view.rowless {
			sub.startOverLocked()
			rowless = append(rowless, sub.view)
			continue
		}
		c.attachLocked(sub, sub.view.base(), sub.view.chain.end())
		sub.reset = sub.shown
	}
	c.mu.Unlock()
	for _, v := range rowless {
		c.needRows(v)
	}
	s.kick()
}

// behind reports whether the chain has let go of what comes next. company.mu is held.
func (sub *subscription) behind() bool { return sub.next < sub.view.chain.first }

// unsubscribe ends a subscription; its view goes with the last. tell says so to the
// client, which gets no frame before that leaves the subscription out.
func (c *company) unsubscribe(sub *subscription, tell func()) {
	v := sub.view
	if v == nil {
		tell()
		return
	}
	c.mu.Lock()
	sub.view = nil
	sub.miss(nil)
	sub.session.forget(sub)
	tell()
	c.mu.Unlock()
	delete(v.subscribers, sub)
	if len(v.subscribers) == 0 {
		c.closeView(v)
	}
}

func (c *company) closeView(v *view) {
	t := v.table
	v.clear()
	v.miss(nil)
	c.holdsRows(v)
	if v.loading != nil {
		v.loading.abandoned.Store(true)
		v.loading = nil
	}
	delete(t.loading, v)
	t.index.remove(v)
	delete(t.views, v.id)
	c.hub.Metrics.Views.Dec()
	c.hub.memory.chains.Add(-int64(v.chain.bytes))
	v.chain.bytes = 0
	v.fresh = nil // of the commit at hand, which nobody is told of
	if v.window != nil {
		v.window.complete = true // nor is it read again
	}
	t.tidy()
	if len(t.views) == 0 {
		delete(c.tables, t.shape)
	}
}

// end ends a view with an error for each subscription.
func (c *company) end(v *view, err *Error) {
	for sub := range v.subscribers {
		c.unsubscribe(sub, func() { sub.fail(err) })
	}
}

// rebind moves a subscription to the shape in force; its session waits at the
// commit before until the new rows are there.
func (c *company) rebind(sub *subscription, broken *Error) {
	if sub.lookup() { // the rights hang on it
		c.unsubscribe(sub, func() {
			sub.fail(errorf(CodeUnavailable, "the table that says who the user is has changed: try again"))
		})
		return
	}
	q, err := (*query)(nil), broken
	if broken == nil {
		if q, err = sub.query.compile(c.served, sub.session.principal.Load()); err != nil {
			if c.served.shapes[sub.query.shape.mapping.Name] != nil {
				err = errorf(CodeFailedPrecondition, "the table has changed its columns: %s", err.Message)
			} else {
				err = errorf(CodeFailedPrecondition, "table %s is not served any more", sub.query.shape.mapping.Name)
			}
		}
	}
	if err != nil {
		c.unsubscribe(sub, func() { sub.fail(err) })
		return
	}
	c.replace(sub, q)
}

// fail tells the client that its subscription has ended.
func (sub *subscription) fail(err *Error) {
	switch {
	case sub.watch != nil && sub.watch.answered:
		sub.session.revoke()
		return
	case sub.watch != nil:
		sub.watch.ready(nil, 0, err)
		return
	}
	sub.session.ended(sub, err)
}
