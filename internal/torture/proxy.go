package torture

import (
	"bytes"
	"context"
	"fmt"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// clientProxies is how many ways lead from the clients to walwire.
const clientProxies = 4

// proxies are the networks: between walwire and PostgreSQL, and between the
// clients and walwire.
type proxies struct {
	database *proxy
	clients  []*proxy
}

// proxy is one network.
type proxy struct {
	*toxiproxy.Proxy
	open func() *toxiproxy.Proxy // another one in its place
}

func openProxies(database, server string) (*proxies, error) {
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	p := &proxies{}
	for i := range 1 + clientProxies {
		listen, err := freeAddress()
		if err != nil {
			return nil, fmt.Errorf("open a proxy: %w", err)
		}
		upstream := server
		if i == 0 {
			upstream = database
		}
		open := func() *toxiproxy.Proxy {
			return toxiproxy.NewProxy(api, fmt.Sprintf("proxy %d", i), listen, upstream)
		}
		x := &proxy{Proxy: open(), open: open}
		if err := x.Start(); err != nil {
			return nil, fmt.Errorf("open a proxy: %w", err)
		}
		if i == 0 {
			p.database = x
		} else {
			p.clients = append(p.clients, x)
		}
	}
	return p, nil
}

func (p *proxies) all() []*proxy {
	return append([]*proxy{p.database}, p.clients...)
}

func (p *proxies) close() {
	for _, x := range p.all() {
		x.Stop()
	}
}

// addToxic spoils what goes through a proxy, both ways, until heal or replace.
func addToxic(x *proxy, typ, attributes string) error {
	for _, stream := range []string{"upstream", "downstream"} {
		text := fmt.Sprintf(`{"name": %q, "type": %q, "stream": %q, "toxicity": 1, "attributes": %s}`, typ+" "+stream, typ, stream, attributes)
		if _, err := x.Toxics.AddToxicJson(bytes.NewReader([]byte(text))); err != nil {
			return fmt.Errorf("add toxic %s: %w", typ, err)
		}
	}
	return nil
}

// heal lets a proxy's connections go on unspoilt.
func heal(ctx context.Context, x *proxy) { x.Toxics.ResetToxics(ctx) }

// replace ends a proxy's connections and puts an unspoilt one in its place. Where
// connections end by themselves all the time, as those of clients do, heal can wait for
// ever: toxiproxy takes toxics away under the lock that an ending connection waits for.
func replace(x *proxy) error {
	x.Stop()
	x.Proxy = x.open()
	return x.Start()
}

// cut ends all connections and refuses others; mend lets them in again.
func cut(x *proxy) { x.Stop() }

func mend(x *proxy) error { return x.Start() }
