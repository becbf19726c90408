package faults_test

import (
	"net/url"
	"strings"
	"testing"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// proxy is a way over the network that can be made bad.
type proxy struct {
	*toxiproxy.Proxy
	t testing.TB
}

func newProxy(t testing.TB, upstream string) *proxy {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	p := &proxy{toxiproxy.NewProxy(server, "proxy", "127.0.0.1:0", upstream), t}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return p
}

// through gives a URL that leads over the proxy.
func (p *proxy) through(raw string) string {
	p.t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		p.t.Fatal(err)
	}
	u.Host = p.Listen
	return u.String()
}

// add makes the way bad, in the directions named; remove mends that.
func (p *proxy) add(kind, attributes string, directions ...string) {
	p.t.Helper()
	for _, d := range directions {
		toxic := `{"name":"` + kind + d + `","type":"` + kind + `","stream":"` + d + `","attributes":` + attributes + `}`
		if _, err := p.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
			p.t.Fatal(err)
		}
	}
}

func (p *proxy) remove() { p.Toxics.ResetToxics(p.t.Context()) }

// cut ends all connections; they may be made again at once.
func (p *proxy) cut() {
	p.t.Helper()
	p.Stop()
	if err := p.Start(); err != nil {
		p.t.Fatal(err)
	}
}

// host is a URL's host and port.
func host(t testing.TB, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}
