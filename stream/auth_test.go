package stream_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/walwire/walwire/auth"
	"github.com/walwire/walwire/internal/app"
	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/mapping"
)

// sign makes a token that is right but for what is given.
func sign(t *testing.T, s *apptest.Server, key string, claims apptest.Claims) string {
	t.Helper()
	full := apptest.Claims{"iss": s.Config.Auth.Issuer, "aud": s.Config.Auth.Audience, "sub": "x", "company_id": companyA, "roles": []string{"owner"}}
	for name, value := range claims {
		full[name] = value
	}
	k, err := auth.NewSecretKey("main", []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	token, err := auth.Sign(k, full, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// unsigned is a token of algorithm none.
func unsigned(s *apptest.Server) string {
	part := func(v any) string {
		text, _ := json.Marshal(v) // of strings and numbers: always possible
		return base64.RawURLEncoding.EncodeToString(text)
	}
	return part(map[string]any{"alg": "none", "typ": "JWT", "kid": "main"}) + "." +
		part(map[string]any{"iss": s.Config.Auth.Issuer, "aud": s.Config.Auth.Audience, "sub": "x", "company_id": companyA,
			"roles": []string{"owner"}, "exp": time.Now().Add(time.Hour).Unix()}) + "."
}

// Tokens that are not right are refused, by the first frame and by the header.
func TestTokens(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	h := startHonest(s)
	own := s.Config.Auth.Keys[0].Secret.Reveal()
	good := s.Owner(companyA)
	head, body, _ := strings.Cut(good, ".")
	for name, tc := range map[string]struct{ token, word string }{
		"garbage":         {"garbage", "not a signed"},
		"three parts":     {"a.b.c", ""},
		"injection":       {injection, ""},
		"NUL":             {"a\u0000b", ""},
		"alg none":        {unsigned(s), ""},
		"cut signature":   {good[:len(good)-4], ""},
		"other signature": {head + "." + body[:len(body)-6] + "AAAAAA", ""},
		"other key":       {sign(t, s, "another secret of thirty-two octets and more", nil), "signature"},
		"expired":         {sign(t, s, own, apptest.Claims{"exp": time.Now().Add(-time.Hour).Unix()}), "expired"},
		"not yet":         {sign(t, s, own, apptest.Claims{"nbf": time.Now().Add(time.Hour).Unix()}), "not valid yet"},
		"no expiry":       {sign(t, s, own, apptest.Claims{"exp": nil}), "claims"},
		"other audience":  {sign(t, s, own, apptest.Claims{"aud": "somebody else"}), "audience"},
		"other issuer":    {sign(t, s, own, apptest.Claims{"iss": "https://elsewhere.test"}), "issuer"},
		"no company":      {sign(t, s, own, apptest.Claims{"company_id": nil}), ""},
		"two companies":   {sign(t, s, own, apptest.Claims{"company_id": []string{companyA, companyB}}), "name one"},
		"no user":         {sign(t, s, own, apptest.Claims{"sub": nil}), ""},
		"too long":        {sign(t, s, own, apptest.Claims{"sub": strings.Repeat("x", 9000)}), "too long"},
	} {
		t.Run(name, func(t *testing.T) {
			c := apptest.Dial(t, s.WS())
			c.Send(`{"type":"auth","token":%s}`, mustJSON(t, tc.token))
			mustRefuse(t, c, 0, "unauthenticated", tc.word)
			if code, frames := c.ReadClose(); code != 4501 || len(frames) > 0 {
				t.Errorf("closed with %d after %d more frames, want 4501", code, len(frames))
			}
			status, answer := call(t, "POST", s.URL()+"/v1/wait", strings.Map(printable, tc.token), `{"lsn":"0/1"}`)
			if status != http.StatusUnauthorized || answer["code"] != "unauthenticated" {
				t.Errorf("POST /v1/wait: %d %v", status, answer)
			}
			h.step(t)
		})
	}
	h.mustBeExact(t)
}

func printable(r rune) rune {
	if r < ' ' {
		return -1
	}
	return r
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// call makes an HTTP request and reads the JSON answer.
func call(t *testing.T, method, url, token, body string) (int, map[string]any) {
	t.Helper()
	status, text := callText(t, method, url, token, body)
	answer := make(map[string]any)
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatalf("%s %s: %q: %v", method, url, text, err)
	}
	return status, answer
}

func callText(t *testing.T, method, url, token, body string) (int, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, text
}

// What a connection's first frame may not be.
func TestFirstFrame(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	h := startHonest(s)
	for name, tc := range map[string]struct {
		frame, code, word string
	}{
		"subscribe":     {`{"type":"subscribe","id":1,"query":{"table":"appointments"}}`, "unauthenticated", "first frame"},
		"without token": {`{"type":"auth"}`, "unauthenticated", "first frame"},
		"token a list":  {`{"type":"auth","token":[]}`, "invalid-argument", "token"},
		"not JSON":      {`hello`, "invalid-argument", "JSON"},
		"empty":         {``, "invalid-argument", "ends too early"},
	} {
		t.Run(name, func(t *testing.T) {
			c := apptest.Dial(t, s.WS())
			if err := c.TrySend([]byte(tc.frame)); err != nil {
				t.Fatal(err)
			}
			mustRefuse(t, c, 0, tc.code, tc.word)
			if code, _ := c.ReadClose(); code != 4500 {
				t.Errorf("closed with %d, want 4500", code)
			}
			h.step(t)
		})
	}
	t.Run("none", func(t *testing.T) { // by a deadline that the others may miss
		hasty := apptest.Start(t, apptest.Options{Edit: func(c *mapping.Config) { c.Limits.AuthDeadline = 300 * time.Millisecond }})
		c := apptest.Dial(t, hasty.WS())
		code, frames := c.ReadClose()
		if code != 4501 || len(frames) != 1 || frames[0].Code != "unauthenticated" || !strings.Contains(frames[0].Message, "limits.auth_deadline") {
			t.Errorf("closed with %d after %d frames, want 4501 after an error frame", code, len(frames))
		}
	})
	t.Run("binary", func(t *testing.T) {
		c := apptest.Dial(t, s.WS())
		c.SendBinary([]byte(`{"type":"auth","token":"x"}`))
		mustRefuse(t, c, 0, "invalid-argument", "binary")
	})
	h.mustBeExact(t)
}

// The token in the upgrade request: in its header, never in its URL.
func TestUpgrade(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	s.Exec(seed)
	insert(s, 1, companyA, ann, cat, "confirmed")
	dial := func(t *testing.T, url string, header http.Header) (*apptest.Client, int) {
		t.Helper()
		c, err := apptest.TryDial(t, url, header)
		var refused *apptest.RefusedError
		if errors.As(err, &refused) {
			return nil, refused.Status
		}
		if err != nil {
			t.Fatal(err)
		}
		return c, http.StatusSwitchingProtocols
	}
	t.Run("bearer", func(t *testing.T) {
		c, _ := dial(t, s.WS(), http.Header{"Authorization": {"bearer " + s.Owner(companyA)}})
		if f := c.Read(); f.Type != "welcome" {
			t.Fatalf("got %s", f.Raw)
		}
		if q := c.Open(1, confirmed); len(q.Rows) != 1 {
			t.Fatalf("%d rows", len(q.Rows))
		}
		c.Send(`{"type":"auth","token":"x"}`)
		mustRefuse(t, c, 0, "unauthenticated") // no renewal, and the connection goes on
		s.Wait(c)
	})
	t.Run("bad bearer", func(t *testing.T) {
		c, _ := dial(t, s.WS(), http.Header{"Authorization": {"Bearer x"}})
		mustRefuse(t, c, 0, "unauthenticated")
		if code, _ := c.ReadClose(); code != 4501 {
			t.Errorf("closed with %d, want 4501", code)
		}
	})
	for _, name := range []string{"token", "access_token", "jwt", "auth", "authorization"} {
		t.Run(name+" in the URL", func(t *testing.T) {
			if _, status := dial(t, s.WS()+"?"+name+"="+s.Owner(companyA), nil); status != http.StatusBadRequest {
				t.Errorf("HTTP %d, want 400", status)
			}
			if status, _ := call(t, "POST", s.URL()+"/v1/wait?"+name+"=x", s.Owner(companyA), `{"lsn":"0/1"}`); status != http.StatusBadRequest {
				t.Errorf("wait: HTTP %d, want 400", status)
			}
		})
	}
	for origin, want := range map[string]int{
		"https://evil.test":      http.StatusForbidden,
		"null":                   http.StatusForbidden,
		"http://localhost":       http.StatusForbidden,
		"https://localhost:5173": http.StatusForbidden, // the example has http
		"http://localhost:5173":  http.StatusSwitchingProtocols,
		s.URL():                  http.StatusSwitchingProtocols,
		"http://127.0.0.1.evil.test" + strings.TrimPrefix(s.URL(), "http://127.0.0.1"): http.StatusForbidden,
	} {
		t.Run("origin "+origin, func(t *testing.T) {
			if _, status := dial(t, s.WS(), http.Header{"Origin": {origin}}); status != want {
				t.Errorf("HTTP %d, want %d", status, want)
			}
		})
	}
}

// A token ends while its connection is open: the connection ends with it.
func TestExpiry(t *testing.T) {
	t.Parallel() // it mostly waits
	s := apptest.Start(t, apptest.Options{Edit: func(c *mapping.Config) { c.Auth.ClockSkew = 0 }})
	h := startHonest(s)
	insert(s, 1, companyA, ann, cat, "confirmed")
	expires := time.Now().Truncate(time.Second).Add(30 * time.Second)
	c := s.Connect(s.Token(apptest.Claims{"sub": "x", "company_id": companyA, "roles": []string{"owner"}, "exp": expires.Unix()}))
	q := c.Open(1, confirmed)
	code, frames := c.ReadClose()
	if early := time.Until(expires); early > 0 {
		t.Errorf("closed %s before its end", early)
	}
	frames = slices.DeleteFunc(frames, func(f *apptest.Frame) bool { return f.Type == "data" })
	if len(q.Rows) != 1 {
		t.Errorf("%d rows", len(q.Rows))
	}
	if code != 4002 || len(frames) != 2 || frames[0].Type != "expiring" || frames[1].Code != "unauthenticated" || !strings.Contains(frames[1].Message, "expired") {
		t.Errorf("closed with %d after %v, want 4002 after a notice and an error frame", code, frames)
	}
	h.step(t)
	h.mustBeExact(t)
}

// A token that clock skew still lets in is good for something.
func TestExpiryWithinSkew(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	s.Exec(seed)
	insert(s, 1, companyA, ann, cat, "confirmed")
	c := s.Connect(s.Token(apptest.Claims{"sub": "x", "company_id": companyA, "roles": []string{"owner"}, "exp": time.Now().Add(-10 * time.Second).Unix()}))
	if q := c.Open(1, confirmed); len(q.Rows) != 1 {
		t.Fatalf("%d rows", len(q.Rows))
	}
	s.Wait(c)
}

// The company claim names a company in whatever spelling its type takes; one
// that does not exist has no rows yet.
func TestCompanyClaim(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	s.Exec(seed)
	insert(s, 1, companyA, ann, cat, "confirmed")
	insert(s, 2, companyB, "", dan, "confirmed")
	upper := s.Connect(s.Owner(strings.ToUpper(companyA)))
	q := upper.Open(1, confirmed)
	if len(q.Rows) != 1 {
		t.Fatalf("%d rows, want 1", len(q.Rows))
	}
	s.Exec(`UPDATE appointments SET notes = 'live'`)
	if u := mustFrame(t, upper.Read(), 0, 1, 0); u.Modified[0]["notes"] != "live" {
		t.Fatalf("got %v", u)
	}
	const later = "00000000-0000-0000-0000-0000000000c1"
	for i, company := range []string{later, "no uuid at all", "", "*", companyA + " "} {
		if company == "" {
			continue // refused: TestTokens
		}
		c := s.Connect(s.Owner(company))
		q := c.Open(1, `{"table":"appointments"}`)
		if len(q.Rows) != 0 {
			t.Fatalf("company %q sees %d rows", company, len(q.Rows))
		}
		s.Wait(c)
		if i == 0 {
			s.Exec(`INSERT INTO companies (id, name) VALUES ($1, 'C')`, later)
			insert(s, 3, later, "", cat, "confirmed")
			mustFrame(t, c.Read(), 1, 0, 0)
		}
	}
}

// The HTTP side: waiting for a write, health, metrics, and what is not there.
func TestHTTP(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	s.Exec(seed)
	token := s.Owner(companyA)
	c := s.Connect(token)
	q := c.Open(1, `{"table":"appointments"}`)
	wait := s.URL() + "/v1/wait"
	t.Run("wait/OK", func(t *testing.T) {
		for n := range 20 {
			insert(s, n, companyA, ann, cat, "confirmed")
			for _, who := range []string{token, s.Owner(companyB)} { // with and without a connection
				status, answer := call(t, "POST", wait, who, fmt.Sprintf(`{"lsn":%q,"timeout_ms":30000}`, s.LSN()))
				if position, _ := answer["position"].(string); status != http.StatusOK || !strings.Contains(position, "/") {
					t.Fatalf("HTTP %d %v", status, answer)
				}
			}
		}
		s.Wait(c)
		if len(q.Rows) != 20 {
			t.Fatalf("%d rows, want 20", len(q.Rows))
		}
	})
	for name, tc := range map[string]struct {
		method, path, token, body string
		status                    int
		code                      string
	}{
		"wait/ErrNoToken":   {"POST", "/v1/wait", "", `{"lsn":"0/1"}`, 401, "unauthenticated"},
		"wait/ErrEmpty":     {"POST", "/v1/wait", token, ``, 400, "invalid-argument"},
		"wait/ErrNoLSN":     {"POST", "/v1/wait", token, `{}`, 400, "invalid-argument"},
		"wait/ErrLSN":       {"POST", "/v1/wait", token, `{"lsn":"soon"}`, 400, "invalid-argument"},
		"wait/ErrMember":    {"POST", "/v1/wait", token, `{"lsn":"0/1","until":"then"}`, 400, "invalid-argument"},
		"wait/ErrTwo":       {"POST", "/v1/wait", token, `{"lsn":"0/1"}{}`, 400, "invalid-argument"},
		"wait/ErrLarge":     {"POST", "/v1/wait", token, `{"lsn":"` + strings.Repeat("0", 1<<20) + `"}`, 429, "resource-exhausted"},
		"wait/ErrTimeoutMS": {"POST", "/v1/wait", token, `{"lsn":"0/1","timeout_ms":99999999}`, 400, "invalid-argument"},
		"wait/ErrDeadline":  {"POST", "/v1/wait", token, `{"lsn":"FFFFFFFF/0","timeout_ms":20}`, 504, "deadline-exceeded"},
		"wait/ErrMethod":    {"GET", "/v1/wait", token, ``, 404, "not-found"},
		"ErrNotFound":       {"GET", "/v2/stream", token, ``, 404, "not-found"},
		"ErrRoot":           {"GET", "/", "", ``, 404, "not-found"},
	} {
		t.Run(name, func(t *testing.T) {
			status, answer := call(t, tc.method, s.URL()+tc.path, tc.token, tc.body)
			if message, _ := answer["message"].(string); status != tc.status || answer["code"] != tc.code || message == "" {
				t.Errorf("HTTP %d %v, want %d %s", status, answer, tc.status, tc.code)
			}
		})
	}
	t.Run("health", func(t *testing.T) {
		if status, answer := call(t, "GET", s.URL()+"/healthz", "", ""); status != 200 || answer["status"] != "ok" {
			t.Errorf("/healthz: HTTP %d %v", status, answer)
		}
		if status, answer := call(t, "GET", s.URL()+"/readyz", "", ""); status != 200 || answer["status"] != "ready" {
			t.Errorf("/readyz: HTTP %d %v", status, answer)
		}
	})
	t.Run("metrics", func(t *testing.T) {
		status, text := callText(t, "GET", s.App.AdminURL()+"/metrics", "", "")
		for _, line := range []string{`walwire_connections{transport="websocket"} 1`, "walwire_companies 1", "walwire_views ", "walwire_mismatches_total 0", "walwire_frames_out_total"} {
			if status != 200 || !strings.Contains(string(text), line) {
				t.Errorf("/metrics (HTTP %d) lacks %q", status, line)
			}
		}
	})
	t.Run("no upgrade", func(t *testing.T) {
		if status, _ := callText(t, "GET", s.URL()+"/v1/stream", token, ""); status != http.StatusUpgradeRequired {
			t.Errorf("HTTP %d, want 426", status)
		}
	})
}

// The table that says who users are can't be read for a while: that is no refused token,
// with which a client would not come back.
func TestUsersUnreadable(t *testing.T) {
	s := apptest.Start(t, apptest.Options{Tuning: app.Tuning{CatalogInterval: lookNever}})
	s.Exec(seed)
	role := strings.Split(strings.TrimPrefix(s.Config.DatabaseURL.Reveal(), "postgres://"), ":")[0]
	s.Exec(`REVOKE SELECT ON staff FROM ` + role + `, PUBLIC`)
	c := apptest.Dial(t, s.WS())
	c.Send(`{"type":"auth","token":%q}`, staffToken(s, "ann", "receptionist"))
	mustRefuse(t, c, 0, "failed-precondition")
	if code, _ := c.ReadClose(); code != 4000 {
		t.Errorf("closed with %d, want 4000", code)
	}
	s.Exec(`GRANT SELECT ON staff TO ` + role)
	s.Connect(staffToken(s, "ann", "receptionist"))
}
