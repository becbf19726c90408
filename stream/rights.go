package stream

import (
	"errors"
	"reflect"
	"slices"
	"time"

	"github.com/walwire/walwire/auth"
)

// rightsPatience is how long a connection whose rights have changed stands still for
// the rows that it may see now. A query whose rows take longer is shown empty meanwhile,
// and says that it is loading.
const rightsPatience = 250 * time.Millisecond

// identify makes u the session's user.
func (c *company) identify(s *session, u *user) error {
	p, err := u.principal()
	if err != nil {
		return err
	}
	s.user = u
	s.principal.Store(p)
	return nil
}

// renew makes u the session's user instead of who it was, with the rights that this
// one has.
func (c *company) renew(s *session, u *user) {
	former := s.user
	c.halt(s, true)
	s.user = u
	c.reassess(s)
	c.endLookups(former.lookups)
	c.halt(s, false)
}

func (c *company) halt(s *session, paused bool) {
	c.mu.Lock()
	s.paused = paused
	c.mu.Unlock()
	s.kick()
}

// reassess gives a session the rights that its user has now, while its writer stands
// still: what the client is told next is of these rights alone.
func (c *company) reassess(s *session) {
	p, err := s.user.principal()
	if err != nil {
		c.expel(s, err)
		return
	}
	former := s.principal.Swap(p)
	if sameRights(former, p) {
		return
	}
	c.log.Info("rights changed", "session", s.id, "user", p.ID, "roles", p.Roles)
	c.hub.Metrics.RightsChanged.Inc()
	c.grant(s)
}

func sameRights(a, b *auth.Principal) bool {
	return slices.Equal(a.Roles, b.Roles) && reflect.DeepEqual(a.Attributes, b.Attributes)
}

// expel ends a session whose user has no access any more, or is not known.
func (c *company) expel(s *session, err error) {
	end := closing{CloseRightsChanged, "rights changed: connect again"}
	var denied *Error
	switch {
	case errors.As(err, &denied):
		end = closing{CloseAccessEnded, truncateReason(denied.Message)}
		s.say(errorFrame(0, denied))
		c.log.Info("access ended", "session", s.id, "user", s.user.claims.ID, "because", denied.Message)
	case !errors.Is(err, errUserMoved):
		c.log.Error("user not known any more", "session", s.id, "user", s.user.claims.ID, "error", err)
	}
	c.mu.Lock()
	s.revoked = &end
	c.mu.Unlock()
}

// regrant brings a subscription to its session's new rights: its rows are sent anew
// where it shows others by these, and it ends where it may show none.
func (c *company) regrant(sub *subscription, p *auth.Principal) {
	q, err := sub.query.compile(c.served, p)
	if err != nil {
		c.unsubscribe(sub, func() { sub.fail(err) })
		return
	}
	if q.shape == sub.query.shape && c.viewOf(q) == sub.view {
		sub.query = q
		return
	}
	c.replace(sub, q)
	v := sub.view
	if v == nil || sub.attached {
		return
	}
	time.AfterFunc(rightsPatience, func() {
		c.inbox.push(message{do: func() { c.blank(sub, v) }}, 0)
	})
}

// replace makes a subscription one of another query; its session waits at the commit
// before until the rows are there.
func (c *company) replace(sub *subscription, q *query) {
	c.unsubscribe(sub, func() {})
	c.mu.Lock()
	sub.startOverLocked()
	c.mu.Unlock()
	sub.query, sub.read, sub.resume, sub.replaced = q, func() {}, nil, true
	c.subscribe(sub)
}

// blank shows no rows of a subscription whose rows of now have not come yet, so that
// its connection need not stand still for them.
func (c *company) blank(sub *subscription, v *view) {
	c.mu.Lock()
	if sub.view == v && !sub.attached && sub.held {
		sub.held, sub.blank = false, v.head()
	}
	c.mu.Unlock()
	sub.session.kick()
}
