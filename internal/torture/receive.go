package torture

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// receive takes a message. Its error ends the connection.
func (c *client) receive(data []byte) error {
	f := new(frame)
	if err := json.Unmarshal(data, f); err != nil {
		return c.breach(fmt.Errorf("frame %.300s: %w", data, err))
	}
	switch f.Type {
	case "data":
		return c.data(f, data)
	case "error":
		return c.failed(f)
	case "unsubscribed":
		if l := c.find(f.ID); l == nil || !l.leaving {
			return c.breach(fmt.Errorf("subscription %d has ended, unasked", f.ID))
		}
		c.forget(f.ID)
	case "waited":
		lsn, err := parseLSN(f.Position)
		if err != nil {
			return c.breach(err)
		}
		if asked, ok := c.waits.LoadAndDelete(f.ID); !ok || lsn < asked.(uint64) {
			return c.breach(fmt.Errorf("wait %d for %v (%t) is answered at %s", f.ID, asked, ok, f.Position))
		}
		c.waited(lsn)
	}
	return nil
}

func (c *client) breach(err error) error {
	c.run.breach(c, err)
	return fmt.Errorf("%w: %w", errBreach, err)
}

func (c *client) data(f *frame, data []byte) error {
	s := c.segment
	s.mu.Lock()
	s.frames = append(s.frames, received{at: len(s.positions), data: data})
	s.mu.Unlock()
	if c.partial != nil {
		if err := c.partial.join(f); err != nil {
			return c.breach(err)
		}
		f = c.partial
	}
	if c.partial = nil; f.More {
		c.partial = f
		return nil
	}
	lsn, err := parseLSN(f.Position)
	if err != nil {
		return c.breach(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.positions); n > 0 && lsn < s.positions[n-1] {
		return c.breach(fmt.Errorf("position %s comes after %s", f.Position, formatLSN(s.positions[n-1])))
	}
	s.positions = append(s.positions, lsn)
	var told *update
	for i := range f.Subscriptions {
		u := &f.Subscriptions[i]
		if u.ID == feedID && c.feed != nil {
			told = u
			continue
		}
		l := c.find(u.ID)
		if l == nil {
			return c.breach(fmt.Errorf("data for subscription %d, which is not open", u.ID))
		}
		reason := c.run.resetReason(l, c.user.id, s.variant)
		what, err := l.apply(c.run.hasher, u, s.variant)
		if err != nil {
			return c.breach(fmt.Errorf("subscription %d, query %d, at %s: %w", u.ID, l.query.index, f.Position, err))
		}
		c.run.counts.entry(what)
		switch what {
		case entryResumed:
			if l.track.resumed = true; lsn < l.at {
				return c.breach(fmt.Errorf("subscription %d is resumed at %s, its cursor was of %s", u.ID, f.Position, formatLSN(l.at)))
			}
		case entryResetOnResume:
			c.run.counts.reset(reason)
		}
		l.track.states = append(l.track.states, state{at: len(s.positions) - 1, sum: l.sum(), n: len(l.rows), loading: l.loading})
	}
	c.last.Store(lsn)
	if c.feed != nil {
		if err := c.feed.data(told, lsn, f.Cursor, s.variant, c.run.tables); err != nil {
			return c.breach(err)
		}
	}
	if f.Cursor == "" {
		return nil
	}
	for _, l := range c.subs {
		if l.here { // the others are still as they were before this connection
			l.cursor, l.at, l.seen = f.Cursor, lsn, time.Now()
		}
	}
	return nil
}

func (c *client) find(id int) *live {
	i := slices.IndexFunc(c.subs, func(l *live) bool { return l.id == id })
	if i < 0 {
		return nil
	}
	return c.subs[i]
}

func (c *client) forget(id int) {
	l := c.find(id)
	if l == nil {
		return
	}
	c.segment.mu.Lock()
	l.track.end = len(c.segment.positions)
	c.segment.mu.Unlock()
	c.subs = slices.DeleteFunc(c.subs, func(other *live) bool { return other == l })
}

// failed takes an error frame.
func (c *client) failed(f *frame) error {
	c.run.counts.refused(f)
	switch f.Code {
	case "permission-denied":
		if f.ID == 0 && strings.Contains(f.Message, "access has ended") {
			return nil // the check says whether it had
		}
		fallthrough
	case "internal", "invalid-argument", "not-found", "failed-precondition", "resource-exhausted": // limits are far, and tables fit
		query := ""
		if l := c.find(f.ID); l != nil {
			query = l.query.json(l.nonce)
		}
		_ = c.breach(fmt.Errorf("error frame: %s: %s %s", f.Code, f.Message, query))
	}
	if f.ID == feedID {
		return errors.New("the subscription to events has ended")
	}
	if f.ID != 0 {
		c.forget(f.ID)
		if len(c.subs) == 0 {
			return errors.New("no live query is left")
		}
	}
	return nil
}

// waited holds for everything that is open: it has all been delivered.
func (c *client) waited(lsn uint64) {
	c.segment.mu.Lock()
	c.segment.positions = append(c.segment.positions, lsn)
	c.segment.mu.Unlock()
	final := c.run.final.Load()
	if c.feed != nil && !c.feed.reached(lsn, c.segment.variant) {
		return
	}
	if final == 0 || lsn < final {
		return
	}
	for _, l := range c.subs {
		if !l.here {
			return
		}
	}
	c.once.Do(func() { close(c.settled) })
}
