package auth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	issuer   = "https://auth.example.com"
	audience = "walwire"
)

var now = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// signer is somebody who makes tokens: a key's two halves.
type signer struct {
	key     *Key
	method  jwt.SigningMethod
	private any
	pem     []byte
}

func mustSigners(tb testing.TB) map[Algorithm]signer {
	tb.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	must(tb, err)
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(tb, err)
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	must(tb, err)
	secret := []byte(strings.Repeat("s", 32))
	secretKey, err := NewSecretKey("hs", secret)
	must(tb, err)
	out := map[Algorithm]signer{HS256: {key: secretKey, method: jwt.SigningMethodHS256, private: secret}}
	for _, s := range []struct {
		algorithm Algorithm
		id        string
		method    jwt.SigningMethod
		private   crypto.Signer
	}{
		{RS256, "rs", jwt.SigningMethodRS256, rsaKey},
		{ES256, "es", jwt.SigningMethodES256, ecKey},
		{EdDSA, "ed", jwt.SigningMethodEdDSA, edKey},
	} {
		text := mustPEM(tb, s.private.Public())
		key, err := NewPublicKey(s.id, s.algorithm, text)
		must(tb, err)
		out[s.algorithm] = signer{key: key, method: s.method, private: s.private, pem: text}
	}
	return out
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func mustPEM(tb testing.TB, public any) []byte {
	tb.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	must(tb, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func mustVerifier(tb testing.TB, keys ...*Key) *Verifier {
	tb.Helper()
	ring, err := NewKeyRing(keys...)
	must(tb, err)
	v, err := NewVerifier(VerifierConfig{
		Issuer: issuer, Audience: []string{"other", audience}, Skew: 30 * time.Second, Keys: ring,
		Now: func() time.Time { return now },
	})
	must(tb, err)
	return v
}

// standard are claims that verify, with some replaced; nil removes one.
func standard(changes jwt.MapClaims) jwt.MapClaims {
	claims := jwt.MapClaims{
		"iss": issuer, "aud": audience, "sub": "u1", "company_id": "c1", "roles": []string{"staff"},
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return claims
}

// sign makes a token; header replaces what the header would say, nil removes.
func sign(tb testing.TB, s signer, claims jwt.MapClaims, header map[string]any) string {
	tb.Helper()
	token := jwt.NewWithClaims(s.method, claims)
	token.Header["kid"] = s.key.ID()
	maps.Copy(token.Header, header)
	maps.DeleteFunc(token.Header, func(_ string, v any) bool { return v == nil })
	text, err := token.SignedString(s.private)
	must(tb, err)
	return text
}

func TestVerifyOK(t *testing.T) {
	signers := mustSigners(t)
	v := mustVerifier(t, signers[HS256].key, signers[RS256].key, signers[ES256].key, signers[EdDSA].key)
	for algorithm, s := range signers {
		t.Run(string(algorithm), func(t *testing.T) {
			claims, err := v.Verify(context.Background(), sign(t, s, standard(nil), nil))
			must(t, err)
			if claims["sub"] != "u1" {
				t.Errorf("claims: %v", claims)
			}
		})
	}
	s := signers[ES256]
	for name, changes := range map[string]jwt.MapClaims{
		"AudienceList": {"aud": []string{"x", audience}},
		"WithinSkew":   {"exp": now.Add(-29 * time.Second).Unix()},
		"NotBefore":    {"nbf": now.Add(29 * time.Second).Unix()},
		"Fraction":     {"exp": 1772355600.5 + 3600},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := v.Verify(context.Background(), sign(t, s, standard(changes), nil))
			must(t, err)
		})
	}
	t.Run("NoKidOneKey", func(t *testing.T) {
		_, err := mustVerifier(t, s.key).Verify(context.Background(), sign(t, s, standard(nil), map[string]any{"kid": nil}))
		must(t, err)
	})
}

func TestVerifyErrClaims(t *testing.T) {
	signers := mustSigners(t)
	s := signers[HS256]
	v := mustVerifier(t, s.key)
	tests := []struct {
		name    string
		changes jwt.MapClaims
		want    string
	}{
		{"Expired", jwt.MapClaims{"exp": now.Add(-31 * time.Second).Unix()}, "the token has expired"},
		{"NoExpiry", jwt.MapClaims{"exp": nil}, "the token needs the claims iss, aud and exp"},
		{"ExpiryText", jwt.MapClaims{"exp": "2099-01-01"}, "the token's claims are not of the right types"},
		{"ExpiryHuge", jwt.MapClaims{"exp": json.Number("1e18")}, "the token's exp is not a believable time"},
		{"ExpiryNull", jwt.MapClaims{"exp": json.RawMessage("null")}, "the token's claims are not of the right types"},
		{"NotYet", jwt.MapClaims{"nbf": now.Add(31 * time.Second).Unix()}, "the token is not valid yet"},
		{"NotBeforeNegative", jwt.MapClaims{"nbf": -1}, "the token's nbf is not a believable time"},
		{"Audience", jwt.MapClaims{"aud": "elsewhere"}, "the token is for another audience"},
		{"AudienceNone", jwt.MapClaims{"aud": nil}, "the token needs the claims iss, aud and exp"},
		{"AudienceEmpty", jwt.MapClaims{"aud": []string{}}, "the token needs the claims iss, aud and exp"},
		{"AudienceNumber", jwt.MapClaims{"aud": 7}, "the token needs the claims iss, aud and exp"},
		{"Issuer", jwt.MapClaims{"iss": issuer + "/"}, "the token is from another issuer"},
		{"IssuerNone", jwt.MapClaims{"iss": nil}, "the token needs the claims iss, aud and exp"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			refused(t, v, sign(t, s, standard(tt.changes), nil), tt.want)
		})
	}
}

func TestVerifyErrKey(t *testing.T) {
	signers, others := mustSigners(t), mustSigners(t)
	all := mustVerifier(t, signers[HS256].key, signers[RS256].key, signers[ES256].key, signers[EdDSA].key)
	rs := signers[RS256]
	const signature, unknown = "the token's signature does not match", "the token is signed by a key that is not known here"
	const algorithm = "the token's algorithm is not that of its key"

	t.Run("OtherKey", func(t *testing.T) {
		for name, s := range others {
			if name == HS256 {
				s.private = []byte(strings.Repeat("x", 32))
			}
			refused(t, all, sign(t, s, standard(nil), nil), signature)
		}
	})
	t.Run("UnknownKid", func(t *testing.T) {
		refused(t, all, sign(t, rs, standard(nil), map[string]any{"kid": "zz"}), unknown)
	})
	t.Run("NoKidManyKeys", func(t *testing.T) {
		refused(t, all, sign(t, rs, standard(nil), map[string]any{"kid": nil}), unknown)
	})
	t.Run("KidNotText", func(t *testing.T) {
		refused(t, all, sign(t, rs, standard(nil), map[string]any{"kid": 7}), "the token's kid is not text")
	})
	t.Run("KidOfAnother", func(t *testing.T) {
		refused(t, all, sign(t, rs, standard(nil), map[string]any{"kid": "es"}), algorithm)
	})
	t.Run("None", func(t *testing.T) {
		s := signer{key: rs.key, method: jwt.SigningMethodNone, private: jwt.UnsafeAllowNoneSignatureType}
		refused(t, all, sign(t, s, standard(nil), nil), signature)
		refused(t, all, sign(t, s, standard(nil), map[string]any{"alg": "None"}), "the token's algorithm is not accepted")
	})
	t.Run("PublicKeyAsSecret", func(t *testing.T) {
		for _, secret := range [][]byte{rs.pem, []byte(strings.TrimSpace(string(rs.pem)))} {
			s := signer{key: rs.key, method: jwt.SigningMethodHS256, private: secret}
			refused(t, all, sign(t, s, standard(nil), nil), algorithm)
			refused(t, mustVerifier(t, rs.key), sign(t, s, standard(nil), nil), algorithm)
		}
	})
	t.Run("OtherAlgorithmSameKey", func(t *testing.T) {
		s := signer{key: rs.key, method: jwt.SigningMethodPS256, private: rs.private}
		refused(t, all, sign(t, s, standard(nil), nil), signature)
	})
	t.Run("KeyInHeader", func(t *testing.T) {
		header := map[string]any{"jwk": map[string]any{"kty": "oct", "k": "AAAA"}, "jku": "https://evil.example.com"}
		refused(t, all, sign(t, others[RS256], standard(nil), header), signature)
	})
	t.Run("Critical", func(t *testing.T) {
		refused(t, all, sign(t, rs, standard(nil), map[string]any{"crit": []string{"b64"}}), "the token asks for an extension that is not supported")
	})
	t.Run("Unavailable", func(t *testing.T) {
		down := errors.New("down")
		v, err := NewVerifier(VerifierConfig{Issuer: issuer, Audience: []string{audience}, Keys: sourceFunc(func() (*Key, error) { return nil, down })})
		must(t, err)
		_, err = v.Verify(context.Background(), sign(t, rs, standard(nil), nil))
		if !errors.Is(err, down) || errors.As(err, new(*Error)) {
			t.Errorf("got %v", err)
		}
	})
}

type sourceFunc func() (*Key, error)

func (f sourceFunc) Key(context.Context, string) (*Key, error) { return f() }

func TestVerifyErrForm(t *testing.T) {
	s := mustSigners(t)[HS256]
	v := mustVerifier(t, s.key)
	good := sign(t, s, standard(nil), nil)
	parts := strings.Split(good, ".")
	segment := func(json string) string { return base64.RawURLEncoding.EncodeToString([]byte(json)) }
	const malformed = "the token is not a signed JSON Web Token"
	for name, tt := range map[string]struct{ token, want string }{
		"Empty":       {"", "no token was given"},
		"Garbage":     {"garbage", malformed},
		"TwoParts":    {parts[0] + "." + parts[1], malformed},
		"FourParts":   {good + ".x", malformed},
		"Spaces":      {" " + good, malformed},
		"NotBase64":   {parts[0] + ".***." + parts[2], malformed},
		"NotJSON":     {parts[0] + "." + segment("{") + "." + parts[2], malformed},
		"HeaderArray": {segment("[]") + "." + parts[1] + "." + parts[2], malformed},
		"HeaderNull":  {segment("null") + "." + parts[1] + "." + parts[2], "the token's algorithm is not accepted"},
		"AlgNumber":   {segment(`{"alg":7}`) + "." + parts[1] + "." + parts[2], "the token's algorithm is not accepted"},
		"ClaimsArray": {parts[0] + "." + segment("[]") + "." + parts[2], malformed},
		"NoSignature": {parts[0] + "." + parts[1] + ".", "the token's signature does not match"},
		"Cut":         {good[:len(good)-4], "the token's signature does not match"},
		"Oversize":    {good + strings.Repeat("A", DefaultMaxBytes), "the token is too long"},
	} {
		t.Run(name, func(t *testing.T) { refused(t, v, tt.token, tt.want) })
	}
	t.Run("Changed", func(t *testing.T) {
		claims, err := base64.RawURLEncoding.DecodeString(parts[1])
		must(t, err)
		forged := segment(strings.Replace(string(claims), `"c1"`, `"c2"`, 1))
		refused(t, v, parts[0]+"."+forged+"."+parts[2], "the token's signature does not match")
	})
}

// refused holds that a token is refused with a message that repeats nothing of it.
func refused(tb testing.TB, v *Verifier, token, want string) {
	tb.Helper()
	_, err := v.Verify(context.Background(), token)
	var refusal *Error
	if !errors.As(err, &refusal) {
		tb.Fatalf("not refused: %v", err)
	}
	if refusal.Code != CodeUnauthenticated || refusal.Message != want {
		tb.Errorf("got %s %q, want %q", refusal.Code, refusal.Message, want)
	}
	for part := range strings.SplitSeq(token, ".") {
		if len(part) > 8 && strings.Contains(err.Error(), part) {
			tb.Errorf("the error repeats the token: %v", err)
		}
	}
}
