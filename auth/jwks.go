package auth

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// unknownKidBurst is how many fetches unknown kids can bring about at once: the
	// first may come just before the key is published.
	unknownKidBurst = 2
	// fetchPatience is how long a token waits for a fetch. It is less than a
	// connection usually has to authenticate, so that the answer is still heard.
	fetchPatience = 2 * time.Second
	// After a fetch that failed, the next one follows after leastRetry, then after
	// twice that, up to mostRetry.
	leastRetry = time.Second
	mostRetry  = time.Minute
)

// JWKS is a KeySource of the keys that a URL gives (a JSON Web Key Set). Run keeps
// them up to date:
//
//   - A set is fetched at the start and then at every refresh, and sooner when a
//     token names a key that is not known: that token waits for the answer. Such
//     fetches are limited, so strangers can't make many; those who come meanwhile
//     wait for the one that is under way, and beyond the limit are refused at once.
//   - A set that was fetched replaces the one before, whole, so a key that was taken
//     out no longer serves. What is no set, or has no usable key, replaces nothing.
//   - While the URL gives nothing, the keys of before serve, and a key that is not
//     among them can't be told from one that does not exist: that is no refusal but
//     an error, as it is before the first set.
//
// Of keyfunc and jwkset only the reading of a key is used, and the Verifier does
// what keyfunc does for jwt. jwkset's HTTP storage starts its goroutine when it is
// made, not in Run; takes an empty set for good and drops a whole one for one bad
// key; makes HS256 secrets of oct keys; does not bound the answer; and has each token
// with an unknown kid fetch for itself, with one time limit for its turn and its fetch.
type JWKS struct {
	options JWKSOptions
	fetcher *keySetFetcher
	limiter *rate.Limiter // of the fetches for unknown kids
	wake    chan struct{} // holds one: Run is to fetch now

	mu       sync.Mutex    // protects following
	set      *KeySet       // nil before the first
	state    JWKSState     // but for Keys
	fetching chan struct{} // closed when the fetch that was asked for, or is under way, has ended; nil: there is none
	ended    bool          // Run has returned
}

// JWKSState is how a JWKS does.
type JWKSState struct {
	Keys            int       // that verify tokens now
	LastSuccess     time.Time // zero: never
	Err             error     // of the latest fetch, nil when it went well
	Fetched, Failed uint64    // fetches
}

// NewJWKS makes a JWKS. Nothing is fetched before Run.
func NewJWKS(o JWKSOptions) (*JWKS, error) {
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	return &JWKS{
		options: o, fetcher: newKeySetFetcher(o),
		limiter:  rate.NewLimiter(rate.Every(o.UnknownKidInterval), unknownKidBurst),
		wake:     make(chan struct{}, 1),
		fetching: make(chan struct{}), // Run's first: who comes earlier waits for it
	}, nil
}

// Key implements KeySource.
func (j *JWKS) Key(ctx context.Context, kid string) (*Key, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchPatience)
	defer cancel()
	// A fetch that was under way may have missed a key published meanwhile: then
	// there is one more, and no third.
	for range 2 {
		done, asked := j.fetch(kid)
		if done == nil {
			break
		}
		select {
		case <-done:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the keys of tokens: %w", ctx.Err())
		}
		if asked {
			break
		}
	}
	return j.known(kid)
}

// known finds a key among those at hand.
func (j *JWKS) known(kid string) (*Key, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.set != nil {
		if k := j.set.key(kid); k != nil {
			return k, nil
		}
		if kid == "" {
			return nil, fmt.Errorf("%w: the token names none of the %d keys", ErrUnknownKey, j.set.Len())
		}
	}
	switch {
	case j.state.Err != nil:
		return nil, fmt.Errorf("the keys of tokens can't be fetched: %w", j.state.Err)
	case j.set == nil:
		return nil, errors.New("the keys of tokens are not fetched yet")
	}
	return nil, ErrUnknownKey
}

// fetch gives the end of the fetch that may bring a key, and whether it is made for
// that; nil where the key is there, or there is no use or no right to a fetch.
func (j *JWKS) fetch(kid string) (done <-chan struct{}, asked bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.ended, j.set != nil && (kid == "" || j.set.key(kid) != nil):
		return nil, false
	case j.fetching != nil:
		return j.fetching, false
	case !j.limiter.Allow():
		return nil, false
	}
	j.fetching = make(chan struct{})
	j.wake <- struct{}{} // never full here: each fetch begins with emptying it
	return j.fetching, true
}

// State tells how it does.
func (j *JWKS) State() JWKSState {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.state
	if j.set != nil {
		s.Keys = j.set.Len()
	}
	return s
}

// Fetch gives what the URL gives now. It changes nothing.
func (j *JWKS) Fetch(ctx context.Context) (*KeySet, error) { return j.fetcher.fetch(ctx) }
