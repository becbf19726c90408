package auth

import (
	"errors"
	"testing"
	"time"
)

func TestTickets(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	tickets := NewTickets(30*time.Second, 2, func() time.Time { return now })
	anna := Principal{ID: "anna", Company: "1", Expires: now.Add(time.Hour)}
	issue := func(p Principal) string {
		t.Helper()
		text, _, err := tickets.Issue(p)
		must(t, err)
		return text
	}
	t.Run("Once", func(t *testing.T) {
		text := issue(anna)
		if p, ok := tickets.Redeem(text); !ok || p.ID != "anna" {
			t.Errorf("got %+v, %v", p, ok)
		}
		if _, ok := tickets.Redeem(text); ok {
			t.Error("a ticket is good twice")
		}
	})
	t.Run("Unknown", func(t *testing.T) {
		if _, ok := tickets.Redeem("nope"); ok {
			t.Error("any text is a ticket")
		}
		if _, ok := NewTickets(time.Minute, 2, nil).Redeem(issue(anna)); ok {
			t.Error("another process takes the ticket")
		}
	})
	t.Run("PerUser", func(t *testing.T) {
		issue(anna) // and the one that another process did not take
		if _, _, err := tickets.Issue(anna); !errors.Is(err, ErrTooManyTickets) {
			t.Errorf("a third ticket: %v", err)
		}
		issue(Principal{ID: "anna", Company: "2", Expires: now.Add(time.Hour)})
	})
	t.Run("Expired", func(t *testing.T) {
		now = now.Add(time.Minute)
		text := issue(anna)
		now = now.Add(30 * time.Second)
		if _, ok := tickets.Redeem(text); ok {
			t.Error("an old ticket is good")
		}
		if len(tickets.held)+len(tickets.order)+len(tickets.users) != 0 {
			t.Errorf("left behind: %v %v %v", tickets.held, tickets.order, tickets.users)
		}
	})
	t.Run("TokenEndsSooner", func(t *testing.T) {
		text, expires, err := tickets.Issue(Principal{ID: "b", Expires: now.Add(time.Second)})
		must(t, err)
		if !expires.Equal(now.Add(time.Second)) {
			t.Errorf("expires %v", expires)
		}
		now = now.Add(2 * time.Second)
		if _, ok := tickets.Redeem(text); ok {
			t.Error("a ticket outlives its token")
		}
	})
}
