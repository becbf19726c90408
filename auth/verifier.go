package auth

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// DefaultMaxBytes is the longest token accepted where nothing else is said.
const DefaultMaxBytes = 8 << 10

// maxSkew is the largest difference of clocks that is believable.
const maxSkew = 5 * time.Minute

// VerifierConfig says which tokens a Verifier accepts.
type VerifierConfig struct {
	Issuer   string
	Audience []string // one of them is needed
	Skew     time.Duration
	Keys     KeySource
	MaxBytes int              // 0 is DefaultMaxBytes
	Now      func() time.Time // nil is time.Now
}

// Verifier checks tokens. Immutable.
type Verifier struct {
	config VerifierConfig
	parser *jwt.Parser
}

// NewVerifier makes a Verifier. Issuer, audience and keys are required.
func NewVerifier(c VerifierConfig) (*Verifier, error) {
	switch {
	case c.Issuer == "":
		return nil, errors.New("verify tokens: no issuer is given")
	case len(c.Audience) == 0 || slices.Contains(c.Audience, ""):
		return nil, errors.New("verify tokens: no audience is given")
	case c.Keys == nil:
		return nil, errors.New("verify tokens: no keys are given")
	case c.Skew < 0 || c.Skew > maxSkew:
		return nil, errors.New("verify tokens: the clock skew must be 0 to 5 minutes")
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = DefaultMaxBytes
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Verifier{config: c, parser: jwt.NewParser(
		jwt.WithValidMethods([]string{string(HS256), string(RS256), string(ES256), string(EdDSA)}),
		jwt.WithIssuer(c.Issuer),
		jwt.WithAudience(c.Audience...),
		jwt.WithExpirationRequired(),
		jwt.WithLeeway(c.Skew),
		jwt.WithTimeFunc(c.Now),
		jwt.WithJSONNumber(),
		jwt.WithStrictDecoding(),
	)}, nil
}

// Verify checks a token and gives its claims. A token that is not accepted is an
// *Error; any other error means that the keys can't be had now.
func (v *Verifier) Verify(ctx context.Context, token string) (Claims, error) {
	switch {
	case token == "":
		return nil, refuse("no token was given", nil)
	case len(token) > v.config.MaxBytes:
		return nil, refuse("the token is too long", nil)
	case strings.ContainsAny(token, " \t\r\n"):
		return nil, refuse("the token is not a signed JSON Web Token", nil) // base64 would pass over line ends
	}
	var unavailable error
	claims := jwt.MapClaims{}
	_, err := v.parser.ParseWithClaims(token, claims, func(t *jwt.Token) (any, error) {
		key, err := v.key(ctx, t)
		if err != nil && !errors.As(err, new(*Error)) {
			unavailable = err
		}
		if err != nil {
			return nil, err
		}
		return key.material, nil
	})
	if unavailable != nil {
		return nil, unavailable
	}
	if err != nil {
		return nil, explain(err)
	}
	for _, name := range []string{"exp", "nbf", "iat"} {
		if date, present := claims[name]; present && !isDate(date) {
			return nil, refuse("the token's "+name+" is not a believable time", nil)
		}
	}
	return Claims(claims), nil
}

// key finds the key of a token, which decides the algorithm.
func (v *Verifier) key(ctx context.Context, t *jwt.Token) (*Key, error) {
	if _, ok := t.Header["crit"]; ok {
		return nil, refuse("the token asks for an extension that is not supported", nil)
	}
	kid, isText := t.Header["kid"].(string)
	if _, present := t.Header["kid"]; present && (!isText || kid == "") {
		return nil, refuse("the token's kid is not text", nil)
	}
	key, err := v.config.Keys.Key(ctx, kid)
	switch {
	case errors.Is(err, ErrUnknownKey):
		return nil, refuse("the token is signed by a key that is not known here", err)
	case err != nil:
		return nil, err
	case t.Method.Alg() != string(key.algorithm):
		return nil, refuse("the token's algorithm is not that of its key", nil)
	}
	return key, nil
}

// isDate accepts a number of seconds from 1970 to the year 9999.
func isDate(v any) bool {
	n, ok := v.(json.Number)
	if !ok {
		return false
	}
	seconds, err := n.Float64()
	return err == nil && seconds >= 0 && seconds < 253402300800
}

// expiry is the exp of verified claims.
func expiry(claims Claims) time.Time {
	date, err := jwt.MapClaims(claims).GetExpirationTime()
	if err != nil || date == nil {
		return time.Time{} // Verify requires it
	}
	return date.Time
}

// explain turns the library's error into one for the client.
func explain(err error) error {
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	for _, known := range []struct {
		cause   error
		message string
	}{
		{jwt.ErrTokenMalformed, "the token is not a signed JSON Web Token"},
		{jwt.ErrTokenUnverifiable, "the token's algorithm is not accepted"},
		{jwt.ErrTokenSignatureInvalid, "the token's signature does not match"},
		{jwt.ErrTokenRequiredClaimMissing, "the token needs the claims iss, aud and exp"},
		{jwt.ErrTokenExpired, "the token has expired"},
		{jwt.ErrTokenNotValidYet, "the token is not valid yet"},
		{jwt.ErrTokenInvalidAudience, "the token is for another audience"},
		{jwt.ErrTokenInvalidIssuer, "the token is from another issuer"},
	} {
		if errors.Is(err, known.cause) {
			return refuse(known.message, err)
		}
	}
	return refuse("the token's claims are not of the right types", err)
}
