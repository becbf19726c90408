package app

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// administered is a stream server that lets operators in. Its handler gets the whole
// path, from /admin/v1/ on, of requests that may ask.
type administered interface{ Admin() http.Handler }

// adminHandler is what operators see. It asks for nothing: see adminGuard.
func (a *App) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", a.serveHTTP)
	mux.HandleFunc("GET /readyz", a.serveHTTP)
	mux.HandleFunc("/admin/v1/", a.serveAdmin)
	addProfiles(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		answerError(w, http.StatusNotFound, "not-found", fmt.Sprintf("nothing at %s %s: see docs/configuration.md, admin", r.Method, r.URL.Path))
	})
	return mux
}

func (a *App) serveAdmin(w http.ResponseWriter, r *http.Request) {
	s := a.server.Load()
	if s == nil {
		answerError(w, http.StatusServiceUnavailable, "unavailable", "the server is starting: try again")
		return
	}
	if s, ok := any(s).(administered); ok {
		s.Admin().ServeHTTP(w, r)
		return
	}
	answerError(w, http.StatusNotFound, "not-found", fmt.Sprintf("nothing at %s %s", r.Method, r.URL.Path))
}

// adminGuard lets in who bears the token. Where none is configured the listener is on
// loopback, and what must be kept out is the web pages that a browser of this machine
// shows: those that call it by a name of their own (DNS rebinding), and those that send
// it requests from another origin.
func (a *App) adminGuard(next http.Handler) http.Handler {
	token := a.cfg.Admin.Token
	if token.IsZero() {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case !isLocal(r.Host, a.cfg.Admin.Listen):
				answerError(w, http.StatusForbidden, "permission-denied", fmt.Sprintf("without admin.token only loopback is answered, not %q: use 127.0.0.1, or set a token", r.Host))
			case isForeign(r):
				answerError(w, http.StatusForbidden, "permission-denied", "web pages of other origins may not ask: set admin.token where something else than a page of yours does")
			default:
				next.ServeHTTP(w, r)
			}
		})
	}
	want := sha256.Sum256([]byte(token.Reveal()))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		got := sha256.Sum256([]byte(strings.TrimSpace(given))) // of one length, so that comparing tells none
		if subtle.ConstantTimeCompare(got[:], want[:]) == 0 || !strings.EqualFold(scheme, "Bearer") {
			w.Header().Set("WWW-Authenticate", `Bearer realm="walwire admin"`)
			answerError(w, http.StatusUnauthorized, "unauthenticated", "send admin.token as Authorization: Bearer")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isLocal reports whether host, as a request names it, is loopback or the configured
// address.
func isLocal(host, listen string) bool {
	if strings.EqualFold(host, listen) {
		return true
	}
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	if strings.EqualFold(name, "localhost") {
		return true
	}
	address, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(name, "["), "]"))
	return err == nil && address.Unmap().IsLoopback()
}

// isForeign reports whether a web page of another origin sends the request.
func isForeign(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site":
		return true
	}
	origins := r.Header.Values("Origin")
	return len(origins) > 1 || len(origins) == 1 && !strings.EqualFold(origins[0], "http://"+r.Host)
}

// answerError answers with an error in the shape that docs/protocol.md gives.
func answerError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"code": code, "message": message}) // the client may be gone
}
