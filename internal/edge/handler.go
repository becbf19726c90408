package edge

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/rs/cors"
)

// preflightAge is how long a browser may remember what a preflight allowed, in
// seconds.
const preflightAge = 600

// Policy is what Handler holds requests against.
type Policy struct {
	// BasePath is what every path begins with, as in /realtime; "" is nothing.
	BasePath string
	// Origins may use what lies under /v1/.
	Origins Origins
	// Refused hears of pages that may not connect; nil: nobody.
	Refused func(origin string)
}

// Handler lets requests through to next that the policy allows, without the base path.
// CORS does not hold browsers back from opening WebSockets, so origins are checked
// here, of every request under /v1/. Preflights are answered and never reach next.
func Handler(p Policy, next http.Handler) http.Handler {
	shared := cors.New(cors.Options{
		AllowOriginVaryRequestFunc: func(r *http.Request, _ string) (bool, []string) { return p.Origins.Allowed(r), nil },
		AllowedMethods:             []string{http.MethodGet, http.MethodPost, http.MethodDelete},
		AllowedHeaders:             []string{"Authorization", "Content-Type"},
		ExposedHeaders:             []string{"Retry-After"},
		MaxAge:                     preflightAge,
	}).Handler(next)
	guarded := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !isAPI(r.URL.Path):
			next.ServeHTTP(w, r)
		case !p.Origins.Allowed(r):
			if p.Refused != nil {
				p.Refused(r.Header.Get("Origin"))
			}
			w.Header().Add("Vary", "Origin")
			refuse(w, http.StatusForbidden, "permission-denied", fmt.Sprintf("pages of %q may not connect: the server's configuration lists who may, in origins", r.Header.Get("Origin")))
		default:
			shared.ServeHTTP(w, r)
		}
	})
	if p.BasePath == "" {
		return guarded
	}
	return below(p.BasePath, guarded)
}

func isAPI(path string) bool { return path == "/v1" || strings.HasPrefix(path, "/v1/") }

// below serves what lies under base, which next does not see.
func below(base string, next http.Handler) http.Handler {
	inner := http.StripPrefix(base, next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rest, ok := strings.CutPrefix(r.URL.Path, base)
		raw, rawOK := strings.CutPrefix(r.URL.RawPath, base)
		if !ok || !strings.HasPrefix(rest, "/") || r.URL.RawPath != "" && (!rawOK || !strings.HasPrefix(raw, "/")) {
			refuse(w, http.StatusNotFound, "not-found", fmt.Sprintf("nothing at %s %s: see docs/protocol.md", r.Method, r.URL.Path))
			return
		}
		inner.ServeHTTP(w, r)
	})
}

// refuse answers with an error in the shape that docs/protocol.md gives.
func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(struct { // the client may be gone
		Code    string `json:"code"`
		Message string `json:"message"`
	}{code, message})
}
