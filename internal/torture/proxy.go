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
	database *toxiproxy.Proxy
	clients  []*toxiproxy.Proxy
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
		x := toxiproxy.NewProxy(api, fmt.Sprintf("proxy %d", i), listen, upstream)
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

func (p *proxies) all() []*toxiproxy.Proxy {
	return append([]*toxiproxy.Proxy{p.database}, p.clients...)
}

func (p *proxies) close() {
	for _, x := range p.all() {
		x.Stop()
	}
}

// addToxic spoils what goes through a proxy, both ways, until healToxics.
func addToxic(x *toxiproxy.Proxy, typ, attributes string) error {
	for _, stream := range []string{"upstream", "downstream"} {
		text := fmt.Sprintf(`{"name": %q, "type": %q, "stream": %q, "toxicity": 1, "attributes": %s}`, typ+" "+stream, typ, stream, attributes)
		if _, err := x.Toxics.AddToxicJson(bytes.NewReader([]byte(text))); err != nil {
			return fmt.Errorf("add toxic %s: %w", typ, err)
		}
	}
	return nil
}

func healToxics(ctx context.Context, x *toxiproxy.Proxy) { x.Toxics.ResetToxics(ctx) }

// cut ends all connections and refuses others; mend lets them in again.
func cut(x *toxiproxy.Proxy) { x.Stop() }

func mend(x *toxiproxy.Proxy) error { return x.Start() }
