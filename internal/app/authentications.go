package app

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/walwire/walwire/auth"
)

// authentications counts what becomes of tokens.
type authentications struct {
	next  atomic.Pointer[auth.Authenticator]
	total *prometheus.CounterVec // by result
}

func newAuthentications(next *auth.Authenticator) *authentications {
	total := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "walwire_authentications_total", Help: "Tokens looked at, by result: ok, refused, or unavailable where they could not be checked.",
	}, []string{"result"})
	for _, result := range []string{"ok", "refused", "unavailable"} {
		total.WithLabelValues(result) // so that it is there before the first
	}
	a := &authentications{total: total}
	a.next.Store(next)
	return a
}

// Authenticate implements stream.Authenticator.
func (a *authentications) Authenticate(ctx context.Context, token, company string) (auth.Principal, error) {
	p, err := a.next.Load().Authenticate(ctx, token, company)
	var refused *auth.Error
	switch {
	case err == nil:
		a.total.WithLabelValues("ok").Inc()
	case errors.As(err, &refused):
		a.total.WithLabelValues("refused").Inc()
	default:
		a.total.WithLabelValues("unavailable").Inc()
	}
	return p, err
}
