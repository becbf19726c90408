package auth

import (
	"context"
	"fmt"
)

// Authenticator turns a token into a Principal. Immutable.
type Authenticator struct {
	verifier *Verifier
	paths    ClaimPaths
}

// NewAuthenticator makes an Authenticator of its two halves.
func NewAuthenticator(v *Verifier, paths ClaimPaths) (*Authenticator, error) {
	if err := paths.Validate(); err != nil {
		return nil, fmt.Errorf("map claims: %w", err)
	}
	return &Authenticator{verifier: v, paths: paths}, nil
}

// Authenticate verifies a token and gives its Principal; errors are those of
// Verifier.Verify and ClaimPaths.Principal.
func (a *Authenticator) Authenticate(ctx context.Context, token string) (Principal, error) {
	claims, err := a.verifier.Verify(ctx, token)
	if err != nil {
		return Principal{}, err
	}
	p, err := a.paths.Principal(claims)
	if err != nil {
		return Principal{}, err
	}
	p.Expires = expiry(claims).Add(a.verifier.config.Skew)
	return p, nil
}
