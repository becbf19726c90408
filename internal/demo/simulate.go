package demo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// The pause before another attempt to connect, doubled each time.
const (
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 5 * time.Second
)

// Simulate writes about rate actions a second, at random moments, until ctx
// ends: then it returns nil. A lost connection is made anew; an error is
// returned only where another attempt would fail as well, such as a missing
// table.
func Simulate(ctx context.Context, url string, rate float64) error {
	if rate <= 0 {
		return fmt.Errorf("simulate: %g actions a second: a rate above 0 is needed", rate)
	}
	s := simulation{rate: rate, companies: companies(), actions: actions()}
	backoff := firstBackoff
	for {
		did, err := s.session(ctx, url)
		switch {
		case ctx.Err() != nil:
			return nil
		case !transient(err):
			return fmt.Errorf("simulate: %w", err)
		case did:
			backoff = firstBackoff
		}
		if !sleep(ctx, backoff) {
			return nil
		}
		backoff = min(2*backoff, lastBackoff)
	}
}

type simulation struct {
	rate      float64
	companies []company
	actions   []action
}

// session acts over one connection until that or ctx ends. It says whether it
// could do anything.
func (s simulation) session(ctx context.Context, url string) (did bool, err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for {
		a, c := s.choose(), s.companies[rand.IntN(len(s.companies))]
		if _, err := conn.Exec(ctx, a.sql, c.id()); err != nil {
			return did, fmt.Errorf("%s: %w", a.name, err)
		}
		did = true
		if !sleep(ctx, time.Duration(rand.ExpFloat64()/s.rate*float64(time.Second))) {
			return did, context.Cause(ctx)
		}
	}
}

// choose draws an action by weight.
func (s simulation) choose() action {
	total := 0
	for _, a := range s.actions {
		total += a.weight
	}
	dice := rand.IntN(total)
	for _, a := range s.actions {
		if dice -= a.weight; dice < 0 {
			return a
		}
	}
	panic("unreachable: the dice are below the sum of the weights")
}

// transient says whether another attempt may succeed. Errors that don't come
// from PostgreSQL are those of the network.
func transient(err error) bool {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return true
	}
	switch pgErr.Code[:2] {
	case "08", // connection exception
		"40", // serialization failure, deadlock
		"53", // out of resources
		"55", // object in use, lock not available
		"57": // shutdown, crash, cancelled
		return true
	}
	// A client or staff deleted meanwhile by somebody at psql.
	const foreignKeyViolation = "23503"
	return pgErr.Code == foreignKeyViolation
}

// sleep says whether it slept to the end.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
