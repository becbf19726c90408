package stream

import (
	"errors"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/mapping/predicate"
)

// Commits are told from the first one at or after a time, also where another one stands
// behind it in the log with a time before.
func TestSince(t *testing.T) {
	c := &company{floor: 0x10, floorTime: 10, position: 0x60}
	for i, at := range []int64{20, 40, 30, 50} {
		tx := &cdc.Transaction{Time: at}
		tx.End = cdc.LSN(0x20 + 0x10*i)
		c.recent = append(c.recent, companyTx{tx: tx})
	}
	for at, want := range map[int64]cdc.LSN{11: 0x10, 20: 0x10, 21: 0x20, 35: 0x20, 40: 0x20, 41: 0x40, 50: 0x40, 51: 0x60} {
		if got, gaps := c.since(at); got != want || gaps != nil {
			t.Errorf("since %d: from %s, want %s; %+v", at, got, want, gaps)
		}
	}
	if from, gaps := c.since(10); from != 0x10 || len(gaps) != 1 || gaps[0].to != 0x10 {
		t.Errorf("since a time that the log does not reach back to: from %s, %+v", from, gaps)
	}
}

// Who asks since a time before the start is told up to when something may be missing, also
// where the log has let go of more.
func TestSinceBeforeStart(t *testing.T) {
	served := &tables{begun: 0x20, begunAt: 20}
	for name, tt := range map[string]struct {
		gone []gap
		want gap
	}{
		"all is there":     {nil, gap{to: 0x20, since: 5, until: 20}},
		"all of the start": {[]gap{{to: 0x10, since: 5, until: 10, because: "old"}}, gap{to: 0x20, since: 5, until: 20}},
		"less":             {[]gap{{to: 0x30, since: 5, until: 30, because: "old"}}, gap{to: 0x30, since: 5, until: 30}},
		"not known when":   {[]gap{{to: 0x30, since: 5, because: "old"}}, gap{to: 0x30, since: 5}},
	} {
		got := startGap(served, 5, tt.gone)
		if len(got) != 1 || got[0].because == "" {
			t.Fatalf("%s: %+v", name, got)
		}
		if got[0].because = ""; got[0] != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got[0], tt.want)
		}
	}
}

// What a writer has collected stays as it is while the chain lets go of it.
func TestCollectedEvents(t *testing.T) {
	ch := &channel{chain: chain{first: firstEvent}}
	s := &session{company: &company{}, listeners: []*listener{{channel: ch, next: firstEvent, opened: true}}}
	for range 3 { // so that the next one takes no new array
		ch.chain.append(&entry{}, 1<<20)
	}
	var out cut
	s.collectEvents(&out)
	ch.chain.append(&entry{}, 1)
	if len(out.updates) != 1 || len(out.updates[0].entries) != 3 || slices.Contains(out.updates[0].entries, nil) {
		t.Errorf("collected %+v", out.updates)
	}
}

// The same of a live query.
func TestCollectedEntries(t *testing.T) {
	v := &view{chain: chain{first: 1}}
	sub := &subscription{view: v, next: 1}
	for range 3 {
		v.chain.append(&entry{}, 1<<20)
	}
	entries, _ := v.chain.since(sub.next)
	u := sub.update(entries)
	v.chain.append(&entry{}, 1)
	if len(u.entries) != 3 || slices.Contains(u.entries, nil) {
		t.Errorf("collected %+v", u.entries)
	}
}

// What a gap, or an overflow, has passed over is told also to who is woken between that
// and the company's next publishing.
func TestCollectedBeforeGapIsPublished(t *testing.T) {
	const before, behind = 0x20, 0x90
	ch := &channel{chain: chain{from: 0x10, first: firstEvent}}
	l := &listener{channel: ch, at: 0x18, next: firstEvent, opened: true}
	s := &session{}
	ch.listeners = map[*listener]struct{}{l: {}}
	c := &company{hub: &Hub{}, channels: map[string]*channel{"": ch}, touched: make(map[*session]struct{}), published: before, position: before}
	s.company, l.session, s.listeners = c, s, []*listener{l}
	c.position = behind // as restart leaves it
	c.forgetEvents()
	var asked []cdc.LSN
	for _, published := range []cdc.LSN{before, behind} {
		out := cut{position: published}
		s.collectEvents(&out)
		for _, u := range out.updates {
			if u.pull != nil {
				asked = append(asked, u.pull.from, u.pull.to)
			}
		}
	}
	if want := []cdc.LSN{0x18, before, before, behind}; !slices.Equal(asked, want) {
		t.Errorf("the log was asked for %v, want %v", asked, want)
	}
	ch.chain.append(&entry{position: behind + 1}, 1<<20)
	out := cut{position: behind + 1}
	if s.collectEvents(&out); len(out.updates) != 1 || out.updates[0].pull != nil || len(out.updates[0].entries) != 1 {
		t.Errorf("then the chain goes on by %+v", out.updates)
	}
}

// Of two restarts that wait, the later comes first: the one before must not take the floor
// of the log back to where it was.
func TestRestartTwice(t *testing.T) {
	h, c, _ := benchHub(t, 0)
	for _, floor := range []cdc.LSN{0x100, 0x200} {
		h.ring.begin(floor)
		h.position = floor
		h.restart(c)
	}
	for _, m := range c.inbox.take(nil) {
		m.do()
	}
	if c.floor != 0x200 || c.position != 0x200 {
		t.Errorf("the log begins at %s, the company is at %s, want 0/200", c.floor, c.position)
	}
}

// A schema change that waits is overtaken by a restart, whose log is split by the new
// shapes: what waits before the change is done by these, and none takes them back.
func TestRestartOvertakesSchema(t *testing.T) {
	h, c, s := benchHub(t, 0)
	var served []*shape
	probe := message{do: func() { served = append(served, c.served.shapes["appointments"]) }}
	c.inbox.push(probe, 0)
	for range 2 {
		h.shapes = map[string]*shape{"appointments": newShape(s.mapping, s.catalog)}
		h.tell(true, nil)
		c.inbox.push(probe, 0)
	}
	h.restart(c)
	for _, m := range c.inbox.take(nil) {
		m.do()
	}
	last := h.shapes["appointments"]
	if want := []*shape{last, last, last}; !slices.Equal(served, want) {
		t.Errorf("served by %p, want %p", served, want)
	}
}

// Nor does what a company that joined early is told of the stream's beginning.
func TestGapAtTheBeginning(t *testing.T) {
	h, c, _ := benchHub(t, 0)
	h.beating = true // there is no database to ask
	h.begin()
	h.pass(&cdc.Transaction{End: 0x300, Gap: &cdc.Gap{}})
	for _, m := range c.inbox.take(nil) {
		m.do()
	}
	if c.floor != 0x300 {
		t.Errorf("the log begins at %s, want 0/300", c.floor)
	}
}

// A change that can't be decoded makes the hub talk to its companies in the middle of a
// transaction: one that overflows then gets it once, and whole.
func TestOverflowWithinTransaction(t *testing.T) {
	h, c, s := benchHub(t, 0)
	h.InboxBytes = 1 << 20
	txs := benchTransactions(s, 8, 4, 1)
	txs[0].Bytes = 1 << 24
	last := txs[1]
	last.Changes[1] = cdc.Change{Op: cdc.OpUndecodable, Relation: last.Changes[0].Relation, Err: errors.New("broken")}
	h.batch(cdc.Batch{Transactions: txs, Progress: last.End})
	if n := testutil.ToFloat64(h.Metrics.Overflows); n != 1 {
		t.Fatalf("%v overflows, want 1", n)
	}
	var changes []int
	for _, m := range c.inbox.take(nil) {
		for i := range m.txs {
			c.apply(&m.txs[i])
		}
		if m.do != nil {
			m.do()
		}
	}
	for _, tx := range c.recent {
		changes = append(changes, len(tx.changes))
	}
	if want := []int{4, 3}; !slices.Equal(changes, want) || c.position != last.End {
		t.Errorf("the log has transactions of %v changes up to %s, want %v and %s", changes, c.position, want, last.End)
	}
}

// Nobody listens for who has left while it was found out where to begin.
func TestListenAfterLeaving(t *testing.T) {
	_, c, before := listenerOf(t)
	c.unlisten(before, func() {})
	before.session.left = true
	late := &listener{session: before.session, request: before.request}
	if err := c.listen(late, func() { t.Error("it was begun") }); err == nil || err.Code != CodeUnavailable || len(c.channels) > 0 {
		t.Errorf("got %v, %d channels", err, len(c.channels))
	}
}

// A view that ends in the middle of a commit takes what it had to say with it, and is not
// read again.
func TestViewEndsWithinCommit(t *testing.T) {
	h, c, s := benchHub(t, 0)
	v := c.viewOf(&query{shape: s, predicate: &predicate.Node{Kind: predicate.True}, columns: []int{0}, limit: 5})
	v.loading = nil
	v.add(op{kind: opAdded, key: "k", data: []byte("{}")})
	c.closeView(v)
	c.settleWindows()
	c.position++
	c.publish()
	if chains, rereads := h.memory.chains.Load(), testutil.ToFloat64(h.Metrics.Rereads); chains != 0 || rereads != 0 {
		t.Errorf("%d octets are held of a view that has ended, which was read again %v times", chains, rereads)
	}
}
