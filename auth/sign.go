package auth

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Sign makes a token for development and tests with an HS256 key. iat and exp
// are set from the clock and ttl where the claims don't have them; iss and aud
// are the caller's.
func Sign(key *Key, claims Claims, ttl time.Duration) (string, error) {
	secret, ok := key.material.([]byte)
	if !ok {
		return "", fmt.Errorf("sign token: key %q can only verify, its algorithm is %s: use an HS256 key", key.id, key.algorithm)
	}
	if _, given := claims["exp"]; !given && ttl <= 0 {
		return "", errors.New("sign token: its lifetime must be positive")
	}
	now := time.Now()
	all := jwt.MapClaims{"iat": now.Unix(), "exp": now.Add(ttl).Unix()}
	maps.Copy(all, claims)
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, all)
	token.Header["kid"] = key.id
	signed, err := token.SignedString(secret)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return signed, nil
}
