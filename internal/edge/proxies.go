package edge

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// unixPeer is how a list of proxies names the peers of a Unix socket.
const unixPeer = "unix"

// Proxies are the peers whose word about a client's address counts. The zero value
// is none of them. Immutable, and safe for concurrent use.
type Proxies struct {
	networks []netip.Prefix
	unix     bool // who connects by a Unix socket, and so has no address
}

// ParseProxies reads networks in CIDR notation, single addresses, and "unix" for
// the peers of a Unix socket.
func ParseProxies(list []string) (Proxies, error) {
	var p Proxies
	for _, text := range list {
		if text == unixPeer {
			p.unix = true
			continue
		}
		network, err := parseNetwork(text)
		if err != nil {
			return Proxies{}, err
		}
		p.networks = append(p.networks, network)
	}
	return p, nil
}

func parseNetwork(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil && address.Zone() == "" {
		address = address.Unmap()
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	network, err := netip.ParsePrefix(text)
	if err != nil || network.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is not a network: give one in CIDR notation, as in 10.0.0.0/8 or fd00::/8, or an address, or unix", text)
	}
	return network.Masked(), nil
}

// Client gives the address of the client behind a request, without zone; the zero
// Addr where the peer has none, as on a Unix socket.
//
// X-Forwarded-For counts only from a trusted peer. Every hop appends who it was
// called by, so the list is read from its end: the first address that is no trusted
// hop is the client, and what stands before it is only the client's claim. Anything
// that can't be read leaves the peer's own address.
func (p Proxies) Client(r *http.Request) netip.Addr {
	peer := peerAddress(r.RemoteAddr)
	if !p.trusts(peer) {
		return peer
	}
	lines := r.Header.Values("X-Forwarded-For")
	client := peer
	for i := len(lines) - 1; i >= 0; i-- {
		for rest, more := lines[i], true; more; {
			var hop string
			rest, hop, more = cutLast(rest)
			address, ok := parseHop(hop)
			if !ok {
				return peer
			}
			if client = address; !p.trusts(client) {
				return client
			}
		}
	}
	return client
}

func (p Proxies) trusts(address netip.Addr) bool {
	if !address.IsValid() {
		return p.unix
	}
	for _, network := range p.networks {
		if network.Contains(address) {
			return true
		}
	}
	return false
}

// peerAddress reads http.Request's RemoteAddr, which is host:port for TCP and "@", ""
// or a path otherwise.
func peerAddress(remote string) netip.Addr {
	if both, err := netip.ParseAddrPort(remote); err == nil {
		return both.Addr().Unmap().WithZone("")
	}
	address, err := netip.ParseAddr(remote) // as some middleware leaves it
	if err != nil {
		return netip.Addr{}
	}
	return address.Unmap().WithZone("")
}

// cutLast splits off what follows the last comma, without copying a list that
// may be long.
func cutLast(list string) (rest, last string, more bool) {
	if i := strings.LastIndexByte(list, ','); i >= 0 {
		return list[:i], list[i+1:], true
	}
	return "", list, false
}

// parseHop reads one address of X-Forwarded-For; some proxies append the port.
func parseHop(hop string) (netip.Addr, bool) {
	hop = strings.Trim(hop, " \t")
	if host, _, err := net.SplitHostPort(hop); err == nil {
		hop = host
	} else if inner, ok := strings.CutPrefix(hop, "["); ok {
		hop = strings.TrimSuffix(inner, "]")
	}
	address, err := netip.ParseAddr(hop)
	if err != nil || address.Zone() != "" {
		return netip.Addr{}, false
	}
	return address.Unmap(), true
}

// owner is what is counted for an address: itself, or its /64 in IPv6, which is what
// one subscriber is given. The zero Addr is its own owner.
func owner(address netip.Addr) netip.Addr {
	address = address.Unmap().WithZone("")
	if !address.Is6() {
		return address
	}
	network, err := address.Prefix(64)
	if err != nil {
		return address // not reached: every IPv6 address has a /64
	}
	return network.Addr()
}
