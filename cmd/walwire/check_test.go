package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/mapping"
)

// What check says of the keys of tokens: how many there are and why others are not
// used, and that they can't be fetched.
func TestCheckJWKS(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE"},{"kty":"oct","kid":"b","k":"AAAA"}]}`))
	}))
	t.Cleanup(server.Close)
	text := func(url string) string {
		cfg := &mapping.Config{Auth: mapping.Auth{JWKS: &mapping.JWKS{URL: url}}}
		if url == "" {
			cfg.Auth.JWKS = nil
		}
		r := newReport("walwire.yaml")
		r.jwks(t.Context(), cfg)
		if r.count(cdc.SeverityFatal) > 0 {
			t.Error("fatal, and the server would start")
		}
		var b strings.Builder
		if err := r.writeText(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	got := text(server.URL)
	for _, want := range []string{"ok       auth.jwks: the URL gives 1 usable of 2 keys\n", `info     auth.jwks: key 2 ("b") is a secret, `} {
		if !strings.Contains(got, want) {
			t.Errorf("got\n%s\nwant %q", got, want)
		}
	}
	server.Close()
	if got := text(server.URL); !strings.HasPrefix(got, "warning  auth.jwks: the keys of tokens can't be fetched: ") || !strings.Contains(got, "refused") {
		t.Errorf("got\n%s", got)
	}
	if got := text(""); !strings.Contains(got, "0 warning, 0 info, 0 ok") {
		t.Errorf("got\n%s", got)
	}
}
