package auth

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// script is a transport without a network: what it answers, and when it was asked.
type script struct {
	mu     sync.Mutex // protects following
	start  time.Time
	body   []byte // nil: the network is down
	asked  []time.Duration
	wanted chan struct{} // not nil: an answer waits for it
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.asked = append(s.asked, time.Since(s.start))
	body, wanted := s.body, s.wanted
	s.mu.Unlock()
	if wanted != nil {
		select {
		case <-wanted:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if body == nil {
		return nil, errors.New("the network is down")
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(body)), Request: r}, nil
}

func (s *script) says(body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.body = body
}

// times gives when it was asked since the last call, from the start, in seconds.
func (s *script) times() []float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]float64, len(s.asked))
	for i, d := range s.asked {
		out[i] = d.Seconds()
	}
	s.asked = nil
	return out
}

// inBubble runs a JWKS on a clock of the test's own.
func inBubble(t *testing.T, body []byte, o JWKSOptions, test func(t *testing.T, s *script, j *JWKS)) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{start: time.Now(), body: body}
		o.URL, o.Transport = "https://auth.example.com/keys", s
		j, err := NewJWKS(o)
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- j.Run(ctx) }()
		synctest.Wait()
		test(t, s, j)
		cancel()
		must(t, <-done)
	})
}

func sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestJWKSSchedule(t *testing.T) {
	set := setOf(t, jwkOf(t, mustSigners(t)[ES256], nil))
	t.Run("Refresh", func(t *testing.T) {
		inBubble(t, set, JWKSOptions{}, func(t *testing.T, s *script, _ *JWKS) {
			sleep(3 * time.Hour)
			if got := s.times(); !slices.Equal(got, []float64{0, 3600, 7200, 10800}) {
				t.Errorf("fetched at %v", got)
			}
		})
	})
	t.Run("Retry", func(t *testing.T) {
		inBubble(t, nil, JWKSOptions{}, func(t *testing.T, s *script, _ *JWKS) {
			sleep(4 * time.Minute)
			if got := s.times(); !slices.Equal(got, []float64{0, 1, 3, 7, 15, 31, 63, 123, 183}) {
				t.Errorf("fetched at %v", got)
			}
			s.says(set)
			sleep(4 * time.Second)
			s.says(nil)
			s.times()
			sleep(time.Hour + 5*time.Second) // the pauses begin anew
			if got := s.times(); !slices.Equal(got, []float64{3843, 3844, 3846}) {
				t.Errorf("fetched at %v", got)
			}
		})
	})
	t.Run("UnknownKid", func(t *testing.T) {
		inBubble(t, set, JWKSOptions{}, func(t *testing.T, s *script, j *JWKS) {
			for range 900 {
				if _, err := j.Key(t.Context(), "unknown"); !errors.Is(err, ErrUnknownKey) {
					t.Error(err)
				}
				sleep(100 * time.Millisecond)
			}
			// The first, the burst, and one every 30 s.
			if got := s.times(); len(got) != 1+2+3 && len(got) != 1+2+2 {
				t.Errorf("fetched at %v", got)
			}
		})
	})
	t.Run("Timeout", func(t *testing.T) {
		inBubble(t, set, JWKSOptions{}, func(t *testing.T, s *script, j *JWKS) {
			s.mu.Lock()
			s.wanted = make(chan struct{})
			s.mu.Unlock()
			begin := time.Now()
			if _, err := j.Key(t.Context(), "unknown"); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != fetchPatience {
				t.Errorf("after %v: %v", time.Since(begin), err)
			}
			sleep(DefaultFetchTimeout)
			if st := j.State(); st.Err == nil || st.Failed != 1 || st.Keys != 1 || !st.LastSuccess.Equal(s.start) {
				t.Errorf("state %+v", st)
			}
		})
	})
}

// Who waits when Run ends is let go, and nobody waits after it.
func TestJWKSEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{start: time.Now(), wanted: make(chan struct{})}
		j, err := NewJWKS(JWKSOptions{URL: "https://auth.example.com/keys", Transport: s})
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		waiting := make(chan error, 1)
		go func() {
			_, err := j.Key(t.Context(), "es")
			waiting <- err
		}()
		go func() {
			synctest.Wait()
			cancel()
		}()
		must(t, j.Run(ctx))
		begin := time.Now()
		for range 2 {
			if err == nil {
				err = <-waiting
			} else {
				_, err = j.Key(t.Context(), "es")
			}
			if err == nil || errors.Is(err, ErrUnknownKey) || time.Since(begin) > 0 {
				t.Errorf("after %v: %v", time.Since(begin), err)
			}
		}
		if st := j.State(); st.Failed != 0 {
			t.Errorf("a stop counts as a failure: %+v", st)
		}
	})
}

// The log has each change of the keys and each outage once, and no token's kid.
func TestJWKSLog(t *testing.T) {
	signers := mustSigners(t)
	first := setOf(t, jwkOf(t, signers[ES256], nil))
	second := setOf(t, jwkOf(t, signers[ES256], nil), jwkOf(t, signers[RS256], nil), jwkOf(t, signers[EdDSA], jwk{"use": "enc"}))
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	inBubble(t, nil, JWKSOptions{Log: log}, func(t *testing.T, s *script, j *JWKS) {
		for _, body := range [][]byte{nil, first, first, nil, nil, first, second, []byte("<html>")} {
			s.says(body)
			sleep(3 * time.Hour)
			_, _ = j.Key(t.Context(), "a token's kid")
		}
	})
	got := strings.Split(strings.TrimSpace(text.String()), "\n")
	want := []string{
		`level=WARN msg="the keys of tokens can't be fetched: tokens of these can't be checked" error="the network is down"`,
		`level=INFO msg="keys of tokens fetched" keys=[es] ignored=[]`,
		`level=WARN msg="the keys of tokens can't be fetched: those of before serve on" error="the network is down" keys=[es]`,
		`level=INFO msg="the keys of tokens can be fetched again" keys=[es]`,
		`level=INFO msg="keys of tokens fetched" keys="[es rs]" ignored="[key 3 (\"ed\") is for \"enc\", not for signatures]"`,
		`level=WARN msg="the keys of tokens can't be fetched: those of before serve on" error="the answer is not a JSON Web Key Set: invalid character '<' looking for beginning of value" keys="[es rs]"`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
