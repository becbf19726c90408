package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// jwk is a JSON Web Key as it stands in a set.
type jwk map[string]any

// jwkOf writes a signer's public key, without the library under test; changes
// replace what it says, nil removes.
func jwkOf(tb testing.TB, s signer, changes jwk) jwk {
	tb.Helper()
	text := base64.RawURLEncoding.EncodeToString
	out := jwk{"kid": s.key.ID(), "use": "sig", "alg": string(s.key.Algorithm())}
	switch k := s.key.material.(type) {
	case *rsa.PublicKey:
		maps.Copy(out, jwk{"kty": "RSA", "n": text(k.N.Bytes()), "e": text(big.NewInt(int64(k.E)).Bytes())})
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		must(tb, err)
		half := len(point) / 2
		maps.Copy(out, jwk{"kty": "EC", "crv": k.Params().Name, "x": text(point[1 : 1+half]), "y": text(point[1+half:])})
	case ed25519.PublicKey:
		maps.Copy(out, jwk{"kty": "OKP", "crv": "Ed25519", "x": text(k)})
	default:
		tb.Fatalf("no JWK of a %T", k)
	}
	maps.Copy(out, changes)
	maps.DeleteFunc(out, func(_ string, v any) bool { return v == nil })
	return out
}

func setOf(tb testing.TB, keys ...jwk) []byte {
	tb.Helper()
	return mustJSON(tb, map[string]any{"keys": keys})
}

// publisher is an HTTP server that gives a key set.
type publisher struct {
	*httptest.Server
	tb testing.TB

	mu      sync.Mutex // protects following
	changed *sync.Cond
	answer  http.HandlerFunc
	paths   []string // of the requests so far
}

func newPublisher(tb testing.TB, keys ...jwk) *publisher {
	tb.Helper()
	p := &publisher{tb: tb}
	p.changed = sync.NewCond(&p.mu)
	p.publish(keys...)
	p.Server = httptest.NewServer(p)
	tb.Cleanup(p.Close)
	return p
}

func (p *publisher) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	answer := p.answer
	p.paths = append(p.paths, r.URL.RequestURI())
	p.changed.Broadcast()
	p.mu.Unlock()
	answer(w, r)
}

// answers sets what it answers from now on.
func (p *publisher) answers(h http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = h
}

// says sets a status and body.
func (p *publisher) says(status int, body []byte) {
	p.answers(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write(body)
	})
}

func (p *publisher) publish(keys ...jwk) { p.says(http.StatusOK, setOf(p.tb, keys...)) }

// fetches counts the requests so far.
func (p *publisher) fetches() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.paths)
}

// await waits for so many more requests.
func (p *publisher) await(more int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for want := len(p.paths) + more; len(p.paths) < want; {
		p.changed.Wait()
	}
}

// taken waits until an answer of now on has been taken: a fetch begins only when the
// one before is done. It needs a short refresh.
func (p *publisher) taken() { p.await(2) }

// often is a refresh for tests that wait for the next one.
const often = 5 * time.Millisecond

// startJWKS runs a JWKS until the test ends. Times that are not given are so long
// that they don't come.
func startJWKS(tb testing.TB, o JWKSOptions) *JWKS {
	tb.Helper()
	if o.UnknownKidInterval == 0 {
		o.UnknownKidInterval = time.Hour
	}
	j, err := NewJWKS(o)
	must(tb, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- j.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		must(tb, <-done)
	})
	return j
}

func verifierOf(tb testing.TB, keys KeySource) *Verifier {
	tb.Helper()
	v, err := NewVerifier(VerifierConfig{Issuer: issuer, Audience: []string{audience}, Keys: keys, Now: func() time.Time { return now }})
	must(tb, err)
	return v
}

func mustJSON(tb testing.TB, v any) []byte {
	tb.Helper()
	text, err := json.Marshal(v)
	must(tb, err)
	return text
}
