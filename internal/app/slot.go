package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/stream"
)

// slotInterval is how often the server is asked what the slot retains.
const slotInterval = 5 * time.Second

// watchSlot keeps what /metrics and /readyz say of the slot up to date.
func (a *App) watchSlot(ctx context.Context, s *cdc.Snapshotter) error {
	tick := time.NewTicker(slotInterval)
	defer tick.Stop()
	warned := ""
	for {
		// Of the readers of the pool, this one can wait least: it has nothing to show.
		bounded, cancel := s.Bound(ctx)
		health, err := cdc.ReadSlotHealth(bounded, s.Pool(), a.cfg.Slot)
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			a.log.Debug("can't see what the slot retains", "error", err) // the consumer says why
		case health != nil && health.Warning() != warned:
			if warned = health.Warning(); warned != "" {
				a.log.Warn(warned, "slot", health.Name, "retained", health.RetainedBytes)
			}
		}
		if _, reading := a.read(); health != nil && reading {
			a.lagging.written(health.Current, time.Now())
		}
		a.health.Store(health)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// registerSlot adds the slot's gauges. What is not known is NaN.
func (a *App) registerSlot() error {
	of := func(value func(h *cdc.SlotHealth) float64) func() float64 {
		return func() float64 {
			if h := a.health.Load(); h != nil {
				return value(h)
			}
			return math.NaN()
		}
	}
	for _, g := range []struct {
		name, help string
		value      func(h *cdc.SlotHealth) float64
	}{
		{"slot_retained_bytes", "WAL that PostgreSQL keeps for the slot.",
			func(h *cdc.SlotHealth) float64 { return float64(h.RetainedBytes) }},
		{"slot_safe_bytes", "WAL that can still be written before the slot may be lost; +Inf when max_slot_wal_keep_size is unbounded.", safeBytes},
		{"replication_lag_bytes", "WAL that was written and not yet read.", a.lag},
		{"replication_lag_seconds", "For how long WAL has been waiting to be read; up to 15 is normal where nothing is written that is published.", a.lagSeconds},
	} {
		opts := prometheus.GaugeOpts{Name: "walwire_" + g.name, Help: g.help}
		if err := a.registry.Register(prometheus.NewGaugeFunc(opts, of(g.value))); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	ready := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "walwire_ready", Help: "1 while /readyz says that the server serves.",
	}, a.readiness)
	if err := a.registry.Register(ready); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	return nil
}

// readiness asks what /readyz asks.
func (a *App) readiness() float64 {
	s := a.server.Load()
	if s == nil {
		return 0
	}
	answer := answer{header: make(http.Header)}
	s.ServeHTTP(&answer, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/readyz"}})
	if answer.status != http.StatusOK {
		return 0
	}
	return 1
}

func safeBytes(h *cdc.SlotHealth) float64 {
	switch {
	case h.Lost() != "":
		return 0
	case h.SafeBytes == nil:
		return math.Inf(1)
	}
	return float64(*h.SafeBytes)
}

// read is how far the WAL has been read; false for a server that has not begun, as one
// that stands by.
func (a *App) read() (cdc.LSN, bool) {
	p := a.parts.Load()
	if p == nil {
		return 0, false
	}
	read := p.consumer.Status().Received
	return read, read != 0
}

// lag is what was written when the slot was last looked at, and not yet read now.
func (a *App) lag(h *cdc.SlotHealth) float64 {
	read, ok := a.read()
	if !ok {
		return math.NaN()
	}
	return float64(h.Current - min(h.Current, read))
}

func (a *App) lagSeconds(*cdc.SlotHealth) float64 {
	read, ok := a.read()
	if !ok {
		return math.NaN()
	}
	return a.lagging.behind(read, time.Now()).Seconds()
}

// readyz adds to the server's answer what it stands on: the slot, the pool that reads
// snapshots, and the configuration.
func (a *App) readyz(w http.ResponseWriter, r *http.Request, s *stream.Server) {
	answer := answer{header: w.Header()}
	s.ServeHTTP(&answer, r)
	var body map[string]any
	if err := json.Unmarshal(answer.body.Bytes(), &body); err == nil {
		if p := a.parts.Load(); p != nil {
			body["slot"] = a.slotState(p)
			busy, size := p.snapshotter.Busy()
			body["snapshots"] = map[string]int{"busy": busy, "connections": size}
		}
		body["config"] = a.reload.state()
		answer.body.Reset()
		_ = json.NewEncoder(&answer.body).Encode(body) // to memory
	}
	w.WriteHeader(answer.status)
	_, _ = w.Write(answer.body.Bytes()) // the client may be gone
}

func (a *App) slotState(p *parts) map[string]any {
	slot := map[string]any{"active": p.consumer.Status().Connected}
	h := a.health.Load()
	if h == nil {
		return slot
	}
	slot["wal_status"], slot["retained_bytes"] = h.WALStatus, h.RetainedBytes
	if _, reading := a.read(); reading {
		slot["lag_bytes"], slot["lag_seconds"] = a.lag(h), a.lagSeconds(h)
	}
	if h.SafeBytes != nil {
		slot["safe_bytes"] = *h.SafeBytes
	}
	if warning := h.Warning(); warning != "" {
		slot["warning"] = warning
	}
	return slot
}

// answer is an http.ResponseWriter that holds a small answer back.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }
