package edge

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// nullOrigin is what a browser sends for a page that has no origin: one in a sandbox,
// from a file, or after some redirects. Any page can have it.
const nullOrigin = "null"

// Origins say which web pages may connect, besides those of the server itself. The
// zero value is none. Immutable, and safe for concurrent use.
type Origins struct {
	any, null bool
	exact     map[origin]struct{}
	below     map[origin]struct{} // any one label before the host
}

// ParseOrigins reads origins: scheme://host[:port]; scheme://*.host[:port] for every
// name that is one label longer; "null"; "*" for any.
func ParseOrigins(list []string) (Origins, error) {
	o := Origins{exact: make(map[origin]struct{}), below: make(map[origin]struct{})}
	for _, text := range list {
		if err := o.add(text); err != nil {
			return Origins{}, fmt.Errorf("%q %w", text, err)
		}
	}
	return o, nil
}

func (o *Origins) add(text string) error {
	switch text {
	case "*":
		o.any = true
		return nil
	case nullOrigin:
		o.null = true
		return nil
	}
	plain, into := text, o.exact
	scheme, rest, _ := strings.Cut(text, "://")
	parent, wild := strings.CutPrefix(rest, "*.")
	if wild {
		plain, into = scheme+"://"+parent, o.below
	}
	parsed, ok := parseOrigin(plain)
	switch {
	case !ok:
		return errors.New(`is not an origin: give scheme://host or scheme://host:port, as in https://app.example.com, https://*.example.com for every name below, or "*" for any`)
	case strings.HasSuffix(parsed.host, "."):
		return errors.New("ends in a dot, as no page's origin does: leave it out")
	case wild && !strings.Contains(parsed.host, ".") && parsed.host != "localhost":
		return errors.New("would let in pages of anybody: name the domain, as in https://*.example.com")
	}
	into[parsed] = struct{}{}
	return nil
}

// Allowed reports whether the page that a request comes from may connect. A request
// without Origin is no browser's from another page, and is allowed: the token decides.
func (o Origins) Allowed(r *http.Request) bool {
	sent := r.Header.Values("Origin")
	switch {
	case len(sent) == 0:
		return true
	case len(sent) > 1: // no browser does that: which one would count?
		return false
	case sent[0] == nullOrigin:
		return o.null // "*" names origins, and that is none
	case o.any:
		return true
	}
	from, ok := parseOrigin(sent[0])
	return ok && (o.lists(from) || isOwn(from, r))
}

func (o Origins) lists(from origin) bool {
	if _, ok := o.exact[from]; ok {
		return true
	}
	label, parent, ok := strings.Cut(from.host, ".")
	if !ok || label == "" {
		return false
	}
	from.host = parent
	_, ok = o.below[from]
	return ok
}

// isOwn reports whether from is the server as the client calls it. Behind a proxy that
// ends TLS the server can't know its own scheme; with TLS it is https.
func isOwn(from origin, r *http.Request) bool {
	host, port, ok := splitHost(strings.ToLower(r.Host))
	if !ok || from.scheme != "http" && from.scheme != "https" || r.TLS != nil && from.scheme != "https" {
		return false
	}
	if port == "" {
		port = defaultPort(from.scheme)
	}
	return from.host == host && from.port == port
}
