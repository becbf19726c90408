package edge

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// reloadInterval is how often, at most, handshakes look whether the files have changed.
const reloadInterval = time.Second

// Certificate is the server's, read again when its files change. Handshakes look after
// that, so nothing runs while nobody connects; one of them reads the files and the
// others go on with what there is. A pair that can't be used leaves the one before in
// place. It is a prometheus.Collector. Safe for concurrent use.
type Certificate struct {
	certFile, keyFile string
	log               *slog.Logger
	current           atomic.Pointer[tls.Certificate]
	failing           prometheus.Gauge
	expires           prometheus.Gauge

	mu      sync.Mutex // protects following; held while the files are read, and never waited for
	checked time.Time
	seen    [2][]byte // the files' content when last looked at
	problem string    // why that can't be used, "" when it is
}

// LoadCertificate reads a certificate chain, the server's own first, and its key, both
// PEM. An error says what to do.
func LoadCertificate(certFile, keyFile string, log *slog.Logger) (*Certificate, error) {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "walwire_tls_" + name, Help: help})
	}
	c := &Certificate{
		certFile: certFile, keyFile: keyFile, log: log, checked: time.Now(),
		failing: gauge("reload_failing", "1 while the files of the certificate have changed and can't be used."),
		expires: gauge("certificate_expiry_seconds", "When the certificate in use expires, in seconds since 1970."),
	}
	pair, content, err := c.read()
	if err != nil {
		return nil, err
	}
	c.seen = content
	c.use(pair)
	return c, nil
}

// Config is for a server that shows the certificate.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			c.refresh(time.Now())
			return c.current.Load(), nil
		},
	}
}

func (c *Certificate) refresh(now time.Time) {
	if !c.mu.TryLock() {
		return // another handshake is at it
	}
	defer c.mu.Unlock()
	if now.Sub(c.checked) < reloadInterval {
		return
	}
	c.checked = now
	pair, content, err := c.read()
	switch {
	case err != nil:
		c.failing.Set(1)
		if c.problem != err.Error() {
			c.problem = err.Error()
			c.log.Error("the changed certificate can't be used: going on with the one before", "error", err)
		}
		return
	case c.problem == "" && bytes.Equal(content[0], c.seen[0]) && bytes.Equal(content[1], c.seen[1]):
		return
	}
	c.seen, c.problem = content, ""
	c.use(pair)
	c.failing.Set(0)
	c.log.Info("certificate loaded anew", "file", c.certFile, "expires", pair.Leaf.NotAfter)
}

func (c *Certificate) use(pair *tls.Certificate) {
	c.expires.Set(float64(pair.Leaf.NotAfter.Unix()))
	c.current.Store(pair)
}

func (c *Certificate) read() (pair *tls.Certificate, content [2][]byte, err error) {
	for i, file := range []struct{ setting, name string }{{"tls.cert_file", c.certFile}, {"tls.key_file", c.keyFile}} {
		if content[i], err = os.ReadFile(file.name); err != nil {
			return nil, content, fmt.Errorf("read %s: %w", file.setting, err)
		}
	}
	loaded, err := tls.X509KeyPair(content[0], content[1])
	if err != nil {
		return nil, content, fmt.Errorf("tls.cert_file %s with tls.key_file %s: %w: give a certificate chain in PEM, the server's own first, and the key to it without a password", c.certFile, c.keyFile, err)
	}
	if time.Now().After(loaded.Leaf.NotAfter) {
		return nil, content, fmt.Errorf("tls.cert_file %s: the certificate has expired on %s: put one there that is valid", c.certFile, loaded.Leaf.NotAfter.Format(time.RFC3339))
	}
	return &loaded, content, nil
}

// Describe implements prometheus.Collector.
func (c *Certificate) Describe(descs chan<- *prometheus.Desc) {
	c.failing.Describe(descs)
	c.expires.Describe(descs)
}

// Collect implements prometheus.Collector.
func (c *Certificate) Collect(metrics chan<- prometheus.Metric) {
	c.failing.Collect(metrics)
	c.expires.Collect(metrics)
}
