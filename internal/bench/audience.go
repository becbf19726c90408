package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/walwire/walwire/auth"
)

const (
	// dialing is how many subscribers connect at the same time.
	dialing  = 32
	tokenTTL = time.Hour
	// settleTime bounds the wait for the answer that all has been delivered; it
	// is as long as the reference configuration lets a client wait.
	settleTime = 30 * time.Second
)

// audience are the connected subscribers, one for each live query. One
// goroutine reads each connection; close ends and joins them.
type audience struct {
	tally       *tally
	subscribers []*subscriber
	group       *errgroup.Group
	ctx         context.Context // of the group: ends when a connection breaks
	cancel      context.CancelFunc
}

// gather connects the audience: when it returns, every live query shows its rows.
func gather(ctx context.Context, d dataset, p *process) (*audience, error) {
	key, err := auth.NewSecretKey(tokenKey, []byte(p.secret))
	if err != nil {
		return nil, fmt.Errorf("make the tokens' key: %w", err)
	}
	a := &audience{tally: newTally(d.rows), subscribers: make([]*subscriber, d.queries)}
	buffers := newBufferPool()
	for q := range a.subscribers {
		a.subscribers[q] = &subscriber{tally: a.tally, checker: newChecker(d, q), waited: make(chan struct{}), buffers: buffers}
	}
	ctx, a.cancel = context.WithCancel(ctx)
	a.group, a.ctx = errgroup.WithContext(ctx)
	if err := a.dial(ctx, p, key); err != nil {
		return nil, errors.Join(err, a.close())
	}
	for _, s := range a.subscribers {
		a.group.Go(func() error { return s.follow(a.ctx) })
	}
	context.AfterFunc(a.ctx, a.hangUp)
	return a, nil
}

// dial connects all subscribers, some at a time.
func (a *audience) dial(ctx context.Context, p *process, key *auth.Key) error {
	url := "ws" + strings.TrimPrefix(p.url, "http") + "/v1/stream"
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(dialing)
	for q, s := range a.subscribers {
		group.Go(func() error {
			token, err := auth.Sign(key, auth.Claims{"iss": tokenIssuer, "aud": tokenAudience,
				"sub": fmt.Sprintf("subscriber-%d", q), "company_id": companyOf(q), "roles": []string{"owner"}}, tokenTTL)
			if err != nil {
				return fmt.Errorf("sign a token: %w", err)
			}
			if err := s.dial(ctx, url, token); err != nil {
				return fmt.Errorf("subscriber %d: %w", q, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// await returns when every change has come; complete is false when none came for
// so long that the rest is lost.
func (a *audience) await(ctx context.Context, stall time.Duration) (complete bool, err error) {
	tick := time.NewTicker(stall)
	defer tick.Stop()
	for last := int64(-1); ; {
		select {
		case <-a.tally.done:
			return true, nil
		case <-ctx.Done():
			return false, ctx.Err()
		case <-a.ctx.Done():
			return false, errors.Join(ctx.Err(), a.close())
		case <-tick.C:
			now := a.tally.received.Load()
			if now == last {
				return false, nil
			}
			last = now
		}
	}
}

// settle returns when everything up to the position lsn has been delivered to
// everybody, so that what would come twice has come.
func (a *audience) settle(ctx context.Context, lsn string) error {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for _, s := range a.subscribers {
		if err := s.send(ctx, `{"type":"wait","id":1,"lsn":%q,"timeout_ms":%d}`, lsn, settleTime.Milliseconds()); err != nil {
			return err
		}
	}
	for q, s := range a.subscribers {
		select {
		case <-s.waited:
		case <-ctx.Done():
			return fmt.Errorf("subscriber %d waits for the end of the WAL: %w", q, ctx.Err())
		case <-a.ctx.Done():
			return errors.Join(ctx.Err(), a.close())
		}
	}
	return nil
}

// close disconnects everybody and says what had gone wrong with a connection.
func (a *audience) close() error {
	a.cancel()
	a.hangUp()
	return a.group.Wait()
}

// hangUp closes all connections. Safe to call again.
func (a *audience) hangUp() {
	for _, s := range a.subscribers {
		if s.conn != nil {
			_ = s.conn.CloseNow()
		}
	}
}

// delivery sums up what came.
type delivery struct {
	received, doubled, faults, frames int
	bytes                             int64
}

// delivery may be called after close only.
func (a *audience) delivery() delivery {
	var sum delivery
	for _, s := range a.subscribers {
		c := s.checker
		sum.received += c.received
		sum.doubled += c.doubled
		sum.faults += c.faults
		sum.frames += c.frames
		sum.bytes += c.bytes
	}
	return sum
}
