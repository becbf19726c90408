package app

import (
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/walwire/walwire/auth"
	"github.com/walwire/walwire/mapping"
)

// NewJWKS makes the source of the keys that are fetched, nil where the configuration
// names none. log may be nil.
func NewJWKS(cfg *mapping.Config, log *slog.Logger) (*auth.JWKS, error) {
	c := cfg.Auth.JWKS
	if c == nil {
		return nil, nil
	}
	algorithms := make([]auth.Algorithm, len(c.Algorithms))
	for i, a := range c.Algorithms {
		algorithms[i] = auth.Algorithm(a)
	}
	jwks, err := auth.NewJWKS(auth.JWKSOptions{
		URL: c.URL, Algorithms: algorithms, Refresh: c.Refresh, Timeout: c.Timeout, UnknownKidInterval: c.UnknownKidInterval, Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("auth.jwks: %w", err)
	}
	return jwks, nil
}

// keySource gives the keys of the configuration, then those that are fetched.
func keySource(cfg *mapping.Config, jwks *auth.JWKS) (auth.KeySource, error) {
	if len(cfg.Auth.Keys) == 0 && jwks != nil {
		return jwks, nil
	}
	keys := make([]*auth.Key, len(cfg.Auth.Keys))
	for i, k := range cfg.Auth.Keys {
		var err error
		if k.Algorithm == string(auth.HS256) {
			keys[i], err = auth.NewSecretKey(k.ID, []byte(k.Secret.Reveal()))
		} else {
			keys[i], err = auth.NewPublicKey(k.ID, auth.Algorithm(k.Algorithm), k.PublicKey)
		}
		if err != nil {
			return nil, fmt.Errorf("auth.keys: %w", err)
		}
	}
	ring, err := auth.NewKeyRing(keys...)
	if err != nil {
		return nil, fmt.Errorf("auth.keys: %w", err)
	}
	if jwks == nil {
		return ring, nil
	}
	return auth.KeyChain{ring, jwks}, nil
}

// registerJWKS adds what is known of the fetched keys to the metrics.
func (a *App) registerJWKS() error {
	if a.jwks == nil {
		return nil
	}
	gauge := func(name, help string, value func(s auth.JWKSState) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "walwire_jwks_" + name, Help: help}, func() float64 { return value(a.jwks.State()) })
	}
	fetches := func(result string, value func(s auth.JWKSState) uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "walwire_jwks_fetches_total", Help: "Fetches of the key set, by result.", ConstLabels: prometheus.Labels{"result": result},
		}, func() float64 { return float64(value(a.jwks.State())) })
	}
	for _, c := range []prometheus.Collector{
		gauge("keys", "Keys of the fetched set that verify tokens.", func(s auth.JWKSState) float64 { return float64(s.Keys) }),
		gauge("last_success_timestamp_seconds", "When the key set was last fetched; 0: never.", func(s auth.JWKSState) float64 {
			if s.LastSuccess.IsZero() {
				return 0
			}
			return float64(s.LastSuccess.UnixMilli()) / 1000
		}),
		fetches("ok", func(s auth.JWKSState) uint64 { return s.Fetched }),
		fetches("error", func(s auth.JWKSState) uint64 { return s.Failed }),
	} {
		if err := a.registry.Register(c); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return nil
}
