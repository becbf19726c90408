package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/MicahParks/jwkset"
)

// parseJWK makes the Key of a JSON Web Key (RFC 7517) that verifies tokens by one
// of the accepted algorithms. An error is why it can't, and tells nothing of the
// key but its public parameters.
func parseJWK(data []byte, accepted []Algorithm) (*Key, error) {
	var m jwkset.JWKMarshal
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("is not a JSON Web Key: %w", err)
	}
	key := &Key{id: m.KID, algorithm: Algorithm(m.ALG)}
	if key.algorithm == "" {
		key.algorithm = algorithmOf(m)
	}
	switch {
	case m.KTY == jwkset.KtyOct || m.K != "":
		return key, errors.New("is a secret, which has no place where everybody can fetch it: replace it")
	case isPrivate(m):
		return key, errors.New("is a private key, with which everybody who fetches it can sign: replace it")
	case m.USE != "" && m.USE != jwkset.UseSig:
		return key, fmt.Errorf("is for %q, not for signatures", m.USE)
	case len(m.KEYOPS) > 0 && !slices.Contains(m.KEYOPS, jwkset.KeyOpsVerify):
		return key, fmt.Errorf("is for %q, not to verify", m.KEYOPS)
	case !slices.Contains(accepted, key.algorithm):
		return key, fmt.Errorf("is of the algorithm %q, which is not one of those accepted, %q", key.algorithm, accepted)
	}
	// What is trusted is the URL. A certificate beside the key adds nothing, and one
	// that has expired or is not understood would take the key with it.
	m.X5C, m.X5T, m.X5TS256, m.X5U = nil, "", "", ""
	parsed, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
	if err != nil {
		return key, fmt.Errorf("can't be read: %w", err)
	}
	if err := fits(key.algorithm, parsed.Key()); err != nil {
		return key, fmt.Errorf("does not fit: %w", err)
	}
	key.material = parsed.Key()
	return key, nil
}

// algorithmOf is the algorithm of a key that names none; "" where its kind has none
// that is known here.
func algorithmOf(m jwkset.JWKMarshal) Algorithm {
	switch {
	case m.KTY == jwkset.KtyRSA:
		return RS256
	case m.KTY == jwkset.KtyEC && m.CRV == jwkset.CrvP256:
		return ES256
	case m.KTY == jwkset.KtyOKP && m.CRV == jwkset.CrvEd25519:
		return EdDSA
	}
	return ""
}

// isPrivate reports whether any private parameter is there, also one alone.
func isPrivate(m jwkset.JWKMarshal) bool {
	return m.D+m.P+m.Q+m.DP+m.DQ+m.QI != "" || len(m.OTH) > 0
}
