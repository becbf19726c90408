package walwire_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/walwire/walwire"
	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/internal/pgtest"
	"github.com/walwire/walwire/mapping"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// What Example shows: the application's routes and live queries on one listener, the
// application's own.
func TestEmbedded(t *testing.T) {
	s := apptest.Prepare(t, apptest.Options{})
	s.Config.BasePath = "/realtime"
	s.Config.Listen, s.Config.Admin.Listen = "192.0.2.1:1", "192.0.2.1:2" // can't be listened on, and must not be
	s.Config.Admin.Token = mapping.NewSecret(strings.Repeat("t", 32))
	live, err := walwire.New(s.Config, apptest.Logger(t))
	if err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, address, live) }()
	select {
	case <-live.Ready():
	case err := <-ended:
		t.Fatal(err)
	case <-time.After(time.Minute):
		t.Fatal("not ready after a minute")
	}
	url := "http://" + address
	for path, want := range map[string]string{"/hello": "own", "/realtime/readyz": `"ready"`, "/realtime/v1/x": `"not-found"`, "/v1/stream": "404 page"} {
		if _, body := get(t, url+path); !strings.Contains(body, want) {
			t.Errorf("%s: %s", path, body)
		}
	}
	company := "00000000-0000-0000-0000-00000000000a"
	s.Exec("INSERT INTO companies VALUES ($1, 'A')", company)
	c := apptest.Dial(t, "ws://"+address+"/realtime/v1/stream")
	c.Authenticate(s.Owner(company))
	q := c.Open(1, `{"table":"clients","columns":["name"]}`)
	s.Exec("INSERT INTO clients (company_id, name) VALUES ($1, 'Ada')", company)
	for len(q.Rows) < 1 {
		c.Read()
	}
	w := httptest.NewRecorder()
	live.AdminHandler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != http.StatusUnauthorized {
		t.Errorf("metrics without the token: HTTP %d", w.Code)
	}
	stop()
	if code, _ := c.ReadClose(); code != 4000 {
		t.Errorf("closed with %d", code)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestNewErr(t *testing.T) {
	cfg := apptest.Prepare(t, apptest.Options{}).Config
	cfg.BasePath = "realtime"
	if _, err := walwire.New(cfg, nil); err == nil || !strings.Contains(err.Error(), "base_path") {
		t.Errorf("error %v", err)
	}
	cfg.BasePath, cfg.DatabaseURL = "", mapping.NewSecret("")
	if _, err := walwire.New(cfg, nil); err == nil || !strings.Contains(err.Error(), "database_url") {
		t.Errorf("error %v", err)
	}
	if _, err := walwire.LoadConfig("nowhere.yaml"); err == nil {
		t.Error("a missing file loads")
	}
}
