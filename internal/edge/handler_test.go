package edge

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// serve runs the policy before a handler that gives the path that it sees, and
// upgrades what asks for it.
func serve(t *testing.T, base string, origins ...string) (server string) {
	t.Helper()
	o, err := ParseOrigins(origins)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(Handler(Policy{BasePath: base, Origins: o}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			if c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}); err == nil {
				_ = c.CloseNow()
			}
			return
		}
		_, _ = io.WriteString(w, r.Method+" "+r.URL.EscapedPath())
	})))
	t.Cleanup(s.Close)
	return s.URL
}

func ask(t *testing.T, method, address string, header map[string]string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		r.Header.Set(k, v)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func mustError(t *testing.T, r *http.Response, body string, status int, code string) {
	t.Helper()
	var e struct{ Code, Message string }
	if err := json.Unmarshal([]byte(body), &e); err != nil || r.StatusCode != status || e.Code != code || e.Message == "" || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("HTTP %d %q, want %d %s", r.StatusCode, body, status, code)
	}
}

func TestHandlerOrigins(t *testing.T) {
	url := serve(t, "", "https://app.example.com")
	evil, good := map[string]string{"Origin": "https://evil.example"}, map[string]string{"Origin": "https://app.example.com"}
	for _, path := range []string{"/v1/stream", "/v1/wait", "/v1", "/%76%31/stream", "/v1%2Fstream"} {
		r, body := ask(t, "POST", url+path, evil)
		mustError(t, r, body, 403, "permission-denied")
		if r.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: CORS allows it", path)
		}
		for _, header := range []map[string]string{good, nil} {
			if r, body := ask(t, "POST", url+path, header); r.StatusCode != 200 {
				t.Errorf("%s with %v: HTTP %d %s", path, header, r.StatusCode, body)
			}
		}
	}
	if r, body := ask(t, "GET", url+"/healthz", evil); r.StatusCode != 200 || body != "GET /healthz" {
		t.Errorf("/healthz: HTTP %d %s", r.StatusCode, body)
	}
	for name, tc := range map[string]struct {
		header http.Header
		ok     bool
	}{
		"OKListed":  {http.Header{"Origin": {"https://app.example.com"}}, true},
		"OKNone":    {http.Header{}, true},
		"OKOwn":     {http.Header{"Origin": {url}}, true},
		"ErrOther":  {http.Header{"Origin": {"https://evil.example"}}, false},
		"ErrSuffix": {http.Header{"Origin": {"https://app.example.com.evil.example"}}, false},
	} {
		t.Run("WebSocket"+name, func(t *testing.T) {
			c, r, err := websocket.Dial(t.Context(), url+"/v1/stream", &websocket.DialOptions{HTTPHeader: tc.header})
			if err == nil {
				_ = c.CloseNow()
			}
			if tc.ok != (err == nil) {
				t.Fatalf("dial: %v", err)
			}
			if !tc.ok {
				body, _ := io.ReadAll(r.Body)
				mustError(t, r, string(body), 403, "permission-denied")
			}
		})
	}
}

func TestHandlerCORS(t *testing.T) {
	url := serve(t, "", "https://*.example.com")
	preflight := func(origin, method, headers string) (*http.Response, string) {
		return ask(t, "OPTIONS", url+"/v1/wait", map[string]string{
			"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers,
		})
	}
	for _, method := range []string{"GET", "POST", "DELETE"} {
		r, body := preflight("https://a.example.com", method, "authorization,content-type")
		h := r.Header
		if r.StatusCode != 204 || body != "" || h.Get("Access-Control-Allow-Origin") != "https://a.example.com" || h.Get("Access-Control-Allow-Methods") != method ||
			!strings.EqualFold(h.Get("Access-Control-Allow-Headers"), "authorization,content-type") || h.Get("Access-Control-Max-Age") != "600" ||
			h.Get("Access-Control-Allow-Credentials") != "" || !strings.Contains(h.Get("Vary"), "Origin") {
			t.Errorf("%s: HTTP %d %q %v", method, r.StatusCode, body, h)
		}
	}
	for _, tc := range [][2]string{{"PUT", ""}, {"GET", "x-other"}} {
		if r, body := preflight("https://a.example.com", tc[0], tc[1]); r.Header.Get("Access-Control-Allow-Origin") != "" || body != "" {
			t.Errorf("%v: HTTP %d %q %v", tc, r.StatusCode, body, r.Header)
		}
	}
	r, body := preflight("https://evil.test", "GET", "")
	mustError(t, r, body, 403, "permission-denied")
	r, body = ask(t, "POST", url+"/v1/wait", map[string]string{"Origin": "https://a.example.com"})
	if r.StatusCode != 200 || body != "POST /v1/wait" || r.Header.Get("Access-Control-Allow-Origin") != "https://a.example.com" || r.Header.Get("Access-Control-Expose-Headers") != "Retry-After" {
		t.Errorf("HTTP %d %q %v", r.StatusCode, body, r.Header)
	}
}

func TestHandlerBasePath(t *testing.T) {
	server := serve(t, "/realtime", "https://app.example.com")
	for path, want := range map[string]string{
		"/realtime/v1/wait":     "/v1/wait",
		"/realtime/healthz":     "/healthz",
		"/realtime/":            "/",
		"/realtime/v1/a%2Fb":    "/v1/a%2Fb",
		"/realtime//v1/wait":    "//v1/wait",
		"/realtime/realtime/v1": "/realtime/v1",
	} {
		if r, body := ask(t, "GET", server+path, nil); r.StatusCode != 200 || body != "GET "+want {
			t.Errorf("%s: HTTP %d %q, want %s", path, r.StatusCode, body, want)
		}
	}
	for _, path := range []string{"/", "/v1/wait", "/healthz", "/realtime", "/realtimeX/v1/wait", "/Realtime/v1/wait", "/real%74ime%2Fv1/wait", "/x/realtime/v1/wait"} {
		r, body := ask(t, "GET", server+path, nil)
		mustError(t, r, body, 404, "not-found")
	}
	r, body := ask(t, "GET", server+"/realtime/v1/wait", map[string]string{"Origin": "https://evil.test"})
	mustError(t, r, body, 403, "permission-denied")

	// A proxy that leaves the prefix on needs the setting; one that takes it off does not.
	for name, tc := range map[string]struct {
		upstream string
		strip    bool
	}{"Stripping": {serve(t, ""), true}, "Keeping": {server, false}} {
		t.Run(name, func(t *testing.T) {
			target, err := url.Parse(tc.upstream)
			if err != nil {
				t.Fatal(err)
			}
			transport := &http.Transport{DisableKeepAlives: true}
			var handler http.Handler = &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host }}
			if tc.strip {
				handler = http.StripPrefix("/realtime", handler)
			}
			proxy := httptest.NewServer(handler)
			t.Cleanup(proxy.Close)
			if r, body := ask(t, "GET", proxy.URL+"/realtime/v1/wait", map[string]string{"Origin": proxy.URL}); r.StatusCode != 200 || body != "GET /v1/wait" {
				t.Errorf("HTTP %d %q", r.StatusCode, body)
			}
			c, _, err := websocket.Dial(t.Context(), proxy.URL+"/realtime/v1/stream", &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {proxy.URL}}})
			if err != nil {
				t.Fatal(err)
			}
			_ = c.CloseNow()
		})
	}
}

func TestCheckBasePath(t *testing.T) {
	for _, ok := range []string{"", "/realtime", "/a/b-c_d.e~1"} {
		if err := CheckBasePath(ok); err != nil {
			t.Errorf("%q: %v", ok, err)
		}
	}
	for _, bad := range []string{"/", "realtime", "/realtime/", "//realtime", "/a//b", "/a/../b", "/a b", "/a%20b", "/a?b", "/ä", "/{x}"} {
		if err := CheckBasePath(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
