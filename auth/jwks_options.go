package auth

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// The defaults of JWKSOptions.
const (
	DefaultRefresh            = time.Hour
	DefaultFetchTimeout       = 10 * time.Second
	DefaultUnknownKidInterval = 30 * time.Second
)

// JWKSOptions say where a JWKS is and how often it is fetched.
type JWKSOptions struct {
	// URL is https, or http where its host is this machine.
	URL string
	// Algorithms are those that keys of the set may have: RS256, ES256 and EdDSA,
	// which none means too.
	Algorithms []Algorithm
	// Refresh is the time between fetches, and so how long a key that was taken out
	// of the set still serves. 0 is DefaultRefresh.
	Refresh time.Duration
	// Timeout bounds one fetch. 0 is DefaultFetchTimeout.
	Timeout time.Duration
	// UnknownKidInterval is the least time between fetches that tokens with unknown
	// kids bring about, after unknownKidBurst of them. 0 is DefaultUnknownKidInterval.
	UnknownKidInterval time.Duration
	// Transport carries the requests. nil is one of its own, which takes proxies
	// from the environment.
	Transport http.RoundTripper
	// Log hears of changed keys and outages. nil drops them.
	Log *slog.Logger
}

// complete fills in the defaults and checks the rest.
func (o *JWKSOptions) complete() error {
	u, err := url.Parse(o.URL)
	switch {
	case err != nil || u.Hostname() == "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())):
		return errors.New("the URL must be https://host/path, without a password; http only where the host is this machine")
	case o.Refresh < 0 || o.Timeout < 0 || o.UnknownKidInterval < 0:
		return errors.New("a time is negative")
	}
	if len(o.Algorithms) == 0 {
		o.Algorithms = []Algorithm{RS256, ES256, EdDSA}
	}
	for _, a := range o.Algorithms {
		// With HS256 a public key could be taken for a secret.
		if !slices.Contains([]Algorithm{RS256, ES256, EdDSA}, a) {
			return fmt.Errorf("keys that everybody can fetch can't be of %q: use RS256, ES256 or EdDSA", a)
		}
	}
	for _, d := range []struct {
		value   *time.Duration
		instead time.Duration
	}{{&o.Refresh, DefaultRefresh}, {&o.Timeout, DefaultFetchTimeout}, {&o.UnknownKidInterval, DefaultUnknownKidInterval}} {
		if *d.value == 0 {
			*d.value = d.instead
		}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

func isLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}
