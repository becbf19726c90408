package stream

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/walwire/walwire/mapping"
)

// A change that can't be decoded takes its table out of service, in the open,
// and no other.
func TestQuarantine(t *testing.T) {
	h, err := NewHub(Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	h.schema.Store(&Schema{})
	bad, good := &shape{mapping: &mapping.Table{Name: "bad"}}, &shape{mapping: &mapping.Table{Name: "good"}}
	h.shapes = map[string]*shape{"bad": bad, "good": good}
	h.tell(false, nil)
	if err := h.readiness(); err != nil {
		t.Fatalf("not ready before: %v", err)
	}
	h.quarantine(bad, errors.New("cut short"))
	h.quarantine(bad, errors.New("again"))
	served := h.serving()
	if err := served.broken["bad"]; err == nil || err.Code != CodeFailedPrecondition || !strings.Contains(err.Message, "quarantined") || strings.Contains(err.Message, "cut short") {
		t.Errorf("clients of the table are told %v", err)
	}
	if served.broken["good"] != nil || served.shapes["good"] != good {
		t.Error("the other table is not served")
	}
	if h.readiness() == nil {
		t.Error("readiness does not say so")
	}
	if n := testutil.ToFloat64(h.Metrics.Quarantined); n != 1 {
		t.Errorf("%v tables are counted", n)
	}
}
