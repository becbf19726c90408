package app_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/internal/app"
	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/mapping"
)

func notes(edit func(*mapping.Config)) apptest.Options {
	return apptest.Options{Schema: notesSchema, Tables: []pgx.Identifier{{"public", "notes"}}, Config: notesConfig, Edit: edit}
}

// status asks for a path, with or without an admin token.
func status(t *testing.T, client *http.Client, method, url, token string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var body bytes.Buffer
	if _, err := body.ReadFrom(response.Body); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, body.String()
}

// What operators see is on the admin listener and not on the public one.
func TestAdminListener(t *testing.T) {
	const token = "an admin token for tests, of 32 octets or more"
	for name, token := range map[string]string{"Open": "", "Token": token} {
		t.Run(name, func(t *testing.T) {
			s := apptest.Start(t, notes(func(c *mapping.Config) { c.Admin.Token = mapping.NewSecret(token) }))
			admin := s.App.AdminURL()
			for path, want := range map[string]string{
				"/metrics": "walwire_connections{transport=\"sse\"} 0", "/healthz": `"ok"`, "/readyz": `"ready"`,
				"/debug/pprof/": "goroutine", "/debug/pprof/heap?debug=1": "heap profile", "/debug/pprof/goroutine?debug=2": "goroutine 1",
				"/debug/pprof/profile?seconds=0.05": "", "/debug/pprof/trace?seconds=0.05": "go 1.",
			} {
				if code, body := status(t, http.DefaultClient, "GET", admin+path, token); code != 200 || !strings.Contains(body, want) {
					t.Errorf("%s: HTTP %d %.200s", path, code, body)
				}
				if token != "" {
					if code, _ := status(t, http.DefaultClient, "GET", admin+path, ""); code != 401 {
						t.Errorf("%s without the token: HTTP %d", path, code)
					}
				}
			}
			for _, path := range []string{"/", "/debug/pprof/none", "/v1/stream", "/v1/wait"} {
				if code, body := status(t, http.DefaultClient, "GET", admin+path, token); code != 404 || !strings.Contains(body, `"not-found"`) {
					t.Errorf("%s: HTTP %d %s", path, code, body)
				}
			}
			for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/heap", "/admin/v1/x"} {
				if code, body := status(t, http.DefaultClient, "GET", s.URL()+path, token); code != 404 {
					t.Errorf("%s on the public listener: HTTP %d %.200s", path, code, body)
				}
			}
		})
	}
}

func TestAdminOff(t *testing.T) {
	s := apptest.Start(t, notes(func(c *mapping.Config) { c.Admin.Listen = mapping.AdminOff }))
	if url := s.App.AdminURL(); url != "" {
		t.Errorf("admin at %s", url)
	}
	if code, _ := status(t, http.DefaultClient, "GET", s.URL()+"/readyz", ""); code != 200 {
		t.Errorf("/readyz: HTTP %d", code)
	}
}

// A taken admin address fails the start, and leaves the public one free.
func TestAdminTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := apptest.Prepare(t, notes(nil))
	s.Config.Listen, s.Config.Admin.Listen = free.Addr().String(), taken.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := app.New(s.Config, apptest.Logger(t)); err == nil || !strings.Contains(err.Error(), "admin.listen: listen on "+s.Config.Admin.Listen) {
		t.Errorf("error %v", err)
	}
	again, err := net.Listen("tcp", s.Config.Listen)
	if err != nil {
		t.Fatal(err)
	}
	_ = again.Close()
}

// Everything public lives below the base path; pages of other origins get nowhere.
func TestEdge(t *testing.T) {
	s := apptest.Start(t, notes(func(c *mapping.Config) { c.BasePath, c.Origins = "/live", []string{"https://*.example.com"} }))
	if !strings.HasSuffix(s.URL(), "/live") {
		t.Errorf("URL %s", s.URL())
	}
	s.Exec("INSERT INTO notes VALUES (1, 1, 'a')")
	c := s.Connect(s.Owner("1"))
	if q := c.Open(1, `{"table":"notes"}`); len(q.Rows) != 1 {
		t.Errorf("rows %v", q.Rows)
	}
	root := strings.TrimSuffix(s.URL(), "/live")
	for url, want := range map[string]int{s.URL() + "/readyz": 200, s.URL() + "/healthz": 200, s.URL() + "/v1/none": 404, root + "/readyz": 404, root + "/healthz": 404, root + "/v1/stream": 404} {
		if code, body := status(t, http.DefaultClient, "GET", url, ""); code != want {
			t.Errorf("%s: HTTP %d %s", url, code, body)
		}
	}
	for origin, ok := range map[string]bool{"https://a.example.com": true, root: true, "https://a.b.example.com": false, "https://example.com": false, "null": false} {
		conn, _, err := websocket.Dial(t.Context(), s.WS(), &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {origin}}})
		if err == nil {
			_ = conn.CloseNow()
		}
		if ok != (err == nil) {
			t.Errorf("%s: %v", origin, err)
		}
	}
}

// The server's own TLS: served, and changed while it runs.
func TestServeTLS(t *testing.T) {
	dir := t.TempDir()
	files := mapping.TLS{CertFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key")}
	first := writeCertificate(t, files)
	s := apptest.Start(t, notes(func(c *mapping.Config) { c.TLS = files }))
	if !strings.HasPrefix(s.URL(), "https://127.0.0.1:") || !strings.HasPrefix(s.WS(), "wss://") {
		t.Errorf("URL %s, %s", s.URL(), s.WS())
	}
	if code, _ := status(t, trusting(first), "GET", s.URL()+"/readyz", ""); code != 200 {
		t.Errorf("HTTP %d", code)
	}
	conn, _, err := websocket.Dial(t.Context(), s.WS(), &websocket.DialOptions{HTTPClient: trusting(first)})
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.CloseNow()
	second := writeCertificate(t, files)
	await(t, "the new certificate", func() bool {
		response, err := trusting(second).Get(s.URL() + "/readyz")
		if err == nil {
			_ = response.Body.Close()
		}
		return err == nil
	})
	if metrics := get(t, s.App.AdminURL()+"/metrics"); !strings.Contains(metrics, "\nwalwire_tls_reload_failing 0\n") {
		t.Error("the metrics lack walwire_tls_reload_failing")
	}
	s.Stop()
	if err := os.Remove(files.KeyFile); err != nil {
		t.Fatal(err)
	}
	if _, err := app.New(s.Config, apptest.Logger(t)); err == nil || !strings.Contains(err.Error(), "read tls.key_file") {
		t.Errorf("error %v", err)
	}
}

func trusting(pool *x509.CertPool) *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool}}}
}

// writeCertificate writes a new certificate for 127.0.0.1 and gives who trusts it.
func writeCertificate(t *testing.T, f mapping.TLS) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, text := range map[string][]byte{f.CertFile: cert, f.KeyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return pool
}
