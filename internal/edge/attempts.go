package edge

import (
	"net/netip"
	"time"

	"golang.org/x/time/rate"
)

// maxAttempts bounds the addresses remembered in one of two generations. An attacker
// with more addresses than that gets a full burst for each of them, as it would anyway.
const maxAttempts = 1 << 16

// attempts bounds how often each address connects. Limiters lie in two generations:
// one that is asked for moves to the newer, and the older is dropped when the newer has
// lasted for as long as an empty limiter takes to be full again. What is dropped then
// has not been asked for that long, so it is full, which is what a new one is.
type attempts struct {
	rate       rate.Limit
	burst      int
	refill     time.Duration // from empty to full
	since      time.Time     // when newer was begun
	newer, old map[netip.Addr]*rate.Limiter
}

func newAttempts(perSecond, burst int, now time.Time) *attempts {
	return &attempts{
		rate: rate.Limit(perSecond), burst: burst, since: now,
		refill: time.Duration(float64(burst) / float64(perSecond) * float64(time.Second)),
		newer:  make(map[netip.Addr]*rate.Limiter),
	}
}

// allow takes one attempt of an address, or says when there will be one.
func (a *attempts) allow(of netip.Addr, now time.Time) (again time.Duration, ok bool) {
	if now.Sub(a.since) >= a.refill || len(a.newer) >= maxAttempts {
		a.old, a.newer, a.since = a.newer, make(map[netip.Addr]*rate.Limiter), now
	}
	limiter := a.newer[of]
	if limiter == nil {
		if limiter = a.old[of]; limiter == nil {
			limiter = rate.NewLimiter(a.rate, a.burst)
		}
		delete(a.old, of)
		a.newer[of] = limiter
	}
	if limiter.AllowN(now, 1) {
		return 0, true
	}
	missing := 1 - limiter.TokensAt(now)
	return time.Duration(missing / float64(a.rate) * float64(time.Second)), false
}

// remembered is how many addresses are.
func (a *attempts) remembered() int { return len(a.newer) + len(a.old) }
