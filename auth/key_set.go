package auth

import (
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// KeySet is the usable keys of a JSON Web Key Set, at least one. Immutable.
type KeySet struct {
	keys    map[string]*Key // by kid; "" is a key without one, which is then the only key
	ignored []string
}

// Len counts the keys.
func (s *KeySet) Len() int { return len(s.keys) }

// Ignored says of each key that can't verify tokens which it is and why.
func (s *KeySet) Ignored() []string { return slices.Clone(s.ignored) }

// parseKeySet reads a set. A key that can't be used is left out; a set without a
// usable one is an error.
func parseKeySet(data []byte, accepted []Algorithm) (*KeySet, error) {
	var raw struct {
		// Each by itself, so that one that can't be read takes no other with it.
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, fmt.Errorf("the answer is not a JSON Web Key Set: %w", err)
	}
	set := &KeySet{keys: make(map[string]*Key)}
	nameless := make(map[int]*Key)
	for i, data := range raw.Keys {
		key, err := parseJWK(data, accepted)
		switch {
		case err != nil:
			set.ignore(i, key, err)
		case key.id == "":
			nameless[i] = key
		case set.keys[key.id] != nil:
			set.ignore(i, key, errors.New("has the kid of an earlier one"))
		default:
			set.keys[key.id] = key
		}
	}
	for _, i := range slices.Sorted(maps.Keys(nameless)) {
		if len(nameless) == 1 && len(set.keys) == 0 {
			set.keys[""] = nameless[i]
		} else {
			set.ignore(i, nil, errors.New("has no kid, and there are others"))
		}
	}
	switch {
	case len(raw.Keys) == 0:
		return nil, errors.New("the set has no keys")
	case len(set.keys) == 0:
		return nil, fmt.Errorf("the set has no usable key: %s", strings.Join(set.ignored, "; "))
	}
	return set, nil
}

func (s *KeySet) ignore(i int, k *Key, why error) {
	name := fmt.Sprintf("key %d", i+1)
	if k != nil && k.id != "" {
		name += fmt.Sprintf(" (%q)", k.id)
	}
	s.ignored = append(s.ignored, name+" "+why.Error())
}

// key finds the key of a kid. "" is the only key, if there is just one.
func (s *KeySet) key(kid string) *Key {
	if kid == "" && len(s.keys) == 1 {
		for _, k := range s.keys {
			return k
		}
	}
	return s.keys[kid]
}

// same reports whether two sets have the same keys and ignore the same.
func (s *KeySet) same(o *KeySet) bool {
	return o != nil && maps.EqualFunc(s.keys, o.keys, sameKey) && slices.Equal(s.ignored, o.ignored)
}

func sameKey(a, b *Key) bool {
	public, ok := a.material.(interface{ Equal(crypto.PublicKey) bool })
	return ok && a.algorithm == b.algorithm && public.Equal(b.material)
}

// ids gives the kids in order.
func (s *KeySet) ids() []string { return slices.Sorted(maps.Keys(s.keys)) }
