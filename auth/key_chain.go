package auth

import (
	"context"
	"errors"
	"fmt"
)

// KeyChain is a KeySource of several: the first that has the key gives it.
// Immutable.
type KeyChain []KeySource

// Key implements KeySource. A token must name its key, as there are several. A
// source that can't say now is passed over while a later one has the key.
func (c KeyChain) Key(ctx context.Context, kid string) (*Key, error) {
	if kid == "" {
		return nil, fmt.Errorf("%w: the token names none of the keys", ErrUnknownKey)
	}
	answer := ErrUnknownKey
	for _, source := range c {
		key, err := source.Key(ctx, kid)
		if err == nil {
			return key, nil
		}
		if !errors.Is(err, ErrUnknownKey) {
			answer = err
		}
	}
	return nil, answer
}
