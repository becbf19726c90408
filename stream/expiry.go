package stream

import (
	"context"
	"time"

	"github.com/walwire/walwire/auth"
)

type expiring struct {
	Type    string `json:"type"`
	Expires string `json:"expires"`
}

type renewed struct {
	Type    string   `json:"type"`
	Roles   []string `json:"roles"`
	Expires string   `json:"expires"`
}

func expiryText(at time.Time) string { return at.UTC().Format(time.RFC3339) }

// lastUntil lets the session last until its token ends: the client is told some time
// before, and renews it or is cut off.
func (s *session) lastUntil(expires time.Time) {
	left := time.Until(expires)
	notice := left - min(s.server.options.RenewalNotice, left/2)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.stopClockLocked()
	s.clock = time.AfterFunc(notice, func() { s.tokenEnds(expires) })
}

// tokenEnds says that the token ends soon, and then that it has ended.
func (s *session) tokenEnds(expires time.Time) {
	if left := time.Until(expires); left > 0 {
		s.mu.Lock()
		mine := s.clock != nil && expires.Equal(s.principal.Load().Expires) // not renewed meanwhile
		if mine {
			s.clock.Reset(left)
		}
		s.mu.Unlock()
		if mine {
			s.say(expiring{"expiring", expiryText(expires)})
		}
		return
	}
	if !expires.Equal(s.principal.Load().Expires) { // renewed at the last moment
		return
	}
	s.say(errorFrame(0, errorf(CodeUnauthenticated, "the token has expired: connect with a new one")))
	s.close(CloseTokenExpired, "token expired")
}

func (s *session) stopClockLocked() {
	if s.clock != nil {
		s.clock.Stop()
		s.clock = nil
	}
}

// renew takes a new token for the same user and company. Without success the session
// lasts as long as it would have.
func (s *session) renew(r *request) *Error {
	if r.Token == "" {
		return errorf(CodeInvalidArgument, "auth needs a token")
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.server.options.AuthDeadline)
	defer cancel()
	now := s.principal.Load()
	company := r.Company
	if company == "" && now.Operator {
		company = now.Company
	}
	p, err := s.server.authenticate(ctx, credentials{token: r.Token, company: company})
	if err != nil {
		return err
	}
	if p.ID != now.ID || p.Company != now.Company {
		return errorf(CodePermissionDenied, "the token is for another user or company than this connection's: connect with it anew")
	}
	s.identity.Lock()
	err = s.beAgain(ctx, p)
	s.identity.Unlock()
	if err != nil {
		return err
	}
	s.lastUntil(p.Expires)
	s.say(renewed{"renewed", s.principal.Load().Roles, expiryText(p.Expires)})
	return nil
}

// beAgain makes the session's user the one of a token, looked up anew. identity is held.
func (s *session) beAgain(ctx context.Context, p *auth.Principal) *Error {
	u, err := s.lookUp(ctx, p)
	if err != nil {
		return clientError(err)
	}
	s.company.call(func() { s.company.renew(s, u) })
	return nil
}
