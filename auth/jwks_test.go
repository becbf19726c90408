package auth

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const unknownKey = "the token is signed by a key that is not known here"

// accepted holds that a token is taken.
func accepted(tb testing.TB, v *Verifier, token string) {
	tb.Helper()
	if _, err := v.Verify(context.Background(), token); err != nil {
		tb.Errorf("not accepted: %v", err)
	}
}

// unavailable holds that a token can't be checked, which is no refusal.
func unavailable(tb testing.TB, v *Verifier, token string) {
	tb.Helper()
	_, err := v.Verify(context.Background(), token)
	if err == nil || errors.As(err, new(*Error)) {
		tb.Errorf("got %v, want an error that is no refusal", err)
	}
}

func TestJWKSOK(t *testing.T) {
	signers := mustSigners(t)
	delete(signers, HS256)
	var keys []jwk
	for _, s := range signers {
		keys = append(keys, jwkOf(t, s, nil))
	}
	p := newPublisher(t, keys...)
	v := verifierOf(t, startJWKS(t, JWKSOptions{URL: p.URL}))
	for _, s := range signers {
		accepted(t, v, sign(t, s, standard(nil), nil))
	}
	refused(t, v, sign(t, signers[RS256], standard(nil), map[string]any{"kid": nil}), unknownKey)
	refused(t, v, sign(t, signers[RS256], standard(nil), map[string]any{"kid": "es"}), "the token's algorithm is not that of its key")
	other := mustSigners(t)[ES256]
	refused(t, v, sign(t, other, standard(nil), nil), "the token's signature does not match")
	if n := p.fetches(); n != 1 {
		t.Errorf("%d fetches, want 1", n)
	}
}

func TestJWKSTLS(t *testing.T) {
	s := mustSigners(t)[ES256]
	p := &publisher{tb: t}
	p.changed = sync.NewCond(&p.mu)
	p.publish(jwkOf(t, s, nil))
	server := httptest.NewUnstartedServer(p)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of the client that does not trust it
	server.StartTLS()
	t.Cleanup(server.Close)
	t.Run("OK", func(t *testing.T) {
		accepted(t, verifierOf(t, startJWKS(t, JWKSOptions{URL: server.URL, Transport: server.Client().Transport})), sign(t, s, standard(nil), nil))
	})
	t.Run("ErrUntrusted", func(t *testing.T) {
		j := startJWKS(t, JWKSOptions{URL: server.URL})
		unavailable(t, verifierOf(t, j), sign(t, s, standard(nil), nil))
		if err := j.State().Err; err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("got %v", err)
		}
	})
}

// A token without a kid, and keys without one.
func TestJWKSNoKid(t *testing.T) {
	signers := mustSigners(t)
	es, rs := signers[ES256], signers[RS256]
	nameless := jwkOf(t, es, jwk{"kid": nil})
	token := sign(t, es, standard(nil), map[string]any{"kid": nil})
	for name, tt := range map[string]struct {
		keys []jwk
		ok   bool
	}{
		"Only":          {[]jwk{nameless}, true},
		"OnlyNamed":     {[]jwk{jwkOf(t, es, nil)}, true},
		"OnlyUsable":    {[]jwk{nameless, jwkOf(t, rs, jwk{"use": "enc"})}, true},
		"BesideAnother": {[]jwk{nameless, jwkOf(t, rs, nil)}, false},
		"SeveralNamed":  {[]jwk{jwkOf(t, es, nil), jwkOf(t, rs, nil)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPublisher(t, tt.keys...)
			j := startJWKS(t, JWKSOptions{URL: p.URL})
			key, err := j.Key(context.Background(), "")
			_, verr := verifierOf(t, j).Verify(context.Background(), token)
			if tt.ok != (err == nil && key.Algorithm() == ES256) || tt.ok != (verr == nil) {
				t.Errorf("key %v, %v; token %v", key, err, verr)
			}
			// A key without a kid is not found by one, whatever it is.
			if _, err := j.Key(context.Background(), "0"); !errors.Is(err, ErrUnknownKey) {
				t.Errorf("a kid that is not there: %v", err)
			}
		})
	}
}

// A new key is accepted at once, as its first token has the set fetched; many who
// come with it share that fetch.
func TestJWKSRotationNewKey(t *testing.T) {
	before, after := mustSigners(t)[ES256], mustSigners(t)[RS256]
	p := newPublisher(t, jwkOf(t, before, nil))
	j := startJWKS(t, JWKSOptions{URL: p.URL})
	v := verifierOf(t, j)
	accepted(t, v, sign(t, before, standard(nil), nil))
	p.publish(jwkOf(t, before, nil), jwkOf(t, after, nil))
	token := sign(t, after, standard(nil), nil)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { accepted(t, v, token) })
	}
	all.Wait()
	accepted(t, v, sign(t, before, standard(nil), nil))
	if n := p.fetches(); n != 2 {
		t.Errorf("%d fetches, want 2", n)
	}
	if s := j.State(); s.Keys != 2 || s.Fetched != 2 || s.Failed != 0 || s.Err != nil || time.Since(s.LastSuccess) > time.Minute {
		t.Errorf("state %+v", s)
	}
}

// A key that was published while a fetch was under way, which missed it.
func TestJWKSRotationMeanwhile(t *testing.T) {
	before, after := mustSigners(t)[ES256], mustSigners(t)[RS256]
	old, release := setOf(t, jwkOf(t, before, nil)), make(chan struct{})
	p := newPublisher(t)
	p.answers(func(w http.ResponseWriter, _ *http.Request) {
		p.publish(jwkOf(t, after, nil))
		<-release
		_, _ = w.Write(old)
	})
	v := verifierOf(t, startJWKS(t, JWKSOptions{URL: p.URL}))
	done := make(chan error, 1)
	token := sign(t, after, standard(nil), nil)
	go func() {
		_, err := v.Verify(context.Background(), token)
		done <- err
	}()
	p.mu.Lock()
	for len(p.paths) == 0 {
		p.changed.Wait()
	}
	p.mu.Unlock()
	close(release)
	must(t, <-done)
}

// A key that was taken out is refused after the next refresh, and one that got other
// material under its kid is the new one.
func TestJWKSRotationRefresh(t *testing.T) {
	before, after := mustSigners(t), mustSigners(t)
	p := newPublisher(t, jwkOf(t, before[ES256], nil), jwkOf(t, before[RS256], nil))
	v := verifierOf(t, startJWKS(t, JWKSOptions{URL: p.URL, Refresh: often}))
	accepted(t, v, sign(t, before[RS256], standard(nil), nil))
	p.publish(jwkOf(t, after[ES256], nil))
	p.taken()
	refused(t, v, sign(t, before[RS256], standard(nil), nil), unknownKey)
	refused(t, v, sign(t, before[ES256], standard(nil), nil), "the token's signature does not match")
	accepted(t, v, sign(t, after[ES256], standard(nil), nil))
}

// A flood of tokens with unknown kids brings about the fetches that are allowed, and
// those of a known key are not kept waiting, though the URL does not answer.
func TestJWKSUnknownKidFlood(t *testing.T) {
	s := mustSigners(t)[ES256]
	p := newPublisher(t, jwkOf(t, s, nil))
	v := verifierOf(t, startJWKS(t, JWKSOptions{URL: p.URL}))
	good := sign(t, s, standard(nil), nil)
	accepted(t, v, good)
	var all sync.WaitGroup
	for i := range 50 {
		token := sign(t, s, standard(nil), map[string]any{"kid": fmt.Sprint("unknown ", i)})
		all.Go(func() {
			for range 20 {
				refused(t, v, token, unknownKey)
				accepted(t, v, good)
			}
		})
	}
	all.Wait()
	if n := p.fetches(); n != 1+unknownKidBurst {
		t.Errorf("%d fetches, want %d", n, 1+unknownKidBurst)
	}
}

func TestJWKSUnknownKidWhileSilent(t *testing.T) {
	s := mustSigners(t)[ES256]
	p := newPublisher(t, jwkOf(t, s, nil))
	j := startJWKS(t, JWKSOptions{URL: p.URL})
	v := verifierOf(t, j)
	good := sign(t, s, standard(nil), nil)
	accepted(t, v, good)
	p.answers(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithCancel(context.Background())
	waiting := make(chan error, 1)
	fetches := p.fetches()
	go func() {
		_, err := j.Key(ctx, "unknown")
		waiting <- err
	}()
	p.mu.Lock()
	for len(p.paths) == fetches {
		p.changed.Wait()
	}
	p.mu.Unlock()
	accepted(t, v, good) // while the fetch hangs
	select {
	case err := <-waiting:
		t.Errorf("an unknown key was answered before the fetch ended: %v", err)
	default:
	}
	cancel()
	if err := <-waiting; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	// Whoever waits is let go when the time is over that a token has.
	unavailable(t, v, sign(t, s, standard(nil), map[string]any{"kid": "unknown"}))
}

// kids that try to be something else than a name.
func TestJWKSKidTricks(t *testing.T) {
	s := mustSigners(t)[ES256]
	p := newPublisher(t, jwkOf(t, s, nil))
	v := verifierOf(t, startJWKS(t, JWKSOptions{URL: p.URL + "/keys?tenant=1", UnknownKidInterval: time.Nanosecond}))
	accepted(t, v, sign(t, s, standard(nil), nil))
	const notText = "the token's kid is not text"
	for name, tt := range map[string]struct {
		kid  any
		want string
	}{
		"Path":    {"../../../../dev/null", unknownKey},
		"URL":     {"https://evil.example.com/keys", unknownKey},
		"SQL":     {"x' UNION SELECT 'secret' --", unknownKey},
		"Shell":   {"$(id)|`id`", unknownKey},
		"NUL":     {"es\x00", unknownKey},
		"Space":   {"es ", unknownKey},
		"Case":    {"ES", unknownKey},
		"Long":    {strings.Repeat("k", 5000), unknownKey},
		"TooLong": {strings.Repeat("k", 10000), "the token is too long"},
		"Empty":   {"", notText},
		"Number":  {0, notText},
		"List":    {[]string{"es"}, notText},
		"Object":  {map[string]any{"es": 1}, notText},
		"Null":    {json.RawMessage("null"), notText},
		"Bool":    {true, notText},
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, v, sign(t, s, standard(nil), map[string]any{"kid": tt.kid}), tt.want)
		})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.paths) < 3 || slices.ContainsFunc(p.paths, func(path string) bool { return path != "/keys?tenant=1" }) {
		t.Errorf("fetched %q", p.paths)
	}
}

// A public key is no secret, and the algorithm is the key's, not the token's.
func TestJWKSAlgorithmConfusion(t *testing.T) {
	signers := mustSigners(t)
	rs := signers[RS256]
	public := jwkOf(t, rs, nil)
	text, err := json.Marshal(public)
	must(t, err)
	der, err := x509.MarshalPKIXPublicKey(rs.key.material)
	must(t, err)
	oct := strings.Repeat("o", 32)
	p := newPublisher(t, public,
		jwk{"kty": "oct", "kid": "oct", "alg": "HS256", "use": "sig", "k": base64.RawURLEncoding.EncodeToString([]byte(oct))},
		jwkOf(t, rs, jwk{"kid": "says HS256", "alg": "HS256"}))
	v := verifierOf(t, startJWKS(t, JWKSOptions{URL: p.URL}))
	accepted(t, v, sign(t, rs, standard(nil), nil))
	forge := func(secret []byte) signer {
		return signer{key: rs.key, method: jwt.SigningMethodHS256, private: secret}
	}
	for name, secret := range map[string][]byte{
		"PEM": rs.pem, "DER": der, "Modulus": rs.key.material.(*rsa.PublicKey).N.Bytes(), "ModulusText": []byte(public["n"].(string)), "JWK": text,
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, v, sign(t, forge(secret), standard(nil), nil), "the token's algorithm is not that of its key")
			refused(t, v, sign(t, forge(secret), standard(nil), map[string]any{"kid": "says HS256"}), unknownKey)
		})
	}
	t.Run("Oct", func(t *testing.T) {
		refused(t, v, sign(t, forge([]byte(oct)), standard(nil), map[string]any{"kid": "oct"}), unknownKey)
	})
	t.Run("OtherRSA", func(t *testing.T) {
		ps := signer{key: rs.key, method: jwt.SigningMethodPS256, private: rs.private}
		refused(t, v, sign(t, ps, standard(nil), nil), "the token's signature does not match")
	})
}

// Before the first set tokens can't be checked; once it is there they can, without
// waiting for the next attempt.
func TestJWKSOutageAtStart(t *testing.T) {
	s := mustSigners(t)[ES256]
	token := sign(t, s, standard(nil), nil)
	t.Run("Refused", func(t *testing.T) {
		p := newPublisher(t)
		p.Close()
		j := startJWKS(t, JWKSOptions{URL: p.URL})
		unavailable(t, verifierOf(t, j), token)
		if s := j.State(); s.Keys != 0 || s.Err == nil || !s.LastSuccess.IsZero() || s.Failed == 0 || strings.Contains(s.Err.Error(), "http://") {
			t.Errorf("state %+v", s)
		}
	})
	t.Run("Answers503", func(t *testing.T) {
		p := newPublisher(t)
		p.says(http.StatusServiceUnavailable, nil)
		j := startJWKS(t, JWKSOptions{URL: p.URL})
		v := verifierOf(t, j)
		unavailable(t, v, token)
		p.publish(jwkOf(t, s, nil))
		accepted(t, v, token)
		if err := j.State().Err; err != nil {
			t.Errorf("state says %v", err)
		}
	})
	t.Run("Flood", func(t *testing.T) {
		p := newPublisher(t)
		p.says(http.StatusServiceUnavailable, nil)
		v := verifierOf(t, startJWKS(t, JWKSOptions{URL: p.URL}))
		for range 100 {
			unavailable(t, v, token)
		}
		// The first, what tokens may ask for, and attempts that are due by themselves.
		if n := p.fetches(); n > 1+unknownKidBurst+3 {
			t.Errorf("%d fetches", n)
		}
	})
}

// Once keys have been fetched, they serve whatever the URL gives.
func TestJWKSOutageLater(t *testing.T) {
	signers := mustSigners(t)
	s := signers[ES256]
	good, unknown := sign(t, s, standard(nil), nil), sign(t, s, standard(nil), map[string]any{"kid": "new"})
	elsewhere := newPublisher(t, jwkOf(t, mustSigners(t)[ES256], nil))
	body := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte(`{"keys":[` + strings.Repeat(" ", 20<<20)))
	must(t, z.Close())
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"Empty":       {body(""), "is not a JSON Web Key Set"},
		"HTML":        {body("<html>"), "is not a JSON Web Key Set"},
		"Object":      {body("{}"), "has no keys"},
		"Null":        {body("null"), "has no keys"},
		"NullKeys":    {body(`{"keys":null}`), "has no keys"},
		"NoKeys":      {body(`{"keys":[]}`), "has no keys"},
		"KeysText":    {body(`{"keys":"x"}`), "is not a JSON Web Key Set"},
		"List":        {body(`[]`), "is not a JSON Web Key Set"},
		"Cut":         {body(string(setOf(t, jwkOf(t, s, nil)))[:100]), "is not a JSON Web Key Set"},
		"Trailing":    {body(string(setOf(t, jwkOf(t, s, nil))) + "x"), "is not a JSON Web Key Set"},
		"NoneUsable":  {body(string(setOf(t, jwkOf(t, s, jwk{"use": "enc"})))), `no usable key: key 1 ("es") is for "enc"`},
		"Error500":    {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", 500) }, "HTTP 500"},
		"NotFound":    {http.NotFound, "HTTP 404"},
		"Huge":        {body(`{"keys":[` + strings.Repeat(" ", maxSetBytes)), "larger than 512 KiB"},
		"HugeHeaders": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 1<<20)) }, "header"},
		"Endless": {func(w http.ResponseWriter, _ *http.Request) {
			for spaces := bytes.Repeat([]byte(" "), 64<<10); ; {
				if _, err := w.Write(spaces); err != nil {
					return
				}
			}
		}, "larger than 512 KiB"},
		"HugeZipped": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(zipped.Bytes())
		}, "larger than 512 KiB"},
		"Slow": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "no whole answer within 500ms"},
		"SlowBody": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte(`{"keys":[`))
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, "no whole answer within 500ms"},
		"Closed": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
		"Redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+"/secret-path", http.StatusFound)
		}, "redirects to another host are not followed"},
		"RedirectLoop": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) }, "redirects more than 3 times"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPublisher(t, jwkOf(t, s, nil))
			o := JWKSOptions{URL: p.URL, Refresh: often}
			if strings.HasPrefix(name, "Slow") {
				o.Timeout = 500 * time.Millisecond
			}
			j := startJWKS(t, o)
			v := verifierOf(t, j)
			accepted(t, v, good)
			p.answers(tt.answer)
			requests := 1 // of a fetch
			if name == "RedirectLoop" {
				requests += maxRedirects
			}
			p.await(requests + 1) // the last is the next one's: this one is done
			accepted(t, v, good)
			unavailable(t, v, unknown)
			if s := j.State(); s.Keys != 1 || s.Err == nil || !strings.Contains(s.Err.Error(), tt.want) {
				t.Errorf("state %+v, want %q", s, tt.want)
			}
			p.publish(jwkOf(t, s, nil))
			p.taken()
			refused(t, v, unknown, unknownKey)
			if s := j.State(); s.Err != nil {
				t.Errorf("state says %v", s.Err)
			}
		})
	}
	if n := elsewhere.fetches(); n != 0 {
		t.Errorf("the other host was asked %d times", n)
	}
}

func TestJWKSRedirectSameHost(t *testing.T) {
	s := mustSigners(t)[ES256]
	p := newPublisher(t)
	p.answers(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/keys" {
			http.Redirect(w, r, "/keys", http.StatusMovedPermanently)
			return
		}
		_, _ = w.Write(setOf(t, jwkOf(t, s, nil)))
	})
	accepted(t, verifierOf(t, startJWKS(t, JWKSOptions{URL: p.URL})), sign(t, s, standard(nil), nil))
}

func TestNewJWKSErr(t *testing.T) {
	for name, o := range map[string]JWKSOptions{
		"NoURL":      {},
		"NotURL":     {URL: "https://%zz"},
		"NoHost":     {URL: "https:///keys"},
		"HTTP":       {URL: "http://auth.example.com/keys"},
		"HTTPLike":   {URL: "http://127.0.0.1.example.com/keys"},
		"HTTPLocal":  {URL: "http://localhost.example.com/keys"},
		"File":       {URL: "file:///etc/passwd"},
		"Password":   {URL: "https://user:password@auth.example.com/"},
		"HS256":      {URL: "https://auth.example.com", Algorithms: []Algorithm{RS256, HS256}},
		"None":       {URL: "https://auth.example.com", Algorithms: []Algorithm{"none"}},
		"Negative":   {URL: "https://auth.example.com", Refresh: -1},
		"BadControl": {URL: "https://auth.example.com/\x00"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewJWKS(o)
			if err == nil || strings.Contains(err.Error(), "password@") {
				t.Errorf("got %v", err)
			}
		})
	}
	for _, url := range []string{"https://auth.example.com/keys?x=1", "http://localhost:1/", "http://127.0.0.9/", "http://[::1]:80/keys"} {
		if _, err := NewJWKS(JWKSOptions{URL: url}); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestKeyChain(t *testing.T) {
	configured, fetched := mustSigners(t), mustSigners(t)
	ring, err := NewKeyRing(configured[HS256].key, configured[ES256].key)
	must(t, err)
	p := newPublisher(t, jwkOf(t, fetched[ES256], nil), jwkOf(t, fetched[RS256], nil))
	v := verifierOf(t, KeyChain{ring, startJWKS(t, JWKSOptions{URL: p.URL})})
	accepted(t, v, sign(t, configured[HS256], standard(nil), nil))
	accepted(t, v, sign(t, configured[ES256], standard(nil), nil))
	accepted(t, v, sign(t, fetched[RS256], standard(nil), nil))
	refused(t, v, sign(t, fetched[ES256], standard(nil), nil), "the token's signature does not match")
	refused(t, v, sign(t, fetched[EdDSA], standard(nil), nil), unknownKey)
	refused(t, v, sign(t, fetched[RS256], standard(nil), map[string]any{"kid": nil}), unknownKey)

	// One key of each source is two keys: a token must name its own.
	one, err := NewKeyRing(configured[ES256].key)
	must(t, err)
	few := newPublisher(t, jwkOf(t, fetched[RS256], nil))
	chain := verifierOf(t, KeyChain{one, startJWKS(t, JWKSOptions{URL: few.URL})})
	for _, s := range []signer{configured[ES256], fetched[RS256]} {
		accepted(t, chain, sign(t, s, standard(nil), nil))
		refused(t, chain, sign(t, s, standard(nil), map[string]any{"kid": nil}), unknownKey)
	}

	p.Close()
	v = verifierOf(t, KeyChain{ring, startJWKS(t, JWKSOptions{URL: p.URL})})
	accepted(t, v, sign(t, configured[HS256], standard(nil), nil))
	unavailable(t, v, sign(t, fetched[RS256], standard(nil), nil))
}
