package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Algorithm is how a token is signed.
type Algorithm string

// The algorithms.
const (
	HS256 Algorithm = "HS256"
	RS256 Algorithm = "RS256"
	ES256 Algorithm = "ES256"
	EdDSA Algorithm = "EdDSA"
)

// minSecret is the least length of an HS256 secret, in octets (RFC 7518, 3.2).
const minSecret = 32

// minModulus is the least length of an RSA modulus, in bits (RFC 7518, 3.3).
const minModulus = 2048

// Key verifies tokens of one kid and one algorithm. Immutable.
type Key struct {
	id        string
	algorithm Algorithm
	material  any // []byte, *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
}

// ID gives the kid that tokens of the key carry.
func (k *Key) ID() string { return k.id }

// Algorithm gives the one algorithm that tokens of the key have.
func (k *Key) Algorithm() Algorithm { return k.algorithm }

// NewSecretKey makes an HS256 key, which also signs.
func NewSecretKey(id string, secret []byte) (*Key, error) {
	if len(secret) < minSecret {
		return nil, fmt.Errorf("key %q: the secret has %d octets, HS256 needs at least %d", id, len(secret), minSecret)
	}
	return &Key{id: id, algorithm: HS256, material: slices.Clone(secret)}, nil
}

// NewPublicKey makes a key of RS256, ES256 or EdDSA from a public key in PEM:
// SubjectPublicKeyInfo ("PUBLIC KEY"), "RSA PUBLIC KEY" or a certificate.
func NewPublicKey(id string, algorithm Algorithm, text []byte) (*Key, error) {
	public, err := parsePublicKey(text)
	if err == nil {
		err = fits(algorithm, public)
	}
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", id, err)
	}
	return &Key{id: id, algorithm: algorithm, material: public}, nil
}

func parsePublicKey(text []byte) (any, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("the public key is not PEM: it starts with -----BEGIN PUBLIC KEY-----")
	}
	switch {
	case strings.Contains(block.Type, "PRIVATE"):
		return nil, errors.New("this is a private key: give the public one")
	case block.Type == "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case block.Type == "CERTIFICATE":
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return certificate.PublicKey, nil
	}
	return x509.ParsePKIXPublicKey(block.Bytes)
}

// fits checks that a public key is one of the algorithm, and strong enough.
func fits(algorithm Algorithm, public any) error {
	switch k := public.(type) {
	case *rsa.PublicKey:
		if algorithm == RS256 {
			if bits := k.N.BitLen(); bits < minModulus {
				return fmt.Errorf("the RSA key has %d bits, at least %d are needed", bits, minModulus)
			}
			return nil
		}
	case *ecdsa.PublicKey:
		if algorithm == ES256 {
			if k.Curve != elliptic.P256() {
				return fmt.Errorf("ES256 needs a key on P-256, this one is on %s", k.Curve.Params().Name)
			}
			return nil
		}
	case ed25519.PublicKey:
		if algorithm == EdDSA {
			return nil
		}
	}
	if algorithm != RS256 && algorithm != ES256 && algorithm != EdDSA {
		return fmt.Errorf("%q takes no public key: use RS256, ES256 or EdDSA", algorithm)
	}
	return fmt.Errorf("a key of type %T is not one of %s", public, algorithm)
}
