package auth

import (
	"context"
	"errors"
	"fmt"
)

// KeySource finds the key that verifies a token. kid is "" when the token names
// none. No such key is ErrUnknownKey; any other error means that the source
// can't say now.
type KeySource interface {
	Key(ctx context.Context, kid string) (*Key, error)
}

// ErrUnknownKey is a KeySource's answer when it has no such key.
var ErrUnknownKey = errors.New("unknown key")

// KeyRing is a KeySource of fixed keys. Immutable.
type KeyRing struct{ keys map[string]*Key }

// NewKeyRing makes a KeyRing. Each key needs an id of its own.
func NewKeyRing(keys ...*Key) (*KeyRing, error) {
	if len(keys) == 0 {
		return nil, errors.New("no key to verify tokens with")
	}
	ring := &KeyRing{keys: make(map[string]*Key, len(keys))}
	for _, k := range keys {
		if k.id == "" {
			return nil, errors.New("a key has no id")
		}
		if ring.keys[k.id] != nil {
			return nil, fmt.Errorf("two keys have the id %q", k.id)
		}
		ring.keys[k.id] = k
	}
	return ring, nil
}

// Key implements KeySource. A token without a kid gets the only key there is;
// where there are several it must say which.
func (r *KeyRing) Key(_ context.Context, kid string) (*Key, error) {
	if kid == "" {
		if len(r.keys) > 1 {
			return nil, fmt.Errorf("%w: the token names none of the %d keys", ErrUnknownKey, len(r.keys))
		}
		for _, k := range r.keys {
			return k, nil
		}
	}
	if k := r.keys[kid]; k != nil {
		return k, nil
	}
	return nil, ErrUnknownKey
}
