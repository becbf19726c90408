package bench

import (
	"bytes"
	"context"
	"fmt"
	"time"
)

const (
	fanoutClients = 15_000
	fanoutRounds  = 30
	fanoutWarm    = 5
	fanoutTries   = 2
)

// fanout is rows 2 and 3's audience: all clients have the same live query, and get
// every change, in order.
type fanout struct {
	received, lost, doubled int
	resets                  int           // clients that had fallen behind the log
	goal                    int           // of received
	cpu                     time.Duration // of the server
	reached                 chan struct{} // gets one when it is
	last                    time.Time
}

func newFanout() *fanout { return &fanout{reached: make(chan struct{}, 1)} }

// count takes the changes in a frame: each has to be the client's next, but for those of a
// reset, which shows all rows in any order.
func (f *fanout) count(c *client, frame []byte) {
	if bytes.Contains(frame, []byte(`"reset":true`)) {
		f.resets++
		c.resetting, c.newest, c.fresh = true, c.next-1, 0
	}
	marks(frame, func(change int, _ int64) {
		switch {
		case c.resetting && change >= c.next:
			c.fresh++
			c.newest = max(c.newest, change)
		case c.resetting: // told before
		case change < c.next:
			f.doubled++
		default:
			f.lost += change - c.next
			c.next = change + 1
			f.add(1)
		}
	})
	if c.resetting && !bytes.HasSuffix(frame, []byte(continued)) {
		c.resetting = false
		told := c.newest + 1 - c.next
		f.doubled += max(c.fresh-told, 0)
		c.fresh = min(c.fresh, told)
		f.lost += told - c.fresh
		c.next = c.newest + 1
		f.add(c.fresh)
	}
}

func (f *fanout) add(n int) {
	before := f.received
	if f.received += n; before < f.goal && f.received >= f.goal {
		f.last = time.Now()
		f.reached <- struct{}{}
	}
}

// missing notes what had not come when nothing came any more.
func (f *fanout) missing() error {
	f.lost += f.goal - f.received
	return nil
}

func (f *fanout) exact() error {
	if f.lost != 0 || f.doubled != 0 {
		return fmt.Errorf("the delivery is not exact: %d changes lost, %d doubled", f.lost, f.doubled)
	}
	return nil
}

// audience is of one company's clients, who all show the same member of staff's appointments.
func (f *fanout) audience(d dataset) *audience {
	return &audience{
		company: func(int) string { return d.companyOf(0) },
		queries: func(int) []string { return []string{d.query(0)} },
		change:  f.count,
	}
}

// rounds tells n clients of so many changes, one after another: change says one more, and the next
// is made when all have it. It gives deliveries a second, 0 where some are lost.
func (f *fanout) rounds(ctx context.Context, s *swarm, n int, change func(k int) error) (perSecond int, err error) {
	var start time.Time
	for k := range fanoutWarm + fanoutRounds {
		if k == fanoutWarm {
			start = time.Now()
		}
		if err := s.do(func() { f.goal = (k + 1) * n }); err != nil {
			return 0, err
		}
		if err := change(k); err != nil {
			return 0, err
		}
		if err := f.await(ctx, s); err != nil || f.lost > 0 {
			return 0, err
		}
	}
	return rate(fanoutRounds*n, f.last.Sub(start)), nil
}

// await returns when the goal is reached, or nothing comes any more.
func (f *fanout) await(ctx context.Context, s *swarm) error {
	return s.until(ctx, f.reached, f.missing)
}

// measureFanout is row 2. All are measured twice, in turn, as the machine's speed changes: the
// better counts.
func measureFanout(ctx context.Context, o Options) (string, error) {
	if _, err := o.socketIOCommand(); err != nil { // before anything is measured for nothing
		return "", err
	}
	n := o.scaled(fanoutClients)
	return onStage(ctx, o, dataset{rows: 100, queries: 10, perCompany: 10}, func(s *stage) (string, error) {
		var total fanout
		var walwire, raw, socketIO, size int
		for range fanoutTries {
			perSecond, own, err := s.ownFanout(ctx, n)
			if err != nil {
				return "", err
			}
			walwire, total.cpu = max(walwire, perSecond), total.cpu+own.cpu
			total.received, total.lost, total.doubled = total.received+own.received, total.lost+own.lost, total.doubled+own.doubled
			size = int(s.swarm.clients[0].bytes) / max(s.swarm.clients[0].frames, 1)
			s.endServer()
			if perSecond, err = s.rawFanout(ctx, n, size); err != nil {
				return "", err
			}
			raw = max(raw, perSecond)
			if perSecond, err = s.socketIOFanout(ctx, n); err != nil {
				return "", err
			}
			socketIO = max(socketIO, perSecond)
		}
		return fmt.Sprintf("clients=%d walwire=%d deliveries/s raw_tcp=%d deliveries/s socket.io=%d deliveries/s expected=%d received=%d lost=%d doubled=%d"+
			" bytes/change=%d walwire_cpu=%.1f us/delivery of_socket.io=%.2f of_raw_tcp ratio %.2f", n, walwire, raw, socketIO, n*(fanoutRounds+fanoutWarm)*fanoutTries,
			total.received, total.lost, total.doubled, size, microseconds(total.cpu, total.received), ratio(walwire, socketIO), ratio(walwire, raw)), total.exact()
	})
}

// settle returns when all has been delivered, so that what comes twice has come.
func (s *stage) settle(ctx context.Context, a *audience, f *fanout) error {
	if f.lost > 0 {
		return nil
	}
	end, err := s.position(ctx)
	if err != nil {
		return err
	}
	return a.settle(ctx, s.swarm, end)
}

// ownFanout has walwire tell n clients of changes.
func (s *stage) ownFanout(ctx context.Context, n int) (perSecond int, f *fanout, err error) {
	if _, err := s.cluster.conn.Exec(ctx, forgetMarks); err != nil {
		return 0, nil, fmt.Errorf("prepare the rows: %w", err)
	}
	if err := s.serve(ctx); err != nil {
		return 0, nil, err
	}
	f = newFanout()
	a := f.audience(s.data)
	if err := s.gather(ctx, n, a); err != nil {
		return 0, nil, err
	}
	cost, err := s.measured(ctx, "", func() (err error) {
		perSecond, err = f.rounds(ctx, s.swarm, n, func(k int) error {
			_, err := s.cluster.conn.Exec(ctx, markUpdate, k, id(appointmentPrefix, 0))
			return err
		})
		return err
	})
	if err != nil {
		return 0, nil, err
	}
	f.cpu = cost.server
	s.log.Info("walwire has delivered", append(cost.each(f.received), "deliveries_per_second", perSecond)...)
	return perSecond, f, s.settle(ctx, a, f)
}

func ratio(a, b int) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}
