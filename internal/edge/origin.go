package edge

import (
	"net/netip"
	"strconv"
	"strings"
)

// origin is a web origin in one spelling: lower case, the port always there. Two
// spellings of one origin are equal.
type origin struct {
	scheme, host string
	port         string // "" where the scheme has no port of its own and none is given
}

// parseOrigin reads scheme://host[:port], and nothing beside that: no user, path or
// query, in which another name could hide. A browser sends just this.
func parseOrigin(text string) (origin, bool) {
	scheme, rest, ok := strings.Cut(strings.ToLower(text), "://")
	if !ok || !isScheme(scheme) {
		return origin{}, false
	}
	host, port, ok := splitHost(rest)
	if !ok {
		return origin{}, false
	}
	if port == "" {
		port = defaultPort(scheme)
	}
	return origin{scheme, host, port}, true
}

// splitHost reads host[:port] in lower case. IPv6 stands in brackets, and keeps them.
func splitHost(text string) (host, port string, ok bool) {
	end := strings.LastIndexByte(text, ':')
	if strings.HasSuffix(text, "]") || end < 0 {
		end = len(text)
	} else if port = text[end+1:]; !isPort(port) {
		return "", "", false
	}
	host = text[:end]
	if inner, bracketed := strings.CutPrefix(host, "["); bracketed {
		address, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		if err != nil || !strings.HasSuffix(inner, "]") || !address.Is6() || address.Zone() != "" {
			return "", "", false
		}
		return "[" + address.String() + "]", port, true
	}
	return host, port, isHost(host)
}

// isHost reports whether host is letters, digits, '-', '_' and '.', as a browser writes
// every name (others in punycode).
func isHost(host string) bool {
	for i := range len(host) {
		if c := host[i]; !isAlnum(c) && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return host != ""
}

func isScheme(scheme string) bool {
	for i := range len(scheme) {
		c := scheme[i]
		if !isAlnum(c) && c != '+' && c != '-' && c != '.' || i == 0 && c <= '9' {
			return false
		}
	}
	return scheme != ""
}

func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0 && text[0] != '0' && text[0] != '+'
}

func isAlnum(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

func defaultPort(scheme string) string {
	switch scheme {
	case "http", "ws":
		return "80"
	case "https", "wss":
		return "443"
	}
	return ""
}
