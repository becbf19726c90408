package edge

import (
	"net/http"
	"strings"
	"testing"
)

func TestClient(t *testing.T) {
	p, err := ParseProxies([]string{"10.0.0.0/8", "fd00::/8", "192.0.2.7"})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		peer string
		hops []string // lines of X-Forwarded-For
		want string
	}{
		"NoProxy":          {"203.0.113.9:4000", nil, "203.0.113.9"},
		"UntrustedPeer":    {"203.0.113.9:4000", []string{"198.51.100.1"}, "203.0.113.9"},
		"Trusted":          {"10.0.0.1:4000", []string{"198.51.100.1"}, "198.51.100.1"},
		"SingleAddress":    {"192.0.2.7:4000", []string{"198.51.100.1"}, "198.51.100.1"},
		"ClaimBefore":      {"10.0.0.1:4000", []string{"1.1.1.1, 198.51.100.1"}, "198.51.100.1"},
		"SkipTrustedHops":  {"10.0.0.1:4000", []string{"1.1.1.1, 198.51.100.1,10.0.0.3 ,\t192.0.2.7"}, "198.51.100.1"},
		"SeveralLines":     {"10.0.0.1:4000", []string{"1.1.1.1", "198.51.100.1", "10.0.0.3"}, "198.51.100.1"},
		"AllTrusted":       {"10.0.0.1:4000", []string{"10.0.0.9, 10.0.0.3"}, "10.0.0.9"},
		"Empty":            {"10.0.0.1:4000", []string{""}, "10.0.0.1"},
		"Word":             {"10.0.0.1:4000", []string{"unknown"}, "10.0.0.1"},
		"EndsInComma":      {"10.0.0.1:4000", []string{"198.51.100.1,"}, "10.0.0.1"},
		"BrokenBehindHop":  {"10.0.0.1:4000", []string{"198.51.100.1, x, 10.0.0.3"}, "10.0.0.1"},
		"BrokenBefore":     {"10.0.0.1:4000", []string{"x, 198.51.100.1"}, "198.51.100.1"}, // never looked at
		"Zone":             {"10.0.0.1:4000", []string{"fe80::1%eth0"}, "10.0.0.1"},
		"WithPort":         {"10.0.0.1:4000", []string{"198.51.100.1:5000"}, "198.51.100.1"},
		"V6":               {"[fd00::1]:4000", []string{"2001:db8::5"}, "2001:db8::5"},
		"V6Brackets":       {"[fd00::1]:4000", []string{"[2001:db8::5]"}, "2001:db8::5"},
		"V6Port":           {"[fd00::1]:4000", []string{"[2001:db8::5]:443"}, "2001:db8::5"},
		"MappedPeer":       {"[::ffff:10.0.0.1]:4000", []string{"198.51.100.1"}, "198.51.100.1"},
		"MappedHop":        {"10.0.0.1:4000", []string{"198.51.100.1, ::ffff:10.0.0.3"}, "198.51.100.1"},
		"PeerZone":         {"[fe80::1%eth0]:4000", nil, "fe80::1"},
		"NoPort":           {"203.0.113.9", nil, "203.0.113.9"},
		"Unix":             {"@", []string{"198.51.100.1"}, "invalid IP"},
		"NoRemote":         {"", []string{"198.51.100.1"}, "invalid IP"},
		"Huge":             {"10.0.0.1:4000", []string{strings.Repeat("1.1.1.1,", 100_000) + "198.51.100.1"}, "198.51.100.1"},
		"HugeOfThemselves": {"10.0.0.1:4000", []string{strings.Repeat("10.0.0.3,", 100_000) + "10.0.0.4"}, "10.0.0.3"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &http.Request{RemoteAddr: tc.peer, Header: http.Header{"X-Forwarded-For": tc.hops}}
			if got := p.Client(r).String(); got != tc.want {
				t.Errorf("client %s, want %s", got, tc.want)
			}
		})
	}
}

func TestClientUnix(t *testing.T) {
	p, err := ParseProxies([]string{"unix"})
	if err != nil {
		t.Fatal(err)
	}
	r := &http.Request{RemoteAddr: "@", Header: http.Header{"X-Forwarded-For": {"198.51.100.1"}}}
	if got := p.Client(r).String(); got != "198.51.100.1" {
		t.Errorf("client %s", got)
	}
	r.RemoteAddr = "203.0.113.9:4000"
	if got := p.Client(r).String(); got != "203.0.113.9" {
		t.Errorf("client of TCP %s", got)
	}
}

func TestParseProxiesErr(t *testing.T) {
	for _, text := range []string{"", "x", "10.0.0.0/33", "10.0.0.0/8/8", "fe80::1%eth0", "::ffff:10.0.0.0/104", "example.com", "10.0.0.0/8 "} {
		if _, err := ParseProxies([]string{text}); err == nil || !strings.Contains(err.Error(), "CIDR") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
