package app

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/walwire/walwire/mapping"
)

const adminToken = "an admin token for tests, of 32 octets or more"

func TestAdminGuard(t *testing.T) {
	for name, tc := range map[string]struct {
		token, host string
		header      http.Header
		want        int
	}{
		"OKLoopback":        {host: "127.0.0.1:8081", want: 200},
		"OKV6":              {host: "[::1]:8081", want: 200},
		"OKName":            {host: "LocalHost:8081", want: 200},
		"OKNoPort":          {host: "localhost", want: 200},
		"OKListen":          {host: "operators:8081", want: 200},
		"ErrRebound":        {host: "evil.example:8081", want: 403},
		"ErrLikeLoopback":   {host: "127.0.0.1.evil.example:8081", want: 403},
		"ErrLikeLocalhost":  {host: "localhost.evil.example", want: 403},
		"ErrNoHost":         {host: "", want: 403},
		"ErrOtherAddress":   {host: "192.0.2.1:8081", want: 403},
		"ErrPage":           {host: "127.0.0.1:8081", header: http.Header{"Origin": {"https://evil.example"}}, want: 403},
		"ErrPageNull":       {host: "127.0.0.1:8081", header: http.Header{"Origin": {"null"}}, want: 403},
		"ErrPageOtherPort":  {host: "127.0.0.1:8081", header: http.Header{"Origin": {"http://127.0.0.1:3000"}}, want: 403},
		"ErrPageNoOrigin":   {host: "127.0.0.1:8081", header: http.Header{"Sec-Fetch-Site": {"cross-site"}}, want: 403},
		"OKOwnPage":         {host: "127.0.0.1:8081", header: http.Header{"Origin": {"http://127.0.0.1:8081"}, "Sec-Fetch-Site": {"same-origin"}}, want: 200},
		"OKAddressBar":      {host: "127.0.0.1:8081", header: http.Header{"Sec-Fetch-Site": {"none"}}, want: 200},
		"OKToken":           {token: adminToken, host: "anything.example", header: http.Header{"Authorization": {"Bearer " + adminToken}}, want: 200},
		"OKTokenCase":       {token: adminToken, host: "anything.example", header: http.Header{"Authorization": {"bearer " + adminToken}}, want: 200},
		"ErrTokenMissing":   {token: adminToken, host: "127.0.0.1:8081", want: 401},
		"ErrTokenWrong":     {token: adminToken, host: "127.0.0.1:8081", header: http.Header{"Authorization": {"Bearer " + adminToken + "x"}}, want: 401},
		"ErrTokenPart":      {token: adminToken, host: "127.0.0.1:8081", header: http.Header{"Authorization": {"Bearer " + adminToken[:20]}}, want: 401},
		"ErrTokenEmpty":     {token: adminToken, host: "127.0.0.1:8081", header: http.Header{"Authorization": {"Bearer "}}, want: 401},
		"ErrTokenBasic":     {token: adminToken, host: "127.0.0.1:8081", header: http.Header{"Authorization": {"Basic " + adminToken}}, want: 401},
		"ErrTokenElsewhere": {token: adminToken, host: "127.0.0.1:8081", header: http.Header{"X-Token": {adminToken}}, want: 401},
	} {
		t.Run(name, func(t *testing.T) {
			a := &App{cfg: &mapping.Config{Admin: mapping.Admin{Listen: "operators:8081", Token: mapping.NewSecret(tc.token)}}, log: slog.New(slog.DiscardHandler)}
			r := httptest.NewRequest("POST", "/admin/v1/x", nil)
			r.Host = tc.host
			if tc.header != nil {
				r.Header = tc.header
			}
			w := httptest.NewRecorder()
			a.adminGuard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
			if w.Code != tc.want || tc.want != 200 && !strings.Contains(w.Body.String(), `"message":`) {
				t.Errorf("HTTP %d %s, want %d", w.Code, w.Body, tc.want)
			}
		})
	}
}

// What profiles there are is nobody's who serves http.DefaultServeMux.
func TestProfilesNotGlobal(t *testing.T) {
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/profile"} {
		if _, pattern := http.DefaultServeMux.Handler(httptest.NewRequest("GET", path, nil)); pattern != "" {
			t.Errorf("%s is served by %q of the default mux", path, pattern)
		}
	}
}
