package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

const (
	openingClients = 100
	openingEach    = 100 // live queries of a client
	openingRows    = 20  // of a live query
	// openingReaders is how many connections the reference configuration reads
	// snapshots with, so what pgbench gets.
	openingReaders = 4
)

// opening is what all clients of row 7 ask for at once.
type opening struct {
	expected, shown, rows int
	last                  time.Time
	done                  chan struct{}
}

func (o *opening) take(frame []byte) {
	o.shown += bytes.Count(frame, []byte(snapshotNext))
	o.rows += rowsOf(frame)
	if o.shown == o.expected && !bytes.HasSuffix(frame, []byte(continued)) && o.last.IsZero() {
		o.last = time.Now()
		close(o.done)
	}
}

// measureOpening is row 7.
func measureOpening(ctx context.Context, o Options) (string, error) {
	clients := o.scaled(openingClients)
	total := clients * openingEach
	d := dataset{rows: total * openingRows, queries: total, perCompany: openingEach}
	return onStage(ctx, o, d, func(s *stage) (string, error) {
		reference, err := s.pgbench(ctx, total, "simple")
		if err != nil {
			return "", err
		}
		distinct, cost, err := s.open(ctx, "distinct-", clients, func(client, n int) string { return d.query(client*openingEach + n) },
			func(client int) string { return d.companyOf(client * openingEach) })
		if err != nil {
			return "", err
		}
		again, err := s.pgbench(ctx, total, "simple")
		if err != nil {
			return "", err
		}
		prepared, err := s.pgbench(ctx, total, "prepared")
		if err != nil {
			return "", err
		}
		same, one, err := s.open(ctx, "identical-", clients, func(int, int) string { return d.query(0) }, func(int) string { return d.companyOf(0) })
		if err != nil {
			return "", err
		}
		reference = max(reference, again)
		return fmt.Sprintf("queries=%d walwire=%d queries/s selects=%d pgbench=%d queries/s pgbench_prepared=%d queries/s identical=%d queries/s identical_selects=%d walwire_cpu=%.0f us/query of_prepared=%.2f ratio %.2f",
			total, distinct, cost.snapshots, reference, prepared, same, one.snapshots, microseconds(cost.server, total), ratio(distinct, prepared), ratio(distinct, reference)), nil
	})
}

// open has clients ask for openingEach live queries each, and gives how many were
// shown a second and what that cost.
func (s *stage) open(ctx context.Context, name string, clients int, query func(client, n int) string, company func(client int) string) (perSecond int, cost spent, err error) {
	if err := s.serve(ctx); err != nil {
		return 0, cost, err
	}
	o := &opening{expected: clients * openingEach, done: make(chan struct{})}
	a := &audience{company: company, queries: func(int) []string { return nil },
		change: func(_ *client, frame []byte) { o.take(frame) }}
	if err := s.gather(ctx, clients, a); err != nil {
		return 0, cost, err
	}
	requests := make([][]byte, clients)
	for c := range requests {
		for n := range openingEach {
			requests[c] = appendMasked(requests[c], opText, subscribeFrame(n+1, query(c, n), ""))
		}
	}
	var start time.Time
	cost, err = s.measured(ctx, name, func() error {
		if err := s.swarm.ask(func() error {
			start = time.Now()
			for c, request := range requests {
				if err := s.swarm.write(s.swarm.clients[c], request); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
		return s.swarm.until(ctx, o.done, func() error { return fmt.Errorf("of %d live queries %d were shown", o.expected, o.shown) })
	})
	if err != nil {
		return 0, cost, err
	}
	took := o.last.Sub(start)
	s.log.Info("the live queries are open", append(cost.each(o.expected), "took", took.Round(time.Millisecond))...)
	if want := o.expected * openingRows; o.rows != want {
		return 0, cost, fmt.Errorf("the live queries show %d rows, not %d", o.rows, want)
	}
	return rate(o.expected, took), cost, nil
}

var pgbenchRate = regexp.MustCompile(`tps = ([0-9.]+) \(without initial connection time\)`)

// pgbench runs one SELECT for each live query, as many at a time as walwire does.
func (s *stage) pgbench(ctx context.Context, total int, protocol string) (perSecond int, err error) {
	each := total / openingReaders
	script := fmt.Sprintf(`\set n :n + 1
SELECT * FROM appointments WHERE company_id = ('%s' || lpad(to_hex(:n::int / %d), 12, '0'))::uuid AND staff_id = ('%s' || lpad(to_hex(:n::int), 12, '0'))::uuid;
`, companyPrefix, s.data.perCompany, staffPrefix)
	script = fmt.Sprintf("\\if :n = -1\n\\set n :client_id * %d - 1\n\\endif\n", each) + script
	file := filepath.Join(s.dir, "opening.sql")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		return 0, err
	}
	cmd, err := s.cluster.program(ctx, "pgbench", "--no-vacuum", "--protocol", protocol, "--client", fmt.Sprint(openingReaders), "--jobs", "2", "--transactions", fmt.Sprint(each),
		"--define", "n=-1", "--file", file)
	if err != nil {
		return 0, err
	}
	out, err := output(cmd)
	if err != nil {
		return 0, err
	}
	match := pgbenchRate.FindSubmatch(out)
	if match == nil {
		return 0, fmt.Errorf("pgbench does not say how fast it was: %s", out)
	}
	tps, err := strconv.ParseFloat(string(match[1]), 64)
	if err != nil {
		return 0, err
	}
	s.log.Info("pgbench has read the same rows", "protocol", protocol, "queries_per_second", int(tps))
	return int(tps), nil
}
