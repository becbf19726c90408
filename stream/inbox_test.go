package stream

import (
	"slices"
	"testing"
)

// When a company's changes are let go, its new beginning comes before all that
// stood behind them: a wait must not be answered as if they had been applied.
func TestInboxRestart(t *testing.T) {
	q := inbox{ready: make(chan struct{}, 1)}
	var done []string
	note := func(what string) message { return message{do: func() { done = append(done, what) }} }
	q.push(message{txs: make([]companyTx, 3)}, 300)
	q.push(note("wait"), 0)
	if waiting := q.push(message{txs: make([]companyTx, 1)}, 100); waiting != 400 {
		t.Fatalf("%d octets wait, want 400", waiting)
	}
	q.push(note("subscribe"), 0)
	q.restart(note("restart"), note("adopt"))
	q.push(note("after"), 0)
	for _, m := range q.take(nil) {
		if len(m.txs) > 0 {
			t.Error("a transaction is still there")
		}
		if m.do != nil {
			m.do()
		}
	}
	if want := []string{"restart", "adopt", "wait", "subscribe", "after"}; !slices.Equal(done, want) {
		t.Errorf("done in the order %v, want %v", done, want)
	}
	<-q.ready
	q.restart(note("again"))
	select {
	case <-q.ready:
	default:
		t.Error("an idle company is not woken by a restart")
	}
	q.take(nil)
	if waiting := q.push(message{}, 7); waiting != 7 {
		t.Errorf("%d octets wait, want 7", waiting)
	}
}
