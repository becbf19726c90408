package cdc

import "fmt"

// StreamError is a stream that ended with an error at a place that is known.
type StreamError struct {
	// Transaction is what had been read of the one that can't be read on; nil between
	// transactions, or where the server names none. End is zero.
	Transaction *Transaction
	Err         error
}

func (e *StreamError) Error() string {
	if e.Transaction == nil {
		return e.Err.Error()
	}
	return fmt.Sprintf("transaction %d, committed at %s: %v", e.Transaction.XID, e.Transaction.Commit, e.Err)
}

func (e *StreamError) Unwrap() error { return e.Err }
