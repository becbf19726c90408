package mapping

import (
	"net"
	"net/url"
	"slices"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// JWKS is a URL that gives the keys of tokens, as a JSON Web Key Set.
type JWKS struct {
	URL string
	// Algorithms are those that its keys may have: RS256, ES256 and EdDSA.
	Algorithms []string
	// Refresh is the time between fetches.
	Refresh time.Duration
	// Timeout bounds one fetch.
	Timeout time.Duration
	// UnknownKidInterval is the least time between fetches for tokens whose kid is
	// not known.
	UnknownKidInterval time.Duration
}

func defaultJWKS() *JWKS {
	return &JWKS{
		Algorithms:         []string{"RS256", "ES256", "EdDSA"},
		Refresh:            time.Hour,
		Timeout:            10 * time.Second,
		UnknownKidInterval: 30 * time.Second,
	}
}

func (d *decoder) jwks(n ast.Node, path string, j *JWKS) {
	d.object(n, path,
		field{"url", "say where the key set is, as in https://auth.example.com/.well-known/jwks.json", d.textField(&j.URL)},
		field{"algorithms", "", d.listField(&j.Algorithms)},
		field{"refresh", "", d.durationField(&j.Refresh)},
		field{"timeout", "", d.durationField(&j.Timeout)},
		field{"unknown_kid_interval", "", d.durationField(&j.UnknownKidInterval)},
	)
}

func (v *validator) jwks(path string, j *JWKS) {
	v.jwksURL(path+".url", j.URL)
	if len(j.Algorithms) == 0 {
		v.report(path+".algorithms", "is empty: list RS256, ES256 or EdDSA, or remove it for all three")
	}
	for i, a := range j.Algorithms {
		at := index(path+".algorithms", i)
		if _, listed := v.positions.values[at]; !listed {
			at = path + ".algorithms" // one text, not a list
		}
		switch {
		case a == "HS256":
			v.report(at, "HS256 is verified with a secret, and a key set is for everybody to fetch: use RS256, ES256 or EdDSA, and put a secret into auth.keys")
		case !slices.Contains(defaultJWKS().Algorithms, a):
			v.report(at, "%q is not supported: use RS256, ES256 or EdDSA", a)
		}
	}
	v.between(path+".refresh", j.Refresh, 10*time.Second, 24*time.Hour)
	v.between(path+".timeout", j.Timeout, 100*time.Millisecond, time.Minute)
	v.between(path+".unknown_kid_interval", j.UnknownKidInterval, time.Second, time.Hour)
}

// jwksURL checks where the keys come from: whoever can change them on their way can
// sign as anybody. The URL is not repeated, as it may hold a password.
func (v *validator) jwksURL(path, text string) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		v.report(path, "this is not a URL to fetch keys from: give one as in https://auth.example.com/.well-known/jwks.json")
	case u.User != nil:
		v.report(path, "a user or password in the URL is not supported: key sets are public")
	case u.Scheme == "http" && u.Hostname() != "localhost" && !net.ParseIP(u.Hostname()).IsLoopback():
		v.report(path, "over http anybody on the way could put in their own keys: use https; http is for this machine alone, as in http://127.0.0.1")
	}
}
