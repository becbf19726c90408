package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walwire/walwire/cdc"
)

func eventEntry(names ...string) *entry {
	e := &entry{position: 7}
	for _, name := range names {
		e.ops = append(e.ops, op{kind: opEvent, data: fmt.Appendf(nil, `{"event":%q}`, name)})
	}
	return e
}

// Gaps and what follows them stand in one list, however much follows.
func TestGapBeforeEntries(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3} {
		var entries []*entry
		for range n {
			entries = append(entries, eventEntry("a.b"))
		}
		var told []string
		f := frames{maxBytes: 1 << 20, cursor: "c", emit: func(frame []byte) error {
			var data struct {
				Subscriptions []struct{ Events []struct{ Event string } }
			}
			if err := json.Unmarshal(frame, &data); err != nil {
				t.Fatalf("%d entries: %v: %s", n, err, frame)
			}
			for _, s := range data.Subscriptions {
				for _, e := range s.Events {
					told = append(told, e.Event)
				}
			}
			return nil
		}}
		if err := f.write([]update{{id: 1, names: []byte(`,"names":[]`), pull: &pull{gaps: []gap{{because: "x"}}}, entries: entries}}); err != nil {
			t.Fatal(err)
		}
		if len(told) != 1+n || told[0] != "gap" {
			t.Errorf("%d entries: told %v", n, told)
		}
	}
}

// A company that ends while the log is looked through leaves no frame behind whose cursor
// says that all has been told; and what it was doing is not read while it does it.
func TestPullOfEndedCompany(t *testing.T) { synctest.Test(t, pullOfEndedCompany) }

func pullOfEndedCompany(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	h := &Hub{ctx: ctx, done: make(chan struct{})}
	c := &company{hub: h, ended: make(chan struct{}), inbox: inbox{ready: make(chan struct{}, 1)}, served: &tables{}}
	begun := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		defer close(c.ended)
		<-c.inbox.ready
		for _, m := range c.inbox.take(nil) {
			close(begun)
			synctest.Wait() // it takes longer than the hub's end
			m.do()
		}
		<-ctx.Done()
	})
	group.Go(func() {
		<-begun
		cancel()
		close(h.done)
	})
	l := &listener{session: &session{}} // nothing is served: nothing is found for it
	var sent int
	f := frames{maxBytes: 1 << 20, cursor: "c", emit: func([]byte) error { sent++; return nil }}
	late := update{id: 1, pull: &pull{company: c, listener: l, from: 1, to: 9}}
	if err := f.write([]update{late}); err != nil || sent != 1 {
		t.Errorf("looked through to the end: %v, %d frames", err, sent)
	}
	group.Wait()
	if err := f.write([]update{late}); !errors.Is(err, errClosed) || sent != 1 {
		t.Errorf("a frame of a company that has ended: %v, %d frames", err, sent)
	}
}

// Nor does a session that leaves meanwhile, for whom nothing is found any more.
func TestPullOfWhoHasLeft(t *testing.T) {
	c := &company{hub: &Hub{}, ended: make(chan struct{}), inbox: inbox{ready: make(chan struct{}, 1)}, served: &tables{}}
	var group sync.WaitGroup
	group.Go(func() {
		<-c.inbox.ready
		for _, m := range c.inbox.take(nil) {
			m.do()
		}
	})
	sent := 0
	f := frames{maxBytes: 1 << 20, cursor: "c", emit: func([]byte) error { sent++; return nil }}
	left := &listener{session: &session{closed: true}}
	if err := f.write([]update{{id: 1, pull: &pull{company: c, listener: left, from: 1, to: 9}}}); !errors.Is(err, errClosed) || sent > 0 {
		t.Errorf("a frame of who has left: %v, %d frames", err, sent)
	}
	group.Wait()
}

// What no frame can hold is not made into one text, which would be kept for every
// subscription beside what it is made of.
func TestLargeEntryIsNotKeptTwice(t *testing.T) {
	for _, n := range []int{3, 3000} {
		e := eventEntry()
		for range n {
			e.ops = append(e.ops, op{kind: opEvent, data: []byte(`{"event":"a.b"}`)})
		}
		told := 0
		f := frames{maxBytes: 1 << 10, emit: func(frame []byte) error {
			told += strings.Count(string(frame), `{"event":`)
			return nil
		}}
		if err := f.write([]update{{id: 1, entries: []*entry{e}}}); err != nil || told != n {
			t.Errorf("told %d of %d: %v", told, n, err)
		}
		if kept := e.text.Load() != nil; kept != (n == 3) {
			t.Errorf("%d events: the text is kept: %v", n, kept)
		}
	}
}

// Who unsubscribes while the log is looked through is told all of it before.
func TestPullOfWhoUnsubscribes(t *testing.T) {
	h, c, l := listenerOf(t)
	tx := benchTransactions(h.shapes["appointments"], 1, 1, 1)[0]
	tx.Changes[0] = cdc.Change{Op: cdc.OpInsert, Relation: tx.Changes[0].Relation, New: tx.Changes[0].New}
	c.recent = h.splitFor(c, []*cdc.Transaction{tx})
	c.unlisten(l, func() {})
	if events, next := c.eventsAfter(l, 1, tx.End); len(events) != 1 || next != tx.End {
		t.Errorf("%d events up to %s", len(events), next)
	}
}

// Before the stream has begun there is no cursor to tell anything with: an events
// subscription waits with its first entry.
func TestListenBeforeTheStreamBegins(t *testing.T) {
	h, c, l := listenerOf(t)
	h.beating = true // there is no database to ask
	h.epoch.Store(nil)
	if out, ok := l.session.collect(); ok || len(out.updates) > 0 || l.opened {
		t.Fatalf("told %+v without a cursor", out)
	}
	h.begin()
	for _, m := range c.inbox.take(nil) {
		m.do()
	}
	if out, ok := l.session.collect(); !ok || len(out.updates) != 1 || out.updates[0].names == nil || out.cursor == "" {
		t.Errorf("then %+v", out)
	}
}

// The handler of a poll whose answer could not be written does not end another that has
// come since.
func TestPollAfterLostAnswer(t *testing.T) {
	polls := newPolling()
	polls.idle = time.AfterFunc(time.Hour, func() {})
	defer polls.idle.Stop()
	first, _, lost, err := polls.begin(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	answer, _ := polls.take(first, 1)
	_, known, again, err := polls.begin(t.Context(), 1)
	if err != nil || string(known) != string(answer) {
		t.Fatalf("again: %s, %v", known, err)
	}
	polls.rest(again, time.Hour)
	second, _, _, err := polls.begin(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	polls.rest(lost, time.Hour)
	if _, ok := polls.take(second, 2); !ok {
		t.Error("the poll that waits was ended")
	}
}
