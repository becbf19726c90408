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
	select {
	case q.ready <- struct{}{}:
	default:
	}
	return total
}

// take returns all messages; spare is reused for the next ones.
func (q *inbox) take(spare []message) []message {
	q.mu.Lock()
	taken := q.messages
	q.messages, q.bytes = spare[:0], 0
	q.mu.Unlock()
	return taken
}

// dropTransactions lets waiting transactions go and keeps the rest.
func (q *inbox) dropTransactions() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range q.messages {
		q.messages[i].txs = nil
	}
	q.bytes = 0
}
