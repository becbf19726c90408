package mapping

import (
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// Auth says which tokens are accepted.
type Auth struct {
	Issuer string
	// Audience lists the accepted audiences; a token needs one of them.
	Audience  []string
	ClockSkew time.Duration
	Keys      []AuthKey
	// JWKS is where more keys are fetched; nil: nowhere. It or Keys is needed.
	JWKS *JWKS
}

// AuthKey is a key that tokens are verified with.
type AuthKey struct {
	// ID is the token's kid.
	ID string
	// Algorithm is HS256, RS256, ES256 or EdDSA; a token of this key with any
	// other is refused.
	Algorithm string
	Secret    Secret // of HS256
	PublicKey []byte // PEM, of the others
}

const defaultClockSkew = 30 * time.Second

// minSecret is the least length of an HS256 secret, in octets (RFC 7518, 3.2).
const minSecret = 32

func (d *decoder) auth(n ast.Node, path string, a *Auth) {
	a.ClockSkew = defaultClockSkew
	d.object(n, path,
		field{"issuer", "give the `iss` that tokens must carry", d.textField(&a.Issuer)},
		field{"audience", "give the `aud` that tokens must carry", d.listField(&a.Audience)},
		field{"clock_skew", "", d.durationField(&a.ClockSkew)},
		field{"keys", "", func(n ast.Node, path string) {
			items, _ := d.items(n, path)
			a.Keys = make([]AuthKey, len(items))
			for i, item := range items {
				d.authKey(item, index(path, i), &a.Keys[i])
			}
		}},
		field{"jwks", "", func(n ast.Node, path string) {
			a.JWKS = defaultJWKS()
			d.jwks(n, path, a.JWKS)
		}},
	)
}

func (d *decoder) authKey(n ast.Node, path string, k *AuthKey) {
	var secret, public []keyMaterial
	inline := func(into *[]keyMaterial) func(ast.Node, string) {
		return func(n ast.Node, path string) {
			text, ok := d.text(n, path)
			*into = append(*into, keyMaterial{path, []byte(text), ok})
		}
	}
	file := func(into *[]keyMaterial) func(ast.Node, string) {
		return func(n ast.Node, path string) {
			data, ok := d.file(n, path)
			*into = append(*into, keyMaterial{path, data, ok})
		}
	}
	d.object(n, path,
		field{"id", "give the `kid` that tokens of this key carry", d.textField(&k.ID)},
		field{"alg", "give HS256, RS256, ES256 or EdDSA", d.textField(&k.Algorithm)},
		field{"secret", "", inline(&secret)},
		field{"secret_file", "", file(&secret)},
		field{"public_key", "", inline(&public)},
		field{"public_key_file", "", file(&public)},
	)
	switch k.Algorithm {
	case "": // reported above
	case "HS256":
		d.misplaced(public, "HS256 is verified with a secret: give secret or secret_file instead")
		if m, ok := d.oneOf(secret, path, "secret or secret_file"); ok {
			k.Secret = NewSecret(string(m))
		}
	case "RS256", "ES256", "EdDSA":
		d.misplaced(secret, k.Algorithm+" is verified with a public key: give public_key or public_key_file instead")
		k.PublicKey, _ = d.oneOf(public, path, "public_key or public_key_file")
	default:
		d.add(d.positions.value(path+".alg"), path+".alg", "%q is not supported: use HS256, RS256, ES256 or EdDSA", k.Algorithm)
	}
}

// keyMaterial is a secret or public key as it was given.
type keyMaterial struct {
	path string
	data []byte
	ok   bool // false when it could not be read, which is reported already
}

func (d *decoder) misplaced(given []keyMaterial, hint string) {
	for _, m := range given {
		d.add(d.positions.key(m.path), m.path, "%s", hint)
	}
}

func (d *decoder) oneOf(given []keyMaterial, path, names string) ([]byte, bool) {
	if len(given) != 1 {
		d.add(d.positions.key(path), path, "give exactly one of %s", names)
		return nil, false
	}
	return given[0].data, given[0].ok
}

// file reads a file named in the configuration, relative to the latter's folder,
// without the line ends that editors put at the end.
func (d *decoder) file(n ast.Node, path string) ([]byte, bool) {
	name, ok := d.text(n, path)
	if !ok {
		return nil, false
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(d.dir, name)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		d.add(positionOf(n), path, "%v", err)
		return nil, false
	}
	return []byte(strings.TrimRight(string(data), "\r\n")), true
}

func (v *validator) auth(a Auth) {
	if a.Issuer == "" {
		v.report("auth.issuer", "is empty: give the `iss` that tokens must carry")
	}
	if len(a.Audience) == 0 || slices.Contains(a.Audience, "") {
		v.report("auth.audience", "is empty: give the `aud` that tokens must carry")
	}
	v.between("auth.clock_skew", a.ClockSkew, 0, 5*time.Minute)
	if len(a.Keys) == 0 && a.JWKS == nil {
		v.report("auth.keys", "there is no key: give at least one (id, alg, and secret or public_key), or jwks with the url of a key set")
	}
	if a.JWKS != nil {
		v.jwks("auth.jwks", a.JWKS)
	}
	for i, k := range a.Keys {
		path := index("auth.keys", i)
		if k.ID == "" {
			v.report(path+".id", "is empty: give the `kid` that tokens of this key carry")
		}
		if slices.ContainsFunc(a.Keys[:i], func(o AuthKey) bool { return o.ID == k.ID }) {
			v.report(path+".id", "two keys have the id %q: a token's `kid` must name one", k.ID)
		}
		v.authKey(path, k)
	}
}

func (v *validator) authKey(path string, k AuthKey) {
	if k.Algorithm == "HS256" {
		if n := len(k.Secret.Reveal()); n < minSecret {
			v.report(path, "the secret has %d octets, HS256 needs at least %d: make one with `openssl rand -base64 48`", n, minSecret)
		}
		return
	}
	block, _ := pem.Decode(k.PublicKey)
	switch {
	case block == nil:
		v.report(path, "the public key is not PEM: it starts with -----BEGIN PUBLIC KEY-----")
	case strings.Contains(block.Type, "PRIVATE"):
		v.report(path, "this is a private key: give only the public one here, and keep the private one where tokens are made")
	}
}
