package bench

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"time"
)

const (
	latencyClients   = 5_000
	latencyQueries   = 2 // of each client
	latencyPerSecond = 1_000
	latencySeconds   = 15
	latencyWriters   = 8
	latencySlot      = "bench_latency"
)

// latencies are the times from the moment a change was made to when somebody had it.
type latencies struct {
	times   []time.Duration // by change; 0: has not come
	doubled int
	count   int
	done    chan struct{} // closed when all have come
}

func newLatencies(n int) *latencies {
	return &latencies{times: make([]time.Duration, n), done: make(chan struct{})}
}

func (l *latencies) add(change int, micros int64, now time.Time) {
	if change >= len(l.times) {
		return
	}
	if l.times[change] != 0 {
		l.doubled++
		return
	}
	l.times[change] = max(now.Sub(time.UnixMicro(micros)), 1)
	if l.count++; l.count == len(l.times) {
		close(l.done)
	}
}

// quantile is of the changes after the first tenth, in which caches fill.
func (l *latencies) quantile(q float64) time.Duration {
	times := slices.Clone(l.times[len(l.times)/10:])
	slices.Sort(times)
	return times[min(int(float64(len(times))*q), len(times)-1)]
}

func (l *latencies) String() string {
	return fmt.Sprintf("p50=%s p99=%s p99.9=%s", round(l.quantile(.5)), round(l.quantile(.99)), round(l.quantile(.999)))
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

// measureLatency is row 4: commits reach walwire's clients and pg_recvlogical's output
// at the same time, or nearly.
func measureLatency(ctx context.Context, o Options) (string, error) {
	clients := o.scaled(latencyClients/100) * 100
	queries, commits := clients*latencyQueries, o.scaled(latencySeconds)*latencyPerSecond
	each := max(2, (commits+queries-1)/queries) // no row changes twice, or the two would be merged
	d := dataset{rows: each * queries, queries: queries, perCompany: 100}
	return onStage(ctx, o, d, func(s *stage) (string, error) {
		if err := s.serve(ctx); err != nil {
			return "", err
		}
		if err := makeSlot(ctx, s.cluster.conn, latencySlot); err != nil {
			return "", err
		}
		own, theirs := newLatencies(commits), newLatencies(commits)
		octets, strange := 0, 0 // strange: told to somebody whose queries do not show it
		a := &audience{
			company: func(n int) string { return d.companyOf(n * latencyQueries) },
			queries: func(n int) (list []string) {
				for q := range latencyQueries {
					list = append(list, d.query(n*latencyQueries+q))
				}
				return list
			},
			change: func(c *client, frame []byte) {
				octets += len(frame)
				now := time.Now()
				eachRow(frame, func(row []byte) {
					appointment, ok := appointmentNumber(row[:min(len(row), idLength)])
					if query, _ := d.locate(appointment); !ok || query/latencyQueries != c.number {
						strange++
						return
					}
					marks(row, func(change int, micros int64) { own.add(change, micros, now) })
				})
			},
		}
		if err := s.gather(ctx, clients, a); err != nil {
			return "", err
		}
		reader, err := s.readAlong(ctx, latencySlot, theirs)
		if err != nil {
			return "", err
		}
		defer reader.stop()
		if _, err := readerStart(ctx, s.cluster.conn, latencySlot, 0, reader.end); err != nil {
			return "", fmt.Errorf("%w: %s", err, reader.stop())
		}
		var took time.Duration
		cost, err := s.measured(ctx, "", func() (err error) {
			// A step that is prime to their number visits all rows.
			if took, err = s.write(ctx, commits, latencyPerSecond, latencyWriters, func(k int) int { return k * 7919 % d.rows }); err != nil {
				return err
			}
			if err := s.swarm.until(ctx, theirs.done, func() error {
				return fmt.Errorf("of %d changes %d have come out of pg_recvlogical: %s", commits, theirs.count, reader.stop())
			}); err != nil {
				return err
			}
			return s.swarm.until(ctx, own.done, func() error { return nil }) // the row tells what is lost
		})
		if err != nil {
			return "", err
		}
		s.log.Info("all changes have come", append(cost.each(commits), "commits_per_second", rate(commits, took))...)
		end, err := s.position(ctx)
		if err != nil {
			return "", err
		}
		lost := commits - own.count
		if lost == 0 {
			if err := a.settle(ctx, s.swarm, end); err != nil {
				return "", err
			}
		}
		line := fmt.Sprintf("clients=%d queries=%d commits/s=%d walwire %s pg_recvlogical %s expected=%d received=%d lost=%d doubled=%d bytes/change=%d p99 ratio %.2f",
			clients, queries, rate(commits, took), own, theirs, commits, own.count, lost, own.doubled, octets/commits, float64(own.quantile(.99))/float64(theirs.quantile(.99)))
		if lost > 0 || own.doubled > 0 || strange > 0 {
			return line, fmt.Errorf("the delivery is not exact: %d changes lost, %d doubled, %d told to others", lost, own.doubled, strange)
		}
		return line, nil
	})
}

// follower is a pg_recvlogical whose output is read as it comes.
type follower struct {
	cmd  *exec.Cmd
	says bytes.Buffer
	end  chan struct{} // closed when it has ended
}

// readAlong runs pg_recvlogical and notes when each change comes out of it.
func (s *stage) readAlong(ctx context.Context, slot string, l *latencies) (*follower, error) {
	cmd, err := recvlogicalCommand(ctx, s.cluster, slot, "-")
	if err != nil {
		return nil, err
	}
	f := &follower{cmd: cmd, end: make(chan struct{})}
	out, err := f.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	f.cmd.Stderr = &f.says
	if err := f.cmd.Start(); err != nil {
		return nil, fmt.Errorf("run pg_recvlogical: %w", err)
	}
	go func() {
		defer close(f.end)
		buffer, kept := make([]byte, 1<<16), 0
		for {
			n, err := out.Read(buffer[kept:])
			now := time.Now()
			rest := marks(buffer[:kept+n], func(change int, micros int64) {
				if change < len(l.times) && l.times[change] == 0 { // an old row tells of an old change
					l.add(change, micros, now)
				}
			})
			kept = copy(buffer, rest)
			if err != nil { // it has ended
				return
			}
		}
	}()
	return f, nil
}

// stop ends it and gives what it has said. Safe to call again.
func (f *follower) stop() []byte {
	_ = f.cmd.Process.Kill()
	<-f.end
	_ = f.cmd.Wait() // it was killed
	return bytes.TrimSpace(f.says.Bytes())
}
