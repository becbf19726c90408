package app_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/mapping"
)

// The role's password changes under clients: the server comes back by itself once its
// file has been replaced, and they miss nothing.
func TestPasswordRotated(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	write("secret\n")
	var role string
	s := apptest.Start(t, notes(func(c *mapping.Config) {
		u, err := url.Parse(c.DatabaseURL.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		role = u.User.Username()
		u.User = url.User(role)
		c.DatabaseURL, c.DatabasePasswordFile = mapping.NewSecret(u.String()), file
	}))
	c := s.Connect(s.Owner("1"))
	q := c.Open(1, `{"table":"notes"}`)
	s.Exec("ALTER ROLE " + pgx.Identifier{role}.Sanitize() + " PASSWORD 'another'")
	s.Exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", role)
	readiness := func(want int) func() bool {
		return func() bool {
			code, _ := status(t, http.DefaultClient, "GET", s.URL()+"/readyz", "")
			return code == want
		}
	}
	await(t, "the server not to be ready", readiness(503))
	if metrics := get(t, s.App.AdminURL()+"/metrics"); !strings.Contains(metrics, "\nwalwire_ready 0\n") {
		t.Error("the metrics say that it is ready")
	}
	s.Exec("INSERT INTO notes VALUES (1, 1, 'meanwhile')")
	write("another\n")
	await(t, "the server to be ready again", readiness(200))
	for len(q.Rows) < 1 {
		c.Read()
	}
	other := s.Connect(s.Owner("1"))
	if q := other.Open(1, `{"table":"notes","where":[["text","==","meanwhile"]]}`); len(q.Rows) != 1 {
		t.Errorf("rows %v", q.Rows)
	}
}
