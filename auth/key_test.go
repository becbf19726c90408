package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"
)

func TestNewPublicKeyErr(t *testing.T) {
	signers := mustSigners(t)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	must(t, err)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(small)
	must(t, err)
	for name, tt := range map[string]struct {
		algorithm Algorithm
		text      []byte
		want      string
	}{
		"NotPEM":    {RS256, []byte("x"), "not PEM"},
		"Private":   {RS256, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), "private key"},
		"Broken":    {RS256, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")}), "asn1"},
		"OtherKind": {ES256, signers[RS256].pem, "is not one of ES256"},
		"Small":     {RS256, mustPEM(t, &small.PublicKey), "1024 bits"},
		"Curve":     {ES256, mustPEM(t, &p384.PublicKey), "P-256"},
		"Secret":    {HS256, signers[RS256].pem, "takes no public key"},
		"None":      {"none", signers[RS256].pem, "takes no public key"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewPublicKey("k", tt.algorithm, tt.text)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	t.Run("OKPKCS1", func(t *testing.T) {
		key := signers[RS256].private.(*rsa.PrivateKey)
		text := pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&key.PublicKey)})
		_, err := NewPublicKey("k", RS256, text)
		must(t, err)
	})
}

func TestNewKeyRingErr(t *testing.T) {
	key, err := NewSecretKey("a", []byte(strings.Repeat("s", 32)))
	must(t, err)
	noID, err := NewSecretKey("", []byte(strings.Repeat("s", 32)))
	must(t, err)
	for name, keys := range map[string][]*Key{"None": nil, "Twice": {key, key}, "NoID": {noID}} {
		if _, err := NewKeyRing(keys...); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := NewSecretKey("a", []byte("short")); err == nil {
		t.Error("a short secret is taken")
	}
}

func TestSign(t *testing.T) {
	signers := mustSigners(t)
	key := signers[HS256].key
	ring, err := NewKeyRing(key)
	must(t, err)
	v, err := NewVerifier(VerifierConfig{Issuer: issuer, Audience: []string{audience}, Keys: ring})
	must(t, err)
	token, err := Sign(key, Claims{"iss": issuer, "aud": audience, "sub": "u"}, time.Minute)
	must(t, err)
	claims, err := v.Verify(context.Background(), token)
	must(t, err)
	if claims["sub"] != "u" {
		t.Errorf("claims: %v", claims)
	}
	if _, err := Sign(signers[RS256].key, Claims{}, time.Minute); err == nil {
		t.Error("a public key signs")
	}
	if _, err := Sign(key, Claims{}, 0); err == nil {
		t.Error("a token without a lifetime")
	}
}
