package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"strings"
	"testing"
)

var all = []Algorithm{RS256, ES256, EdDSA}

// Each key of a set is judged by itself.
func TestKeySetIgnored(t *testing.T) {
	signers := mustSigners(t)
	rs, es, ed := signers[RS256], signers[ES256], signers[EdDSA]
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	must(t, err)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(t, err)
	weak := signer{key: &Key{id: "weak", algorithm: RS256, material: &small.PublicKey}}
	curve := signer{key: &Key{id: "p384", algorithm: ES256, material: &p384.PublicKey}}
	good := jwkOf(t, ed, jwk{"kid": "good"})
	const secret = "c2VjcmV0LXRoYXQtbXVzdC1ub3QtYmUtc2hvd24tYW55d2hlcmU"
	for name, tt := range map[string]struct {
		key  any
		want string
	}{
		"Oct":           {jwk{"kty": "oct", "kid": "k", "alg": "HS256", "k": secret}, "is a secret"},
		"OctNoAlg":      {jwk{"kty": "oct", "kid": "k", "k": secret}, "is a secret"},
		"OctAsRSA":      {jwkOf(t, rs, jwk{"k": secret}), "is a secret"},
		"Private":       {jwkOf(t, rs, jwk{"d": secret, "p": "AQ", "q": "AQ", "dp": "AQ", "dq": "AQ", "qi": "AQ"}), "is a private key"},
		"PrivateAlone":  {jwkOf(t, es, jwk{"d": secret}), "is a private key"},
		"PrivateEd":     {jwkOf(t, ed, jwk{"d": secret}), "is a private key"},
		"PrivatePrimes": {jwkOf(t, rs, jwk{"oth": []any{map[string]any{"r": secret}}}), "is a private key"},
		"Weak":          {jwkOf(t, weak, nil), "1024 bits"},
		"Curve":         {jwkOf(t, curve, nil), "P-256"},
		"CurveNoAlg":    {jwkOf(t, curve, jwk{"alg": nil}), `algorithm ""`},
		"CurveName":     {jwkOf(t, es, jwk{"crv": "P-384"}), "not on the specified curve"},
		"Encryption":    {jwkOf(t, rs, jwk{"use": "enc"}), `is for "enc"`},
		"KeyOps":        {jwkOf(t, rs, jwk{"use": nil, "key_ops": []string{"wrapKey"}}), "not to verify"},
		"RS512":         {jwkOf(t, rs, jwk{"alg": "RS512"}), `algorithm "RS512"`},
		"PS256":         {jwkOf(t, rs, jwk{"alg": "PS256"}), `algorithm "PS256"`},
		"HS256":         {jwkOf(t, rs, jwk{"alg": "HS256"}), `algorithm "HS256"`},
		"None":          {jwkOf(t, rs, jwk{"alg": "none"}), `algorithm "none"`},
		"RSAAsES256":    {jwkOf(t, rs, jwk{"alg": "ES256"}), "is not one of ES256"},
		"ECAsRS256":     {jwkOf(t, es, jwk{"alg": "RS256"}), "is not one of RS256"},
		"EdAsES256":     {jwkOf(t, ed, jwk{"alg": "ES256"}), "is not one of ES256"},
		"Exponent":      {jwkOf(t, rs, jwk{"e": "AQ"}), `"e" is out of range`},
		"ExponentHuge":  {jwkOf(t, rs, jwk{"e": strings.Repeat("A", 20) + "AAEAAQAAAAAAAAAB"}), "can't be read"},
		"OffCurve":      {jwkOf(t, es, jwk{"x": base64.RawURLEncoding.EncodeToString(make([]byte, 32))}), "not on the specified curve"},
		"EdShort":       {jwkOf(t, ed, jwk{"x": "AAAA"}), "32 bytes"},
		"NoModulus":     {jwkOf(t, rs, jwk{"n": nil}), "can't be read"},
		"NotBase64":     {jwkOf(t, rs, jwk{"n": "***"}), "can't be read"},
		"KtyUnknown":    {jwkOf(t, rs, jwk{"kty": "rsa"}), "unsupported"},
		"KidNumber":     {jwkOf(t, rs, jwk{"kid": 7}), "is not a JSON Web Key"},
		"NoKid":         {jwkOf(t, rs, jwk{"kid": nil}), "has no kid"},
		"SameKid":       {jwkOf(t, rs, jwk{"kid": "good"}), "kid of an earlier one"},
		"NotObject":     {7, "is not a JSON Web Key"},
		"Null":          {nil, `algorithm ""`},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := parseKeySet(mustJSON(t, map[string]any{"keys": []any{good, tt.key}}), all)
			must(t, err)
			if set.Len() != 1 || set.key("good") == nil || set.key("good").Algorithm() != EdDSA {
				t.Errorf("keys %v", set.ids())
			}
			if why := set.Ignored(); len(why) != 1 || !strings.HasPrefix(why[0], "key 2") || !strings.Contains(why[0], tt.want) || strings.Contains(why[0], secret) {
				t.Errorf("ignored %q, want %q", why, tt.want)
			}
		})
	}
}

func TestKeySetOK(t *testing.T) {
	signers := mustSigners(t)
	rs, es, ed := signers[RS256], signers[ES256], signers[EdDSA]
	for name, tt := range map[string]struct {
		key  jwk
		want Algorithm
	}{
		"RSA":         {jwkOf(t, rs, jwk{"alg": nil, "use": nil}), RS256},
		"EC":          {jwkOf(t, es, jwk{"alg": nil}), ES256},
		"Ed":          {jwkOf(t, ed, jwk{"alg": nil}), EdDSA},
		"KeyOps":      {jwkOf(t, rs, jwk{"use": nil, "key_ops": []string{"verify"}}), RS256},
		"Certificate": {jwkOf(t, rs, jwk{"x5c": []string{"rubbish"}, "x5t": "x", "x5u": "http://elsewhere.example.com"}), RS256},
		"Unknown":     {jwkOf(t, es, jwk{"issuer": map[string]any{"a": 1}}), ES256},
		"Padding":     {jwkOf(t, rs, jwk{"e": "AQAB=="}), RS256},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := parseKeySet(setOf(t, tt.key), all)
			must(t, err)
			if k := set.key(tt.key["kid"].(string)); k == nil || k.Algorithm() != tt.want {
				t.Errorf("got %+v", k)
			}
		})
	}
	if _, err := parseKeySet(setOf(t, jwkOf(t, rs, nil)), []Algorithm{ES256, EdDSA}); err == nil {
		t.Error("an algorithm that is not accepted")
	}
}

// FuzzKeySet holds that no answer makes it panic, and that every key of a set
// verifies by an accepted algorithm.
func FuzzKeySet(f *testing.F) {
	signers := mustSigners(f)
	for _, a := range all {
		f.Add(setOf(f, jwkOf(f, signers[a], nil)))
		f.Add(setOf(f, jwkOf(f, signers[a], jwk{"alg": nil, "kid": nil, "d": "AQ"})))
	}
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"_w","y":"AA"},{"kty":"RSA","n":"AA","e":"AQAB"},null]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := parseKeySet(data, all)
		if err != nil {
			return
		}
		for id, k := range set.keys {
			if id != k.id || fits(k.algorithm, k.material) != nil || set.Len() == 0 {
				t.Errorf("%q: %+v", id, k)
			}
		}
		if !set.same(set) {
			t.Error("a set is not itself")
		}
	})
}
