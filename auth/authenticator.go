package auth

import (
	"context"
	"fmt"
)

// Authenticator turns a token into a Principal. Immutable.
type Authenticator struct {
	verifier  *Verifier
	paths     ClaimPaths
	operators []string
}

// NewAuthenticator makes an Authenticator of its two halves. operators are roles whose
// tokens are good for any company.
func NewAuthenticator(v *Verifier, paths ClaimPaths, operators ...string) (*Authenticator, error) {
	if err := paths.Validate(); err != nil {
		return nil, fmt.Errorf("map claims: %w", err)
	}
	return &Authenticator{verifier: v, paths: paths, operators: operators}, nil
}

// Authenticate verifies a token and gives its Principal. company is the one that the
// connection names, "" where it names none. Errors are those of Verifier.Verify and
// ClaimPaths.Principal.
func (a *Authenticator) Authenticate(ctx context.Context, token, company string) (Principal, error) {
	claims, err := a.verifier.Verify(ctx, token)
	if err != nil {
		return Principal{}, err
	}
	p, err := a.paths.Principal(claims, Choice{Company: company, Operators: a.operators})
	if err != nil {
		return Principal{}, err
	}
	p.Expires = expiry(claims).Add(a.verifier.config.Skew)
	return p, nil
}
