package mapping

import (
	"net"
	"net/netip"

	"github.com/goccy/go-yaml/ast"
)

// AdminOff as Admin.Listen means that there is no such listener, as "" does.
const AdminOff = "off"

// minAdminToken is the least length of admin.token, in octets.
const minAdminToken = 32

// Admin says where operators look in: metrics, profiles, and what may be done to
// connections.
type Admin struct {
	Listen string // host:port; "" or "off": nowhere
	// Token is what every request must bear; none where the listener is on loopback.
	Token Secret
}

// Enabled reports whether there is such a listener.
func (a Admin) Enabled() bool { return a.Listen != "" && a.Listen != AdminOff }

func (d *decoder) admin(n ast.Node, path string, a *Admin) {
	d.object(n, path,
		field{"listen", "", d.textField(&a.Listen)},
		field{"token", "", d.secretField(&a.Token)},
	)
}

func (v *validator) admin(a Admin, public string) {
	if n := len(a.Token.Reveal()); n > 0 && n < minAdminToken {
		v.report("admin.token", "has %d octets, at least %d are needed: make one with openssl rand -base64 48", n, minAdminToken)
	}
	if !a.Enabled() {
		return
	}
	host, port, err := net.SplitHostPort(a.Listen)
	switch {
	case err != nil || port == "":
		v.report("admin.listen", "%q is not an address: give host:port, as in 127.0.0.1:8081, or off", a.Listen)
	case a.Listen == public && port != "0":
		v.report("admin.listen", "%s is listen as well: give another port, so that the public does not reach it", a.Listen)
	case !isLoopback(host) && a.Token.IsZero():
		v.report("admin.listen", "%s can be reached from other machines: give a loopback address, as in 127.0.0.1:8081, or set admin.token (openssl rand -base64 48)", a.Listen)
	}
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.Unmap().IsLoopback()
}
