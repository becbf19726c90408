package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

const (
	comebackClients   = 15_000
	comebackRows      = 4 // of each client's live query
	comebackPerSecond = 1_000
	comebackWriters   = 8
	comebackBefore    = 2 * time.Second // of writing, before the server is killed
	comebackAfter     = 2 * time.Second // and after all are back
)

// comeback is what row 8's clients have seen.
type comeback struct {
	seen    []int // by appointment: the last change
	told    int   // of changes
	bytes   int64 // of their frames
	doubled int   // changes told that are no newer than what was shown
	strange int   // rows told to somebody whose query does not show them
	refused int   // upgrades refused with a status that a client can do nothing about
	waiting int   // upgrades that were put off while the server starts
	resets  int
	resumed int
	// exact is how many clients are known to have all that was committed when the server was
	// killed, at lsn.
	exact, clients int
	lsn            string
	last           time.Time
	done           chan struct{}
}

// measureComeback is row 8.
func measureComeback(ctx context.Context, o Options) (string, error) {
	n := o.scaled(comebackClients/100) * 100
	d := dataset{rows: n * comebackRows, queries: n, perCompany: 100}
	return onStage(ctx, o, d, func(s *stage) (string, error) {
		s.edit = byTokenAlone
		if err := s.serve(ctx); err != nil {
			return "", err
		}
		b := &comeback{clients: n, seen: slices.Repeat([]int{-1}, d.rows), done: make(chan struct{})}
		a := &audience{
			company:  d.companyOf,
			queries:  func(n int) []string { return []string{d.query(n)} },
			change:   func(c *client, frame []byte) { b.take(d, c.number, frame) },
			comeback: b,
		}
		if err := s.gather(ctx, n, a); err != nil {
			return "", err
		}
		written := slices.Repeat([]int{-1}, d.rows)
		stop := make(chan struct{})
		writing := s.writeUntil(ctx, stop, written)
		if err := pause(ctx, comebackBefore); err != nil {
			return "", err
		}
		started, err := b.kill(ctx, s)
		if err != nil {
			close(stop)
			_, writeErr := writing()
			return "", errors.Join(err, writeErr)
		}
		cost, err := s.measured(ctx, "", func() error {
			return s.swarm.until(ctx, b.done, func() error { return fmt.Errorf("of %d clients %d are exact again", n, b.exact) })
		})
		if err == nil {
			s.log.Info("all are back", cost.each(n)...)
			err = pause(ctx, comebackAfter)
		}
		close(stop)
		commits, writeErr := writing()
		if err := errors.Join(err, writeErr); err != nil {
			return "", err
		}
		end, err := s.position(ctx)
		if err != nil {
			return "", err
		}
		if err := a.settle(ctx, s.swarm, end); err != nil {
			return "", err
		}
		expected, lost := 0, 0 // rows with the last of their changes
		for i, k := range written {
			if k < 0 {
				continue
			}
			if expected++; b.seen[i] != k {
				lost++
			}
		}
		answer, err := s.process.order(ctx, orderUsage)
		if err != nil {
			return "", err
		}
		took := b.last.Sub(started)
		line := fmt.Sprintf("clients=%d commits/s=%d exact_after=%.1f s limit=20 s resumed=%d reset=%d refused=%d put_off=%d selects=%d"+
			" expected=%d received=%d lost=%d doubled=%d bytes/change=%d walwire_cpu=%.1f ms/client of_limit ratio %.2f", n, commits, took.Seconds(), b.resumed, b.resets, b.refused, b.waiting,
			answer.Snapshots, expected, expected-lost, lost, b.doubled, b.bytes/int64(max(b.told, 1)), microseconds(cost.server, n)/1000, took.Seconds()/20)
		if lost > 0 || b.doubled > 0 || b.strange > 0 {
			return line, fmt.Errorf("the clients are not exact: %d rows wrong, %d changes told again, %d told to others", lost, b.doubled, b.strange)
		}
		return line, nil
	})
}

// take notes the changes that a client is told of.
func (b *comeback) take(d dataset, query int, frame []byte) {
	reset := bytes.Contains(frame, []byte(`"reset":true`)) // which tells all rows again
	b.bytes += int64(len(frame))
	eachRow(frame, func(row []byte) {
		appointment, ok := appointmentNumber(row[:min(len(row), idLength)])
		if of, _ := d.locate(appointment); !ok || appointment >= d.rows || of != query {
			b.strange++
			return
		}
		marks(row, func(change int, _ int64) {
			b.told++
			if change < b.seen[appointment] || change == b.seen[appointment] && !reset {
				b.doubled++
			}
			b.seen[appointment] = change
		})
	})
}

// back counts a client's first rows since it has come back, and says whether they are there.
func (b *comeback) back(frame []byte) (resumed int) {
	switch {
	case bytes.Contains(frame, []byte(`"resumed":true`)):
		b.resumed++
		return 1
	case bytes.Contains(frame, []byte(snapshotNext)):
		b.resets++
	}
	return 0
}

// answered is told that a client has what it waited for.
func (b *comeback) answered(c *client) {
	if c.exact {
		return // it has come back once more
	}
	c.exact = true
	if b.exact++; b.exact == b.clients {
		b.last = time.Now()
		close(b.done)
	}
}

// kill ends the server without a word, starts it again, and lets the clients come back as
// fast as they can.
func (b *comeback) kill(ctx context.Context, s *stage) (at time.Time, err error) {
	back := func(c *client) { s.swarm.again(c) }
	err = s.swarm.do(func() {
		s.swarm.lost = back
		s.swarm.window = len(s.swarm.clients)
		s.swarm.refused = func(c *client, status int) {
			if status == 503 { // it starts
				b.waiting++
			} else {
				b.refused++
			}
			back(c)
		}
	})
	if err != nil {
		return at, err
	}
	lsn, err := s.position(ctx)
	if err != nil {
		return at, err
	}
	if err := s.swarm.do(func() { b.lsn = lsn }); err != nil {
		return at, err
	}
	at = time.Now()
	s.log.Info("killing the server")
	return at, s.process.restart(ctx, s.options.Server)
}

// writeUntil makes comebackPerSecond commits a second until stop is closed, and notes
// the last of each appointment. The function that it gives waits for the end, and says how
// many it has made a second.
func (s *stage) writeUntil(ctx context.Context, stop <-chan struct{}, last []int) (wait func() (perSecond int, err error)) {
	var over atomic.Bool
	var perSecond int
	ended := make(chan error, 1)
	go func() {
		const most = 120 * comebackPerSecond
		var made atomic.Int64
		took, err := s.writeWhile(ctx, &over, most, comebackPerSecond, comebackWriters, func(k int) int {
			made.Store(max(made.Load(), int64(k)))
			return k * 7919 % s.data.rows
		}, last)
		perSecond = rate(int(made.Load()), took)
		ended <- err
	}()
	go func() {
		<-stop
		over.Store(true)
	}()
	return func() (int, error) { err := <-ended; return perSecond, err }
}
