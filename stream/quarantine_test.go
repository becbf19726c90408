package stream

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/walwire/walwire/auth"
	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/cdc/pgoutput"
	"github.com/walwire/walwire/mapping"
)

// A change that can't be decoded takes its table out of service, in the open,
// and no other.
func TestQuarantine(t *testing.T) {
	h, err := NewHub(Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	h.schema.Store(&Schema{})
	bad, good := &shape{mapping: &mapping.Table{Name: "bad"}}, &shape{mapping: &mapping.Table{Name: "good"}}
	h.shapes = map[string]*shape{"bad": bad, "good": good}
	h.tell(false, nil)
	if err := h.readiness(); err != nil {
		t.Fatalf("not ready before: %v", err)
	}
	h.quarantine(bad, errors.New("cut short"))
	h.quarantine(bad, errors.New("again"))
	served := h.serving()
	if err := served.broken["bad"]; err == nil || err.Code != CodeFailedPrecondition || !strings.Contains(err.Message, "quarantined") || strings.Contains(err.Message, "cut short") {
		t.Errorf("clients of the table are told %v", err)
	}
	if served.broken["good"] != nil || served.shapes["good"] != good {
		t.Error("the other table is not served")
	}
	if h.readiness() == nil {
		t.Error("readiness does not say so")
	}
	if n := testutil.ToFloat64(h.Metrics.Quarantined); n != 1 {
		t.Errorf("%v tables are counted", n)
	}
	h.adopt(&Schema{}, nil) // which has neither
	if n := testutil.ToFloat64(h.Metrics.Quarantined); n != 0 || h.readiness() != nil {
		t.Errorf("without the table: %v are counted; %v", n, h.readiness())
	}
}

// Who listens to events of a table that is quarantined is told that some may be missing,
// and hears of it no more; who may get none of them is told nothing of it.
func TestQuarantineTellsListeners(t *testing.T) {
	h, c, l := listenerOf(t)
	s, ss := h.shapes["appointments"], l.session
	told := func() (events []string) {
		var out cut
		ss.collectEvents(&out)
		f := frames{maxBytes: 1 << 20, emit: func(frame []byte) error {
			for _, part := range strings.Split(string(frame), `{"event":`)[1:] {
				events = append(events, part[:strings.IndexAny(part, ",}")])
			}
			return nil
		}}
		for i := range out.updates {
			if p := out.updates[i].pull; p != nil {
				p.to = p.from // the company does not run
			}
		}
		if err := f.write(out.updates); err != nil {
			t.Fatal(err)
		}
		return events
	}
	route := func(tx *cdc.Transaction) {
		h.route(tx)
		h.deliver(c)
		for _, message := range c.inbox.take(nil) {
			for i := range message.txs {
				c.apply(&message.txs[i])
			}
			c.publish()
			if message.do != nil {
				message.do()
			}
		}
	}
	txs := benchTransactions(s, 3, 1, 1)
	for _, tx := range txs {
		tx.Changes[0].Op, tx.Changes[0].OldKind, tx.Changes[0].Old = cdc.OpInsert, 0, pgoutput.Tuple{}
	}
	route(txs[0])
	if got := told(); len(got) != 1 || got[0] != `"a.created"` {
		t.Fatalf("told %v", got)
	}
	txs[1].Changes[0] = cdc.Change{Op: cdc.OpUndecodable, Relation: txs[1].Changes[0].Relation, Err: errors.New("cut short")}
	route(txs[1])
	if got := told(); len(got) != 1 || got[0] != `"gap"` {
		t.Errorf("when it is quarantined: told %v", got)
	}
	route(txs[2])
	if got := told(); len(got) != 0 {
		t.Errorf("after that: told %v", got)
	}
	if c.unlisten(l, func() {}); len(c.channels)+len(c.raiser.tables) != 0 {
		t.Error("something of it is left")
	}
	_, refused := compileEvents(&auth.Principal{Roles: []string{"owner"}}, &clientEvents{Names: []string{"b.created"}}, h.serving())
	if refused == nil || refused.Code != CodePermissionDenied {
		t.Errorf("events that there are not, of a broken table: %v", refused)
	}
}

// listenerOf is a hub with a company in which one session listens to what is made.
func listenerOf(t *testing.T) (*Hub, *company, *listener) {
	t.Helper()
	h, err := NewHub(Options{Consumer: noConsumer{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	m, s := benchMapping(t)
	h.schema.Store(&Schema{Mapping: m})
	h.shapes, h.relations = map[string]*shape{"appointments": s}, map[uint32]*shape{1: s}
	h.ring.begin(1)
	c := newCompany(h, benchCompany)
	h.companies[c.id] = c
	h.ring.scopes[c.id] = &scope{company: c}
	ss := newSession(NewServer(h, ServerOptions{Log: h.Log}), "1", &auth.Principal{ID: "a", Roles: []string{"owner"}}, unheard{})
	ss.company = c
	l := &listener{id: 1, session: ss, request: &clientEvents{Names: []string{"a.created"}}}
	if err := c.listen(l, func() {}); err != nil {
		t.Fatal(err)
	}
	return h, c, l
}
