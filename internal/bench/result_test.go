package bench

import (
	"testing"
	"time"
)

func TestIngestResult(t *testing.T) {
	d := dataset{rows: 1_000_000, queries: 1_000, perCompany: 100}
	good := ingestResult{elapsed: 10 * time.Second, reference: 9 * time.Second, cpu: 3 * time.Second,
		delivery: delivery{received: 1_000_000, bytes: 600_000_000, frames: 400_000}}
	t.Run("OK", func(t *testing.T) {
		want := "queries=1000 walwire=100000 rows/s pg_recvlogical=111111 rows/s expected=1000000 received=1000000 lost=0 doubled=0" +
			" bytes/change=600 changes/frame=2.5 walwire_cpu=3.0 us/change ratio 0.90"
		if got := good.line(d); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if err := good.exact(d); err != nil {
			t.Error(err)
		}
	})
	for name, spoil := range map[string]func(*delivery){
		"ErrLost":    func(d *delivery) { d.received-- },
		"ErrDoubled": func(d *delivery) { d.doubled++ },
		"ErrFault":   func(d *delivery) { d.faults++ },
	} {
		t.Run(name, func(t *testing.T) {
			bad := good
			spoil(&bad.delivery)
			if bad.exact(d) == nil {
				t.Error("it passes for exact")
			}
		})
	}
	t.Run("ErrNothing", func(t *testing.T) {
		none := ingestResult{reference: time.Second}
		want := "queries=1000 walwire=0 rows/s pg_recvlogical=1000000 rows/s expected=1000000 received=0 lost=1000000 doubled=0" +
			" bytes/change=0 changes/frame=0.0 walwire_cpu=0.0 us/change ratio 0.00"
		if got := none.line(d); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}
