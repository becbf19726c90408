package edge

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// pair is a certificate for 127.0.0.1 that is its own authority, and its key, as PEM.
type pair struct{ cert, key []byte }

func newPair(t *testing.T, name string, until time.Time) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	return pair{encode("CERTIFICATE", der), encode("PRIVATE KEY", private)}
}

// files holds a pair on disk.
type files struct{ cert, key string }

func newFiles(t *testing.T, p pair) files {
	dir := t.TempDir()
	f := files{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")}
	f.write(t, p)
	return f
}

func (f files) write(t *testing.T, p pair) {
	t.Helper()
	for name, text := range map[string][]byte{f.cert: p.cert, f.key: p.key} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// expire lets the next handshake look at the files.
func (c *Certificate) expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.checked = time.Time{}
}

func TestCertificateReload(t *testing.T) {
	valid := time.Now().Add(time.Hour)
	first, second, third := newPair(t, "first", valid), newPair(t, "second", valid), newPair(t, "third", valid.Add(time.Hour))
	f := newFiles(t, first)
	var log bytes.Buffer
	c, err := LoadCertificate(f.cert, f.key, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	c.checked = c.checked.Add(time.Hour) // until expire, however slow the machine is
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{TLSConfig: c.Config(), Handler: http.NotFoundHandler()}
	done := make(chan struct{})
	go func() {
		_ = server.ServeTLS(listener, "", "")
		close(done)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	shown := func() string {
		t.Helper()
		conn, err := tls.Dial("tcp", listener.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	want := func(name string, failing float64) {
		t.Helper()
		if got := shown(); got != name {
			t.Errorf("shows %q, want %q", got, name)
		}
		if got := testutil.ToFloat64(c.failing); got != failing {
			t.Errorf("reload_failing %v, want %v", got, failing)
		}
	}
	want("first", 0)
	f.write(t, second)
	want("first", 0) // it is not yet time to look
	c.expire()
	want("second", 0)

	broken := pair{third.cert, second.key}
	f.write(t, broken)
	for range 3 {
		c.expire()
		want("second", 1)
	}
	if n := strings.Count(log.String(), "level=ERROR"); n != 1 || !strings.Contains(log.String(), "private key does not match") {
		t.Errorf("%d errors logged:\n%s", n, log.String())
	}
	f.write(t, second) // put back as it was
	c.expire()
	want("second", 0)
	f.write(t, third)
	c.expire()
	want("third", 0)
	if got := testutil.ToFloat64(c.expires); got != float64(valid.Add(time.Hour).Unix()) {
		t.Errorf("certificate_expiry_seconds %v", got)
	}
	if err := os.Remove(f.key); err != nil {
		t.Fatal(err)
	}
	c.expire()
	want("third", 1)

	old, err := tls.Dial("tcp", listener.Addr().String(), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11})
	if err == nil {
		_ = old.Close()
		t.Error("TLS 1.1 is taken")
	}
}

// The files are read at most once a second, however many handshakes there are.
func TestCertificateInterval(t *testing.T) {
	valid := time.Now().Add(time.Hour)
	f := newFiles(t, newPair(t, "first", valid))
	c, err := LoadCertificate(f.cert, f.key, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	begun := c.checked
	f.write(t, newPair(t, "second", valid))
	name := func() string { return c.current.Load().Leaf.Subject.CommonName }
	c.refresh(begun.Add(reloadInterval - 1))
	if name() != "first" {
		t.Error("read within a second")
	}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() { c.refresh(begun.Add(reloadInterval)) })
	}
	wg.Wait()
	if name() != "second" {
		t.Error("not read after a second")
	}
}

func TestLoadCertificateErr(t *testing.T) {
	valid := time.Now().Add(time.Hour)
	good, other := newPair(t, "a", valid), newPair(t, "b", valid)
	for name, tc := range map[string]struct {
		pair pair
		want string
	}{
		"NoPEM":    {pair{[]byte("x"), good.key}, "chain in PEM"},
		"Swapped":  {pair{good.key, good.cert}, "chain in PEM"},
		"Mismatch": {pair{good.cert, other.key}, "does not match"},
		"Expired":  {newPair(t, "c", time.Now().Add(-time.Hour)), "has expired on"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFiles(t, tc.pair)
			if _, err := LoadCertificate(f.cert, f.key, nil); err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "tls.cert_file") {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
	f := newFiles(t, good)
	for setting, g := range map[string]files{"tls.cert_file": {f.cert + "x", f.key}, "tls.key_file": {f.cert, f.key + "x"}} {
		if _, err := LoadCertificate(g.cert, g.key, nil); err == nil || !strings.Contains(err.Error(), "read "+setting) {
			t.Errorf("%v, want one about %s", err, setting)
		}
	}
}
