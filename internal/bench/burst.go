package bench

import (
	"context"
	"fmt"
	"strings"
	"time"
)

const (
	burstClients   = 5_000
	burstPerSecond = 100
	burstSeconds   = 4
	floodPerSecond = 1_000 // more than can be told apart, to see what merging is good for
	floodSeconds   = 2
)

// measureBurst is row 3: the same commits with and without merging.
func measureBurst(ctx context.Context, o Options) (string, error) {
	n, commits, flood := o.scaled(burstClients), max(o.scaled(burstSeconds*burstPerSecond), 20), max(o.scaled(floodSeconds*floodPerSecond), 20)
	return onStage(ctx, o, dataset{rows: flood * 10, queries: 10, perCompany: 10}, func(s *stage) (string, error) {
		flooded, third, err := s.burst(ctx, n, flood, floodPerSecond)
		if err != nil {
			return "", err
		}
		if err := third.exact(); err != nil {
			return "", err
		}
		merged, count, err := s.burst(ctx, n, commits, burstPerSecond)
		if err != nil {
			return "", err
		}
		frames, bytes := 0, int64(0)
		for _, c := range s.swarm.clients {
			frames += c.frames
			bytes += c.bytes
		}
		alone, second, err := s.burst(ctx, n, commits, burstPerSecond, "--unmerged")
		if err != nil {
			return "", err
		}
		if err := second.exact(); err != nil {
			return "", err
		}
		return fmt.Sprintf("clients=%d commits/s=%d merged=%d changes/s unmerged=%d changes/s at_%d_commits/s=%d changes/s (%d resets) expected=%d received=%d lost=%d doubled=%d"+
			" bytes/change=%d changes/frame=%.1f ratio %.2f", n, burstPerSecond, merged, alone, floodPerSecond, flooded, third.resets, n*commits, count.received, count.lost, count.doubled,
			bytes/int64(max(count.received, 1)), float64(count.received)/float64(max(frames, 1)), ratio(merged, alone)), count.exact()
	})
}

// burst starts a server and writes: each commit changes another row that all clients show.
func (s *stage) burst(ctx context.Context, n, commits, atRate int, flags ...string) (perSecond int, count *fanout, err error) {
	if err := s.serve(ctx, flags...); err != nil {
		return 0, nil, err
	}
	count = newFanout()
	if err := s.gather(ctx, n, count.audience(s.data)); err != nil {
		return 0, nil, err
	}
	if err := s.swarm.do(func() { count.goal = n * commits }); err != nil {
		return 0, nil, err
	}
	var took time.Duration
	cost, err := s.measured(ctx, strings.Join(flags, ""), func() error {
		start := time.Now()
		if _, err := s.write(ctx, commits, atRate, 1, func(k int) int { return s.data.appointment(0, k) }); err != nil {
			return err
		}
		err := count.await(ctx, s.swarm)
		took = count.last.Sub(start)
		return err
	})
	if err != nil {
		return 0, nil, err
	}
	s.log.Info("delivered a burst", append(cost.each(count.received), "took", took.Round(time.Millisecond), "flags", flags)...)
	return rate(n*commits, took), count, nil
}
