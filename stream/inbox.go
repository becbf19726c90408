package stream

import "sync"

// message is one thing a company's goroutine has to do, in order.
type message struct {
	txs []companyTx
	do  func()
}

// inbox is a company's queue: any number of writers, one reader, bounded in
// octets of row data.
type inbox struct {
	ready chan struct{} // capacity 1

	mu       sync.Mutex // protects following
	messages []message
	bytes    int
}

// push appends and reports how many octets now wait.
func (q *inbox) push(m message, bytes int) int {
	q.mu.Lock()
	q.messages = append(q.messages, m)
	q.bytes += bytes
	total := q.bytes
	q.mu.Unlock()
	q.wake()
	return total
}

func (q *inbox) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// take returns all messages; spare is reused for the next ones.
func (q *inbox) take(spare []message) []message {
	q.mu.Lock()
	taken := q.messages
	q.messages, q.bytes = spare[:0], 0
	q.mu.Unlock()
	return taken
}

// restart lets the waiting transactions go and puts first before all that is left:
// what stands behind them must not be done as if they had been applied.
func (q *inbox) restart(first ...message) {
	defer q.wake()
	q.mu.Lock()
	defer q.mu.Unlock()
	kept := first
	for _, waiting := range q.messages {
		if waiting.do != nil {
			kept = append(kept, message{do: waiting.do})
		}
	}
	q.messages, q.bytes = kept, 0
}
