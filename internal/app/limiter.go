package app

import (
	"net/http"

	"github.com/walwire/walwire/internal/edge"
)

// limiter bounds who connects as the configuration says.
type limiter struct {
	connections *edge.Connections
	proxies     edge.Proxies
}

// Attempt implements stream.Limiter.
func (l limiter) Attempt(r *http.Request) error {
	return l.connections.Attempt(l.proxies.Client(r))
}

// Open implements stream.Limiter.
func (l limiter) Open(r *http.Request) (release func(), err error) {
	return l.connections.Address(l.proxies.Client(r))
}

// Hold implements stream.Limiter.
func (l limiter) Hold(company, user string) (release func(), err error) {
	leaveUser, err := l.connections.User(company, user)
	if err != nil {
		return nil, err
	}
	leaveCompany, err := l.connections.Company(company)
	if err != nil {
		leaveUser()
		return nil, err
	}
	return func() {
		leaveCompany()
		leaveUser()
	}, nil
}
