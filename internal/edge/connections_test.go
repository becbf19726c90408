package edge

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

var (
	home  = netip.MustParseAddr("198.51.100.1")
	other = netip.MustParseAddr("198.51.100.2")
)

func mustRefuse(t *testing.T, err error, limit string) *Refusal {
	t.Helper()
	var r *Refusal
	if !errors.As(err, &r) || r.Limit != limit || r.RetryAfter < time.Second {
		t.Fatalf("%v (%+v), want a refusal by %s", err, r, limit)
	}
	return r
}

func TestAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewConnections(Limits{AttemptsPerSecond: 2, AttemptsBurst: 6})
		spend := func(n int) {
			t.Helper()
			for range n {
				if err := c.Attempt(home); err != nil {
					t.Fatal(err)
				}
			}
			mustRefuse(t, c.Attempt(home), LimitAttempts)
		}
		spend(6)
		if err := c.Attempt(other); err != nil {
			t.Errorf("another address: %v", err)
		}
		time.Sleep(time.Second)
		spend(2)
		time.Sleep(2900 * time.Millisecond) // a generation has passed, and the limiter not
		spend(5)
		time.Sleep(time.Hour)
		spend(6)
		r := mustRefuse(t, c.Attempt(home), LimitAttempts)
		if want := "too many attempts to connect from this address (limits.connection_attempts_per_second is 2): try again in 1s"; r.Error() != want {
			t.Errorf("says %q", r)
		}
		time.Sleep(r.RetryAfter)
		if err := c.Attempt(home); err != nil {
			t.Errorf("after the time named: %v", err)
		}
	})
}

// Whoever keeps trying gets no more than the rate, over any number of generations.
func TestAttemptRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewConnections(Limits{AttemptsPerSecond: 10, AttemptsBurst: 20})
		got := 0
		for range 100_000 {
			if c.Attempt(home) == nil {
				got++
			}
			time.Sleep(time.Millisecond)
		}
		if want := 20 + 100*10; got < want-1 || got > want+1 {
			t.Errorf("%d attempts in 100 s, want %d", got, want)
		}
	})
}

// What is kept of addresses is bounded, and forgotten when they have gone.
func TestAttemptMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewConnections(Limits{AttemptsPerSecond: 100, AttemptsBurst: 500})
		a := netip.MustParseAddr("10.0.0.0")
		for range 4 * maxAttempts {
			if err := c.Attempt(a); err != nil {
				t.Fatal(err)
			}
			a = a.Next()
		}
		if n := c.attempts.remembered(); n > 2*maxAttempts {
			t.Errorf("%d addresses are remembered", n)
		}
		for range 2 {
			time.Sleep(5 * time.Second)
			_ = c.Attempt(home)
		}
		if n := c.attempts.remembered(); n != 1 {
			t.Errorf("%d addresses are remembered after all but one have gone", n)
		}
	})
}

// A /64 of IPv6 is one client, its neighbour another; an address mapped from IPv4 is
// that address.
func TestAddressFamilies(t *testing.T) {
	c := NewConnections(Limits{AttemptsPerSecond: 1, AttemptsBurst: 1, PerAddress: 1})
	for _, tc := range []struct{ first, same, neighbour string }{
		{"2001:db8:0:1::1", "2001:db8:0:1:ffff::9", "2001:db8:0:2::1"},
		{"203.0.113.1", "::ffff:203.0.113.1", "203.0.113.2"},
	} {
		first, same, neighbour := netip.MustParseAddr(tc.first), netip.MustParseAddr(tc.same), netip.MustParseAddr(tc.neighbour)
		if err := errors.Join(c.Attempt(first), c.Attempt(neighbour)); err != nil {
			t.Error(err)
		}
		mustRefuse(t, c.Attempt(same), LimitAttempts)
		release, err := c.Address(first)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Address(same)
		mustRefuse(t, err, LimitAddress)
		if _, err := c.Address(neighbour); err != nil {
			t.Error(err)
		}
		release()
		if _, err := c.Address(same); err != nil {
			t.Error(err)
		}
	}
	for range 3 { // who has no address can't be told apart
		release, err := c.Address(netip.Addr{})
		if err := errors.Join(err, c.Attempt(netip.Addr{})); err != nil {
			t.Error(err)
		}
		release()
	}
}

func TestOpenLimits(t *testing.T) {
	c := NewConnections(Limits{PerAddress: 2, PerUser: 2, PerCompany: 2})
	for limit, take := range map[string]func(string) (func(), error){
		LimitAddress: func(k string) (func(), error) {
			return c.Address(map[string]netip.Addr{"a": home, "b": other}[k])
		},
		LimitUser:    func(k string) (func(), error) { return c.User("company of "+k, "anna") },
		LimitCompany: c.Company,
	} {
		t.Run(limit, func(t *testing.T) {
			one, err := take("a")
			if err != nil {
				t.Fatal(err)
			}
			if _, err = take("a"); err != nil {
				t.Fatal(err)
			}
			_, err = take("a")
			mustRefuse(t, err, limit)
			if _, err := take("b"); err != nil {
				t.Errorf("the other one: %v", err)
			}
			for range 3 { // gives one place back, not three
				one()
			}
			if _, err := take("a"); err != nil {
				t.Errorf("after a release: %v", err)
			}
			_, err = take("a")
			mustRefuse(t, err, limit)
		})
	}
}

func TestConnectionsMetrics(t *testing.T) {
	c := NewConnections(Limits{PerAddress: 4, PerUser: 2})
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	for range 3 {
		_, _ = c.Address(home)
		_, _ = c.User("1", "anna")
	}
	for limit, want := range map[string]float64{LimitAddress: 0, LimitUser: 1} {
		if got := testutil.ToFloat64(c.refused.WithLabelValues(limit)); got != want {
			t.Errorf("%s: %v refused, want %v", limit, got, want)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	used := make(map[string]float64)
	for _, f := range families {
		if f.GetName() == "walwire_limit_used_ratio" {
			for _, m := range f.GetMetric() {
				used[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
			}
		}
	}
	if used[LimitAddress] != 0.75 || used[LimitUser] != 1 || used[LimitCompany] != 0 {
		t.Errorf("used %v", used)
	}
}

// Many at once: never more than the limit are inside, and nothing is left behind.
func TestConnectionsConcurrent(t *testing.T) {
	const limit = 5
	c := NewConnections(Limits{AttemptsPerSecond: 1000, AttemptsBurst: 1000, PerAddress: limit, PerUser: limit, PerCompany: limit})
	var mu sync.Mutex
	inside := make(map[string]int)
	enter := func(key string, by int) {
		mu.Lock()
		defer mu.Unlock()
		if inside[key] += by; inside[key] > limit {
			t.Errorf("%d of %s are inside", inside[key], key)
		}
	}
	var wg sync.WaitGroup
	for n := range 32 {
		wg.Go(func() {
			for range 300 {
				_ = c.Attempt(home)
				company := fmt.Sprint((n + rand.IntN(2)) % 3)
				release, err := c.Company(company)
				if err != nil {
					continue
				}
				enter(company, 1)
				user, userErr := c.User(company, "u")
				address, addressErr := c.Address(home)
				if addressErr == nil {
					enter("address", 1)
					enter("address", -1)
					address()
				}
				if userErr == nil {
					user()
				}
				enter(company, -1)
				var both sync.WaitGroup
				both.Go(release)
				both.Go(release)
				both.Wait()
			}
		})
	}
	wg.Wait()
	if len(c.addresses)+len(c.users)+len(c.companies) > 0 {
		t.Errorf("left: %v %v %v", c.addresses, c.users, c.companies)
	}
}
