package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
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

// measureBurst is row 3: the same commits with and without merging, without it before and after.
func measureBurst(ctx context.Context, o Options) (string, error) {
	n, commits, flood := o.scaled(burstClients), max(o.scaled(burstSeconds*burstPerSecond), 20), max(o.scaled(floodSeconds*floodPerSecond), 20)
	return onStage(ctx, o, dataset{rows: flood * 10, queries: 10, perCompany: 10}, func(s *stage) (string, error) {
		before, err := s.burst(ctx, n, commits, burstPerSecond, "--unmerged")
		if err != nil {
			return "", err
		}
		merged, err := s.burst(ctx, n, commits, burstPerSecond)
		if err != nil {
			return "", err
		}
		after, err := s.burst(ctx, n, commits, burstPerSecond, "--unmerged")
		if err != nil {
			return "", err
		}
		flooded, err := s.burst(ctx, n, flood, floodPerSecond)
		if err != nil {
			return "", err
		}
		var exact []error
		for _, b := range []*burst{before, merged, after, flooded} {
			exact = append(exact, b.exact())
		}
		alone := max(before.perSecond, after.perSecond)
		return fmt.Sprintf("clients=%d commits/s=%d merged=%d changes/s (%d resets) unmerged=%d changes/s (%d resets) at_%d_commits/s=%d changes/s (%d resets, %.1f us/change) expected=%d received=%d lost=%d doubled=%d"+
			" bytes/change=%d changes/frame=%.1f walwire_cpu=%.1f us/change ratio %.2f", n, merged.commits, merged.perSecond, merged.resets, alone, before.resets+after.resets, flooded.commits, flooded.perSecond, flooded.resets, microseconds(flooded.cpu, flooded.received),
			n*commits, merged.received, merged.lost, merged.doubled, merged.bytes/int64(max(merged.received, 1)),
			float64(merged.received)/float64(max(merged.frames, 1)), microseconds(merged.cpu, merged.received), ratio(merged.perSecond, alone)), errors.Join(exact...)
	})
}

// burst is what came of one.
type burst struct {
	*fanout
	perSecond int // deliveries
	commits   int // a second, as they were made
	frames    int
	bytes     int64
}

// burst starts a server and writes: each commit changes another row that all clients show.
func (s *stage) burst(ctx context.Context, n, commits, atRate int, flags ...string) (*burst, error) {
	if _, err := s.cluster.conn.Exec(ctx, forgetMarks); err != nil {
		return nil, fmt.Errorf("prepare the rows: %w", err)
	}
	if err := s.serve(ctx, flags...); err != nil {
		return nil, err
	}
	b := &burst{fanout: newFanout()}
	a := b.audience(s.data)
	if err := s.gather(ctx, n, a); err != nil {
		return nil, err
	}
	if err := s.swarm.do(func() { b.goal = n * commits }); err != nil {
		return nil, err
	}
	cost, err := s.measured(ctx, strings.TrimLeft(strings.Join(append(flags, strconv.Itoa(atRate), ""), "-"), "-"), func() error {
		start := time.Now()
		took, err := s.write(ctx, commits, atRate, 1, func(k int) int { return s.data.appointment(0, k) })
		if err != nil {
			return err
		}
		b.commits = rate(commits, took)
		if err := b.await(ctx, s.swarm); err != nil || b.lost > 0 {
			return err
		}
		b.perSecond = rate(n*commits, b.last.Sub(start))
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := s.settle(ctx, a, b.fanout); err != nil {
		return nil, err
	}
	for _, c := range s.swarm.clients {
		b.frames += c.frames
		b.bytes += c.bytes
	}
	b.cpu = cost.server
	s.log.Info("delivered a burst", append(cost.each(b.received), "changes_per_second", b.perSecond, "flags", flags)...)
	return b, nil
}
