package edge_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/walwire/walwire/internal/edge"
)

const bodyTimeout = 100 * time.Millisecond

func TestBodies(t *testing.T) {
	read := make(chan error, 1)
	server := httptest.NewServer(edge.Bodies(bodyTimeout, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/unread" {
			return
		}
		_, err := io.ReadAll(r.Body)
		read <- err
		if r.URL.Path == "/wait" { // longer than the body might have taken
			select {
			case <-r.Context().Done():
				w.WriteHeader(http.StatusGone)
			case <-time.After(3 * bodyTimeout):
			}
		}
	})))
	defer server.Close()
	ask := func(t *testing.T, path, body string) string {
		t.Helper()
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"+body); err != nil {
			t.Fatal(err)
		}
		var status [12]byte
		if _, err := io.ReadFull(conn, status[:]); err != nil {
			t.Fatal(err)
		}
		return string(status[9:])
	}
	t.Run("OK", func(t *testing.T) {
		if got := ask(t, "/wait", "body"); got != "200" || <-read != nil {
			t.Errorf("HTTP %s", got)
		}
	})
	t.Run("ErrLate", func(t *testing.T) {
		if got := ask(t, "/", "bod"); got != "200" {
			t.Errorf("HTTP %s", got)
		}
		if err := <-read; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read: %v", err)
		}
	})
	t.Run("ErrLate, unread", func(t *testing.T) {
		if got := ask(t, "/unread", "bod"); got != "200" { // without the bound there is no answer
			t.Errorf("HTTP %s", got)
		}
	})
}
