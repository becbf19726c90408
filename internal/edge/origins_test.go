package edge

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"
)

func TestOriginsAllowed(t *testing.T) {
	listed := []string{"https://app.example.com", "http://localhost:5173", "https://*.tenants.example.com", "https://*.ports.example.com:8443", "capacitor://localhost", "http://[::1]:3000"}
	for _, tc := range []struct {
		name, origin, host string
		tls                bool
		list               []string
		want               bool
	}{
		{name: "Exact", origin: "https://app.example.com", want: true},
		{name: "ExactPort", origin: "https://app.example.com:443", want: true},
		{name: "ExactCase", origin: "HTTPS://App.Example.COM", want: true},
		{name: "OtherScheme", origin: "http://app.example.com"},
		{name: "OtherPort", origin: "https://app.example.com:8443"},
		{name: "PortOfOtherScheme", origin: "https://app.example.com:80"},
		{name: "ListedPort", origin: "http://localhost:5173", want: true},
		{name: "ListedPortMissing", origin: "http://localhost"},
		{name: "NoDefaultPort", origin: "capacitor://localhost", want: true},
		{name: "V6", origin: "http://[::1]:3000", want: true},
		{name: "V6OtherSpelling", origin: "http://[0:0::1]:3000", want: true},
		{name: "TrailingDot", origin: "https://app.example.com."},
		{name: "Userinfo", origin: "https://app.example.com@evil.com"},
		{name: "UserinfoOwn", origin: "https://evil.com@app.example.com"},
		{name: "Suffix", origin: "https://app.example.com.evil.com"},
		{name: "Prefix", origin: "https://evilapp.example.com"},
		{name: "Path", origin: "https://app.example.com/"},
		{name: "Query", origin: "https://evil.com?.app.example.com"},
		{name: "Fragment", origin: "https://evil.com#.tenants.example.com"},
		{name: "Backslash", origin: `https://evil.com\.tenants.example.com`},
		{name: "Space", origin: "https://app.example.com "},
		{name: "Newline", origin: "https://app.example.com\nx"},
		{name: "Percent", origin: "https://app%2eexample.com"},
		{name: "BadPort", origin: "https://app.example.com:0443"},
		{name: "EmptyPort", origin: "https://app.example.com:"},
		{name: "Two", origin: "https://app.example.com,https://evil.com"},
		{name: "Empty", origin: " "},
		{name: "NoScheme", origin: "app.example.com"},
		{name: "Wild", origin: "https://a.tenants.example.com", want: true},
		{name: "WildCase", origin: "https://A.Tenants.Example.com", want: true},
		{name: "WildParent", origin: "https://tenants.example.com"},
		{name: "WildNested", origin: "https://a.b.tenants.example.com"},
		{name: "WildEmpty", origin: "https://.tenants.example.com"},
		{name: "WildSuffix", origin: "https://a.tenants.example.com.evil.com"},
		{name: "WildGlued", origin: "https://eviltenants.example.com"},
		{name: "WildScheme", origin: "http://a.tenants.example.com"},
		{name: "WildPortNotListed", origin: "https://a.tenants.example.com:8443"},
		{name: "WildPort", origin: "https://a.ports.example.com:8443", want: true},
		{name: "WildStar", origin: "https://*.tenants.example.com"},
		{name: "WildDot", origin: "https://a.tenants.example.com."},
		{name: "WildUserinfo", origin: "https://evil.com@a.tenants.example.com"},

		{name: "Own", origin: "http://live.example.com:8080", host: "live.example.com:8080", want: true},
		{name: "OwnCase", origin: "http://Live.example.com:8080", host: "live.EXAMPLE.com:8080", want: true},
		{name: "OwnOtherPort", origin: "http://live.example.com:9090", host: "live.example.com:8080"},
		{name: "OwnBehindTLSProxy", origin: "https://live.example.com", host: "live.example.com", want: true},
		{name: "OwnDefaultPort", origin: "https://live.example.com", host: "live.example.com:443", want: true},
		{name: "OwnPlain", origin: "http://live.example.com", host: "live.example.com", want: true},
		{name: "OwnTLS", origin: "https://live.example.com", host: "live.example.com", tls: true, want: true},
		{name: "OwnTLSFromPlain", origin: "http://live.example.com", host: "live.example.com", tls: true},
		{name: "OwnDots", origin: "https://live.example.com.", host: "live.example.com.", want: true},
		{name: "OwnDot", origin: "https://live.example.com.", host: "live.example.com"},
		{name: "OwnHostEmpty", origin: "https://live.example.com", host: ""},
		{name: "OwnV6", origin: "http://[::1]:8080", host: "[::1]:8080", want: true},
		{name: "OwnOtherScheme", origin: "chrome-extension://live.example.com", host: "live.example.com"},

		{name: "NullNotListed", origin: "null"},
		{name: "NullListed", origin: "null", list: []string{"null"}, want: true},
		{name: "NullAny", origin: "null", list: []string{"*"}},
		{name: "NullCase", origin: "NULL", list: []string{"null"}},
		{name: "Any", origin: "https://anything.test:1", list: []string{"*"}, want: true},
		{name: "AnyFile", origin: "file://", list: []string{"*"}, want: true},
		{name: "NoneListed", origin: "https://app.example.com", list: []string{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.list == nil {
				tc.list = listed
			}
			o, err := ParseOrigins(tc.list)
			if err != nil {
				t.Fatal(err)
			}
			r := &http.Request{Host: tc.host, Header: http.Header{"Origin": {tc.origin}}}
			if tc.tls {
				r.TLS = &tls.ConnectionState{}
			}
			if got := o.Allowed(r); got != tc.want {
				t.Errorf("%q at %q: %v", tc.origin, tc.host, got)
			}
		})
	}
	var none Origins
	if !none.Allowed(&http.Request{Header: http.Header{}}) {
		t.Error("a request without Origin is refused")
	}
	any, _ := ParseOrigins([]string{"*"})
	if any.Allowed(&http.Request{Header: http.Header{"Origin": {"https://a.test", "https://b.test"}}}) {
		t.Error("two origins are taken")
	}
}

func TestParseOriginsErr(t *testing.T) {
	for text, want := range map[string]string{
		"https://a.example/":           "is not an origin",
		"a.example":                    "is not an origin",
		"https://":                     "is not an origin",
		"https://user@a.example":       "is not an origin",
		"https://a.example:99999":      "is not an origin",
		"https://a.*.example.com":      "is not an origin",
		"https://*.*.example.com":      "is not an origin",
		"https://*example.com":         "is not an origin",
		"https://[::1":                 "is not an origin",
		"https://müller.example":       "is not an origin",
		"*://example.com":              "is not an origin",
		"https://*.com":                "pages of anybody",
		"https://a.example.":           "ends in a dot",
		"https://*.example.com./":      "is not an origin",
		"https://app.example.com/path": "is not an origin",
	} {
		if _, err := ParseOrigins([]string{text}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// FuzzParseOrigin holds that what is read is one scheme, host and port, however it is
// written.
func FuzzParseOrigin(f *testing.F) {
	for _, seed := range []string{"https://a.example:8443", "http://[::1]:80", "https://a@b", "x://y", "https://a.example.", "https://[::1%eth0]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		o, ok := parseOrigin(text)
		if !ok {
			return
		}
		if strings.ContainsAny(o.host, "@/?#\\ %") || o.host == "" {
			t.Errorf("%q has the host %q", text, o.host)
		}
		again := o.scheme + "://" + o.host
		if o.port != "" {
			again += ":" + o.port
		}
		if second, ok := parseOrigin(again); !ok || second != o {
			t.Errorf("%q is %+v, and %q %+v", text, o, again, second)
		}
	})
}
