package app_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/mapping"
)

// identity is somebody who signs tokens and publishes the key.
type identity struct {
	url     string
	key     *ecdsa.PrivateKey
	kid     string
	running atomic.Bool
}

func newIdentity(t *testing.T) *identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := &identity{key: key, kid: "2026-01"}
	server := httptest.NewServer(i)
	t.Cleanup(server.Close)
	i.url = server.URL
	return i
}

func (i *identity) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	point, err := i.key.PublicKey.Bytes()
	if err != nil || !i.running.Load() {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	text := base64.RawURLEncoding.EncodeToString
	_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{
		map[string]any{"kty": "EC", "crv": "P-256", "kid": i.kid, "x": text(point[1:33]), "y": text(point[33:])},
	}})
}

// token is an owner's of company 1.
func (i *identity) token(t *testing.T, s *apptest.Server) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": s.Config.Auth.Issuer, "aud": s.Config.Auth.Audience, "exp": time.Now().Add(time.Hour).Unix(),
		"sub": "u", "company_id": "1", "roles": []string{"owner"},
	})
	token.Header["kid"] = i.kid
	text, err := token.SignedString(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A server whose keys come from a URL starts while that is down, tells clients to
// come again, and takes their tokens once it has the keys; configured keys go beside.
func TestFetchedKeys(t *testing.T) {
	i := newIdentity(t)
	s := apptest.Start(t, apptest.Options{
		Schema: notesSchema + `; INSERT INTO notes VALUES (1, 1, 'a')`, Tables: []pgx.Identifier{{"public", "notes"}}, Config: notesConfig,
		Edit: func(c *mapping.Config) {
			c.Auth.JWKS = &mapping.JWKS{URL: i.url, Refresh: time.Hour, UnknownKidInterval: time.Millisecond}
		},
	})
	c := apptest.Dial(t, s.WS())
	c.Send(`{"type":"auth","token":%q}`, i.token(t, s))
	if code, frames := c.ReadClose(); code != 4000 || len(frames) != 1 || frames[0].Code != "unavailable" {
		t.Errorf("closed with %d after %v, want 4000 and unavailable", code, frames)
	}
	s.Connect(s.Owner("1"))
	hasMetrics(t, s, `keys 0`, `last_success_timestamp_seconds 0`, `fetches_total\{result="ok"\} 0`, `fetches_total\{result="error"\} [1-9]\d*`)

	i.running.Store(true)
	c = s.Connect(i.token(t, s))
	if q := c.Open(1, `{"table":"notes"}`); len(q.Rows) != 1 {
		t.Errorf("rows %v", q.Rows)
	}
	hasMetrics(t, s, `keys 1`, `last_success_timestamp_seconds 1\.\d+e\+09`, `fetches_total\{result="ok"\} 1`)
}

// Without configured keys the fetched ones are all there are.
func TestFetchedKeysOnly(t *testing.T) {
	i := newIdentity(t)
	i.running.Store(true)
	s := apptest.Start(t, apptest.Options{
		Schema: notesSchema, Tables: []pgx.Identifier{{"public", "notes"}},
		Config: strings.Replace(notesConfig, `keys: [{id: main, alg: HS256, secret: "${WALWIRE_TOKEN_SECRET}"}]`, "jwks: {url: "+i.url+"}", 1),
	})
	s.Connect(i.token(t, s))
	c := apptest.Dial(t, s.WS())
	c.Send(`{"type":"auth","token":%q}`, s.Owner("1"))
	if code, _ := c.ReadClose(); code != 4501 {
		t.Errorf("a token of no key: closed with %d, want 4501", code)
	}
}

func hasMetrics(t *testing.T, s *apptest.Server, want ...string) {
	t.Helper()
	metrics := get(t, s.App.AdminURL()+"/metrics")
	for _, w := range want {
		if !regexp.MustCompile(`(?m)^walwire_jwks_` + w + `$`).MatchString(metrics) {
			t.Errorf("the metrics lack walwire_jwks_%s", w)
		}
	}
}
