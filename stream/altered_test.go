package stream

import (
	"log/slog"
	"testing"

	"github.com/walwire/walwire/auth"
)

// discard is a transport whose client takes everything.
type discard struct{}

func (discard) Send([]byte, turn) error { return nil }
func (discard) Close(int, string)       {}
func (discard) Cut()                    {}

// While the subscriptions of an altered table are made anew, their session can't
// collect: it would move its other queries on without them.
func TestAlteredSessionStands(t *testing.T) {
	h, c, s := benchHub(t, 2)
	server := NewServer(h, ServerOptions{Log: slog.New(slog.DiscardHandler)})
	ss := newSession(server, "session", &auth.Principal{}, discard{})
	ss.company = c
	asked := 0
	for _, v := range c.tables[s].views {
		sub := &subscription{id: uint64(len(ss.queries) + 1), session: ss, view: v, attached: true, shown: true, read: func() {}}
		sub.query = &query{shape: s, compile: func(*tables, *auth.Principal) (*query, *Error) {
			asked++
			if _, ok := ss.collect(); ok {
				t.Error("the session collected while its table was being altered")
			}
			return nil, errorf(CodePermissionDenied, "the column is gone")
		}}
		v.subscribers[sub] = struct{}{}
		ss.queries = append(ss.queries, sub)
		ss.subscriptions = append(ss.subscriptions, sub)
	}
	if _, ok := ss.collect(); !ok {
		t.Fatal("the session can't collect before the table is altered")
	}
	altered := *s
	c.adopt(&tables{shapes: map[string]*shape{"appointments": &altered}}, nil)
	if asked != 2 || len(ss.subscriptions) != 0 {
		t.Errorf("%d queries compiled again, %d subscriptions left; want 2 and 0", asked, len(ss.subscriptions))
	}
	if _, ok := ss.collect(); !ok {
		t.Error("the session still stands after its table was altered")
	}
	server.crew.Wait()
}
