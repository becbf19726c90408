package auth

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"sync"
	"time"
)

// ErrTooManyTickets is the answer to who holds as many unused tickets as one may.
var ErrTooManyTickets = errors.New("too many unused tickets")

// Tickets stand in for a token once, where none can be sent. They live in this process
// alone: whoever takes over from it knows none, so that no ticket is ever good twice.
// Safe for concurrent use.
type Tickets struct {
	life    time.Duration
	perUser int
	now     func() time.Time

	mu    sync.Mutex // protects following
	held  map[string]ticket
	users map[holder]int
	order []string // oldest first, used ones included until they have expired
}

type ticket struct {
	principal Principal
	expires   time.Time
}

type holder struct{ company, user string }

// NewTickets makes tickets that live so long, so many unused ones a user. now is
// time.Now where it is nil.
func NewTickets(life time.Duration, perUser int, now func() time.Time) *Tickets {
	if now == nil {
		now = time.Now
	}
	return &Tickets{life: life, perUser: perUser, now: now, held: make(map[string]ticket), users: make(map[holder]int)}
}

// Issue makes a ticket for a verified principal.
func (t *Tickets) Issue(p Principal) (text string, expires time.Time, err error) {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	text = base64.RawURLEncoding.EncodeToString(secret)
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	t.expireLocked(now)
	who := holder{p.Company, p.ID}
	if t.users[who] >= t.perUser {
		return "", time.Time{}, ErrTooManyTickets
	}
	expires = now.Add(t.life)
	if p.Expires.Before(expires) {
		expires = p.Expires
	}
	t.held[text] = ticket{p, expires}
	t.users[who]++
	t.order = append(t.order, text)
	return text, expires, nil
}

// Redeem uses a ticket up; false where there is no such, any more.
func (t *Tickets) Redeem(text string) (Principal, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	t.expireLocked(now)
	held, ok := t.held[text]
	if !ok {
		return Principal{}, false
	}
	t.dropLocked(text)
	return held.principal, now.Before(held.expires)
}

// expireLocked lets the oldest go. All live equally long, but those of a token that
// ends sooner: these stay until their turn, and are not redeemed.
func (t *Tickets) expireLocked(now time.Time) {
	n := 0
	for ; n < len(t.order); n++ {
		held, ok := t.held[t.order[n]]
		if ok && now.Before(held.expires) {
			break
		}
		t.dropLocked(t.order[n])
	}
	t.order = t.order[n:]
}

func (t *Tickets) dropLocked(text string) {
	held, ok := t.held[text]
	if !ok {
		return
	}
	delete(t.held, text)
	who := holder{held.principal.Company, held.principal.ID}
	if t.users[who]--; t.users[who] == 0 {
		delete(t.users, who)
	}
}
