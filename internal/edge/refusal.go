package edge

import (
	"fmt"
	"time"
)

// The limits as the configuration spells them.
const (
	LimitAttempts = "limits.connection_attempts_per_second"
	LimitAddress  = "limits.connections_per_address"
	LimitUser     = "limits.connections_per_user"
	LimitCompany  = "limits.connections_per_company"
)

// Refusal is the error of a connection that a limit does not allow. Its text may be
// shown to the client.
type Refusal struct {
	Limit string // the limit's name in the configuration
	Value int
	// RetryAfter is when another attempt may have better luck; at least a second.
	RetryAfter time.Duration
	what       string
}

// Error says which limit was reached.
func (r *Refusal) Error() string {
	return fmt.Sprintf("%s (%s is %d): try again in %s", r.what, r.Limit, r.Value, r.RetryAfter)
}

// After gives RetryAfter.
func (r *Refusal) After() time.Duration { return r.RetryAfter }
