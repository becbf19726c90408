package hostile_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/mapping"
)

// keys are wide's beside its secret; a hostile client has their public halves.
type keys struct {
	rsa *rsa.PrivateKey
	ec  *ecdsa.PrivateKey
	ed  ed25519.PrivateKey
}

func makeKeys(t *testing.T) *keys {
	var k keys
	var err error
	if k.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	if k.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	if _, k.ed, err = ed25519.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	return &k
}

// configured are the public halves as the configuration has them.
func (k *keys) configured(t *testing.T) []mapping.AuthKey {
	return []mapping.AuthKey{
		{ID: "rsa", Algorithm: "RS256", PublicKey: publicPEM(t, k.rsa.Public())},
		{ID: "ec", Algorithm: "ES256", PublicKey: publicPEM(t, k.ec.Public())},
		{ID: "ed", Algorithm: "EdDSA", PublicKey: publicPEM(t, k.ed.Public())},
	}
}

func publicDER(t *testing.T, key any) []byte {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func publicPEM(t *testing.T, key any) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER(t, key)})
}

// claims are those of a token that sees all of company A, but for what is given; nil
// leaves a claim out.
func (a *attempt) claims(more apptest.Claims) apptest.Claims {
	now := time.Now()
	c := apptest.Claims{
		"iss": a.wide.Config.Auth.Issuer, "aud": a.wide.Config.Auth.Audience, "sub": "owner", "company_id": companyA,
		"roles": []string{"owner"}, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	maps.Copy(c, more)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// secret is what wide's tokens of kid main are signed with.
func (a *attempt) secret() []byte { return []byte(a.wide.Config.Auth.Keys[0].Secret.Reveal()) }

// forge makes a token of any header and claims, with HMAC by any secret, whatever the
// header says; without a secret there is no signature.
func forge(header map[string]any, claims apptest.Claims, secret []byte) string {
	part := func(v any) string {
		text, _ := json.Marshal(v) // of text and numbers: always possible
		return base64.RawURLEncoding.EncodeToString(text)
	}
	return forgeText(part(header)+"."+part(claims), secret)
}

func forgeText(input string, secret []byte) string {
	if secret == nil {
		return input + "."
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(input))
	return input + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// sign makes a token that is signed as its header says.
func (a *attempt) sign(method jwt.SigningMethod, key any, header map[string]any, claims apptest.Claims) string {
	a.Helper()
	token := jwt.NewWithClaims(method, jwt.MapClaims(claims))
	maps.Copy(token.Header, header)
	text, err := token.SignedString(key)
	if err != nil {
		a.Fatal(err)
	}
	return text
}
