package edge

import (
	"io"
	"net/http"
	"time"
)

// Bodies bounds the time that a request's body takes to come, whether next reads it or
// not: the server reads what is left of it before it answers, so that one that never
// ends would hold its connection for good. A read past the time fails with
// os.ErrDeadlineExceeded.
func Bodies(timeout time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil && r.Body != http.NoBody {
			rc := http.NewResponseController(w)
			if rc.SetReadDeadline(time.Now().Add(timeout)) == nil { // else the server knows none
				r.Body = &timedBody{r.Body, rc}
			}
		}
		next.ServeHTTP(w, r)
	})
}

// timedBody lifts the deadline once the body has come: the connection goes on, and the
// server watches whether its client does.
type timedBody struct {
	io.ReadCloser
	rc *http.ResponseController
}

func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		_ = b.rc.SetReadDeadline(time.Time{}) // it has worked before
	}
	return n, err
}
