package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"time"
)

const (
	snapshotRows  = 100_000
	snapshotTries = 3
)

// measureSnapshot is row 10.
func measureSnapshot(ctx context.Context, o Options) (string, error) {
	rows := o.scaled(snapshotRows)
	d := dataset{rows: rows * snapshotTries, queries: snapshotTries, perCompany: 1}
	return onStage(ctx, o, d, func(s *stage) (string, error) {
		if err := s.serve(ctx); err != nil {
			return "", err
		}
		var best, reference time.Duration
		var size int64
		for query := range snapshotTries {
			var own, theirs time.Duration
			var octets int64
			for turn := range 2 { // each is first at times
				var err error
				if turn == query%2 {
					theirs, err = s.copyOut(ctx, query)
				} else {
					own, octets, err = s.show(ctx, query, rows)
				}
				if err != nil {
					return "", err
				}
			}
			s.log.Info("read a snapshot", "walwire", own.Round(time.Millisecond), "psql", theirs.Round(time.Millisecond))
			if query == 0 || own < best {
				best = own
			}
			if query == 0 || theirs < reference {
				reference = theirs
			}
			size = octets
		}
		return fmt.Sprintf("rows=%d walwire=%d ms psql_copy=%d ms bytes/row=%d ratio %.2f", rows, best.Milliseconds(), reference.Milliseconds(),
			size/int64(rows), best.Seconds()/reference.Seconds()), nil
	})
}

// show opens a live query of all rows of a company and says how long it took until they were there.
func (s *stage) show(ctx context.Context, query, rows int) (took time.Duration, size int64, err error) {
	var start, last time.Time
	got, done := 0, make(chan struct{})
	a := &audience{
		company: func(int) string { return s.data.companyOf(query) },
		queries: func(int) []string { return nil },
		change: func(_ *client, frame []byte) {
			got += rowsOf(frame)
			size += int64(len(frame))
			if !bytes.HasSuffix(frame, []byte(continued)) && last.IsZero() {
				last = time.Now()
				close(done)
			}
		},
	}
	if err := s.gather(ctx, 1, a); err != nil {
		return 0, 0, err
	}
	_, err = s.measured(ctx, "", func() error {
		if err := s.swarm.ask(func() error {
			start = time.Now()
			return s.swarm.say(s.swarm.clients[0], subscribeFrame(1, s.data.query(query), ""))
		}); err != nil {
			return err
		}
		return s.swarm.until(ctx, done, func() error { return fmt.Errorf("of %d rows %d have come", rows, got) })
	})
	if err != nil {
		return 0, 0, err
	}
	if got != rows {
		return 0, 0, fmt.Errorf("the live query shows %d rows, not %d", got, rows)
	}
	return last.Sub(start), size, nil
}

var timing = regexp.MustCompile(`Time: ([0-9.]+) ms`)

// copyOut reads the same rows with psql, as JSON, and throws them away. Its own clock counts,
// which begins when it has started.
func (s *stage) copyOut(ctx context.Context, query int) (time.Duration, error) {
	sql := fmt.Sprintf(`\copy (SELECT row_to_json(a) FROM appointments a WHERE company_id = '%s' AND staff_id = '%s') TO '%s'`,
		s.data.companyOf(query), staffOf(query), os.DevNull)
	cmd, err := s.cluster.program(ctx, "psql", "--no-psqlrc", "--command", `\timing on`, "--command", sql)
	if err != nil {
		return 0, err
	}
	out, err := output(cmd)
	if err != nil {
		return 0, err
	}
	match := timing.FindSubmatch(out)
	if match == nil {
		return 0, fmt.Errorf("psql does not say how long it took: %s", out)
	}
	ms, err := strconv.ParseFloat(string(match[1]), 64)
	return time.Duration(ms * float64(time.Millisecond)), err
}
