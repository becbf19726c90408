package stream

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/walwire/walwire/cdc"
)

// Reconfigure puts what LoadSchema gives now in force, between two commits. joined are
// tables that are new, and their place in the publication as of which nothing of them is
// missing.
func (h *Hub) Reconfigure(ctx context.Context, joined map[cdc.TableName]string) error {
	done := make(chan struct{})
	if !h.postContext(ctx, func() {
		maps.Copy(h.admitted, joined)
		h.reload("the configuration has changed")
		close(done)
	}) {
		return errors.New("the server stops, or is busy reading the schema")
	}
	select {
	case <-done:
	case <-h.done: // it reads the configuration at its next start
	}
	return nil
}

// regrantAll gives every session of the company what the rules of now allow: what they
// allow no more goes, and what they allow appears, in one frame a connection.
func (c *company) regrantAll() {
	sessions := make(map[*session]struct{})
	for _, t := range c.tables {
		for _, v := range t.views {
			for sub := range v.subscribers {
				if !sub.lookup() {
					sessions[sub.session] = struct{}{}
				}
			}
		}
	}
	for _, ch := range c.channels {
		for l := range ch.listeners {
			sessions[l.session] = struct{}{}
		}
	}
	for s := range sessions {
		c.halt(s, true)
		c.grant(s)
		c.halt(s, false)
	}
}

// grant brings a session's subscriptions to its rights of now, while its writer stands
// still.
func (c *company) grant(s *session) {
	c.mu.RLock()
	subs, listeners := slices.Clone(s.subscriptions), slices.Clone(s.listeners)
	c.mu.RUnlock()
	for _, sub := range subs {
		if !sub.lookup() {
			c.regrant(sub, s.principal.Load())
		}
	}
	for _, l := range listeners {
		c.retune(l)
	}
}

// lookUps bounds how many users are looked up at once when all are.
const lookUps = 16

// LookUpAgain looks every session's user up by the rules of now, and gives it the rights
// that come of it. Those that are on their way in do so themselves, see begin.
func (s *Server) LookUpAgain(ctx context.Context) {
	s.usersRules.Add(1)
	places := make(chan struct{}, lookUps)
	for _, ss := range s.connected("", "") {
		select {
		case places <- struct{}{}:
		case <-s.hub.done:
			return
		}
		s.crew.Go(func() {
			defer func() { <-places }()
			ss.lookUpAgain(ctx)
		})
	}
}

// lookUpAgain is LookUpAgain of one session, which ends where that fails.
func (s *session) lookUpAgain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.server.options.AuthDeadline)
	defer cancel()
	s.identity.Lock()
	defer s.identity.Unlock()
	claims := s.claims()
	if err := s.beAgain(ctx, &claims); err != nil && !s.gone() {
		s.server.options.Log.Warn("a user can't be looked up: it is to connect again", "session", s.id, "error", err)
		s.revoke()
	}
}
