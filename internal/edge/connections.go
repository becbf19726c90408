package edge

import (
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// retryAfter is what a client is told that has too many connections: long enough
// not to be a load, short enough for who has just closed one.
const retryAfter = 10 * time.Second

// Limits bound connections. Zero is no limit.
type Limits struct {
	AttemptsPerSecond int // of one address
	AttemptsBurst     int // at least 1 where AttemptsPerSecond is set
	PerAddress        int // open at once
	PerUser           int
	PerCompany        int
}

// Connections counts connections and attempts at them, and refuses what goes beyond
// the limits. An address in IPv6 stands for its /64. Who has no address (the peers of
// a Unix socket) can't be told apart, and is limited by user and company alone.
//
// It is a prometheus.Collector. Safe for concurrent use.
type Connections struct {
	limits  Limits
	refused *prometheus.CounterVec // by limit

	mu        sync.Mutex // protects following
	attempts  *attempts  // nil: not limited
	addresses map[netip.Addr]int
	users     map[user]int
	companies map[string]int
}

// user is one of a company: ids of users are unique in it only.
type user struct{ company, id string }

// NewConnections makes the counts, all zero.
func NewConnections(l Limits) *Connections {
	c := &Connections{
		limits: l,
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "walwire_connections_refused_total", Help: "Connections refused by a limit, by its name in the configuration.",
		}, []string{"limit"}),
		addresses: make(map[netip.Addr]int), users: make(map[user]int), companies: make(map[string]int),
	}
	if l.AttemptsPerSecond > 0 {
		c.attempts = newAttempts(l.AttemptsPerSecond, max(l.AttemptsBurst, 1), time.Now())
	}
	for _, limit := range []string{LimitAttempts, LimitAddress, LimitUser, LimitCompany} {
		c.refused.WithLabelValues(limit) // so that it is there before the first
	}
	return c
}

// Attempt takes one attempt to connect, before anything is known of the client but its
// address. The error is a *Refusal.
func (c *Connections) Attempt(address netip.Addr) error {
	if c.attempts == nil || !address.IsValid() {
		return nil
	}
	now := time.Now()
	c.mu.Lock()
	again, ok := c.attempts.allow(owner(address), now)
	c.mu.Unlock()
	if ok {
		return nil
	}
	return c.refuse(LimitAttempts, c.limits.AttemptsPerSecond, again, "too many attempts to connect from this address")
}

// Address takes a place among the open connections of an address. release gives it
// back; calling it again does nothing. The error is a *Refusal.
func (c *Connections) Address(address netip.Addr) (release func(), err error) {
	if !address.IsValid() {
		return func() {}, nil
	}
	release, ok := take(c, c.addresses, owner(address), c.limits.PerAddress)
	if !ok {
		return nil, c.refuse(LimitAddress, c.limits.PerAddress, retryAfter, "too many open connections from this address")
	}
	return release, nil
}

// User is Address for a user of a company.
func (c *Connections) User(company, id string) (release func(), err error) {
	release, ok := take(c, c.users, user{company, id}, c.limits.PerUser)
	if !ok {
		return nil, c.refuse(LimitUser, c.limits.PerUser, retryAfter, "too many open connections of this user")
	}
	return release, nil
}

// Company is Address for a company.
func (c *Connections) Company(company string) (release func(), err error) {
	release, ok := take(c, c.companies, company, c.limits.PerCompany)
	if !ok {
		return nil, c.refuse(LimitCompany, c.limits.PerCompany, retryAfter, "too many open connections of this company")
	}
	return release, nil
}

// take counts one more under key, and what it gives counts it off once. A key without
// connections is not kept.
func take[K comparable](c *Connections, counts map[K]int, key K, limit int) (release func(), ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if limit > 0 && counts[key] >= limit {
		return nil, false
	}
	counts[key]++
	var once sync.Once
	return func() {
		once.Do(func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			if counts[key]--; counts[key] == 0 {
				delete(counts, key)
			}
		})
	}, true
}

func (c *Connections) refuse(limit string, value int, again time.Duration, what string) error {
	c.refused.WithLabelValues(limit).Inc()
	seconds := (again + time.Second - 1).Truncate(time.Second) // Retry-After knows no less
	return &Refusal{Limit: limit, Value: value, RetryAfter: max(seconds, time.Second), what: what}
}
