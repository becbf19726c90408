package bench

import (
	"context"
	"fmt"
	"time"
)

// stall is how long no change may arrive before the rest is taken for lost.
const stall = 60 * time.Second

// unsteady is the part by which pg_recvlogical's two times may differ on a
// machine that is at rest: a sixth.
const unsteady = 6

// referenceSlots are read by pg_recvlogical, one before and one after walwire.
var referenceSlots = [...]string{"bench_before", "bench_after"}

// ingest is rows 1 and 9: see the package's documentation for what is compared.
type ingest struct {
	*stage
	people   *audience
	checkers []*checker
	received int
	expected int
	last     time.Time
	done     chan struct{} // closed when all have been received
	commits  int           // that the load consists of
	// load writes the WAL: every appointment is changed once.
	load func(ctx context.Context) error
}

const (
	ingestRows    = 1_000_000
	ingestQueries = 10_000
	hugeQueries   = 1_000
	hugeHours     = 50
	perCompany    = 100
)

// measureIngest is row 1.
func measureIngest(ctx context.Context, o Options) (string, error) {
	queries := o.scaled(ingestQueries/perCompany) * perCompany
	d := dataset{rows: queries * ingestRows / ingestQueries, queries: queries, perCompany: perCompany}
	return onStage(ctx, o, d, func(s *stage) (string, error) {
		i := &ingest{stage: s, commits: d.blocks(), load: s.rewrite}
		result, err := i.measure(ctx)
		if err != nil {
			return "", err
		}
		return result.line(d), result.exact(d)
	})
}

// measureHuge is row 9.
func measureHuge(ctx context.Context, o Options) (string, error) {
	queries := o.scaled(hugeQueries/perCompany) * perCompany
	d := dataset{rows: queries * ingestRows / hugeQueries, queries: queries, perCompany: perCompany, hours: hugeHours}
	return onStage(ctx, o, d, func(s *stage) (string, error) {
		i := &ingest{stage: s, commits: 1, load: func(ctx context.Context) error {
			_, err := s.cluster.conn.Exec(ctx, "UPDATE appointments SET notes = $1, updated_at = now()", changedNotes)
			return err
		}}
		result, err := i.measure(ctx)
		if err != nil {
			return "", err
		}
		return result.hugeLine(d), result.exact(d)
	})
}

// measure brings everything to the point where the first change can be written, and goes on.
func (i *ingest) measure(ctx context.Context) (r ingestResult, err error) {
	if err := i.serve(ctx); err != nil {
		return r, err
	}
	i.done, i.expected = make(chan struct{}), i.data.shown()
	i.checkers = make([]*checker, i.data.queries)
	for q := range i.checkers {
		i.checkers[q] = newChecker(i.data, q)
	}
	i.people = &audience{
		company: i.data.companyOf,
		queries: func(n int) []string { return []string{i.data.query(n)} },
		change: func(c *client, frame []byte) {
			fresh := i.checkers[c.number].change(frame)
			if i.received += fresh; fresh > 0 && i.received == i.expected {
				i.last = time.Now()
				close(i.done)
			}
		},
	}
	if err := i.gather(ctx, i.data.queries, i.people); err != nil {
		return r, err
	}
	if i.people.rows != i.expected {
		return r, fmt.Errorf("the live queries show %d rows at first, not %d", i.people.rows, i.expected)
	}
	return i.run(ctx)
}

// run writes the WAL while nobody reads it, and has it read three times.
func (i *ingest) run(ctx context.Context) (r ingestResult, err error) {
	hold, err := takeSlot(ctx, i.cluster)
	if err != nil {
		return r, err
	}
	defer hold.release()
	for _, slot := range referenceSlots {
		if err := makeSlot(ctx, i.cluster.conn, slot); err != nil {
			return r, err
		}
	}
	end, err := i.writeAll(ctx)
	if err != nil {
		return r, err
	}
	before, err := i.reference(ctx, referenceSlots[0], end)
	if err != nil {
		return r, err
	}
	if err := i.server(ctx, hold, end, &r); err != nil {
		return r, err
	}
	after, err := i.reference(ctx, referenceSlots[1], end)
	if err != nil {
		return r, err
	}
	r.reference = min(before, after)
	if worse := max(before, after); worse > r.reference+r.reference/unsteady {
		i.log.Warn("pg_recvlogical's two times differ much: the machine has other work, so the ratio says little", "better", r.reference, "worse", worse)
	}
	return r, i.sameWork(ctx)
}

// writeAll makes the WAL and gives its end.
func (i *ingest) writeAll(ctx context.Context) (end string, err error) {
	i.log.Info("writing the WAL", "commits", i.commits, "rows", i.data.rows)
	var start string
	if err := i.cluster.conn.QueryRow(ctx, "SELECT pg_current_wal_lsn()::text").Scan(&start); err != nil {
		return "", fmt.Errorf("read the WAL's position: %w", err)
	}
	began := time.Now()
	if err := i.load(ctx); err != nil {
		return "", err
	}
	took := time.Since(began)
	var size int64
	err = i.cluster.conn.QueryRow(ctx, "SELECT lsn::text, lsn - $1::pg_lsn FROM pg_current_wal_flush_lsn() lsn", start).Scan(&end, &size)
	if err != nil {
		return "", fmt.Errorf("read the WAL's position: %w", err)
	}
	i.log.Info("wrote the WAL", "took", took.Round(time.Millisecond), "rows_per_second", rate(i.data.rows, took), "megabytes", size>>20)
	// What was changed goes to disk now, not while somebody is measured.
	if _, err := i.cluster.conn.Exec(ctx, "CHECKPOINT"); err != nil {
		return "", fmt.Errorf("write a checkpoint: %w", err)
	}
	return end, nil
}

// reference measures pg_recvlogical.
func (i *ingest) reference(ctx context.Context, slot, end string) (time.Duration, error) {
	took, err := recvlogical(ctx, i.cluster, slot, end)
	if err != nil {
		return 0, err
	}
	i.log.Info("pg_recvlogical has read the WAL", "slot", slot, "took", took.Round(time.Millisecond), "rows_per_second", rate(i.data.rows, took))
	return took, nil
}

// server lets walwire read, and measures it from the beginning of its
// walsender's connection to the moment the last subscriber has its last change.
func (i *ingest) server(ctx context.Context, hold *holder, end string, r *ingestResult) error {
	if err := resetDecoded(ctx, i.cluster.conn, serverSlot); err != nil {
		return err
	}
	idle, err := i.process.order(ctx, orderRest)
	if err != nil {
		return err
	}
	var start time.Time
	var complete bool
	cost, err := i.measured(ctx, "", func() (err error) {
		i.log.Info("leaving the slot to the server, which takes it at its next attempt")
		hold.release()
		if start, err = readerStart(ctx, i.cluster.conn, serverSlot, hold.pid(), nil); err != nil {
			return err
		}
		complete, err = i.await(ctx)
		return err
	})
	if err != nil {
		return err
	}
	if complete {
		r.elapsed = i.last.Sub(start)
		if err := i.people.settle(ctx, i.swarm, end); err != nil {
			return err
		}
	}
	for n, c := range i.swarm.clients {
		r.delivery.add(i.checkers[n], c)
	}
	i.endClients()
	r.cpu, r.memory = cost.server, cost.peak-idle.Usage.Resident
	i.log.Info("walwire has delivered the WAL", append(cost.each(r.delivery.received), "took", r.elapsed.Round(time.Millisecond),
		"rows_per_second", rate(r.delivery.received, r.elapsed), "frames", r.delivery.frames, "idle_megabytes", idle.Usage.Resident>>20,
		"peak_megabytes", cost.peak>>20, "selects", cost.snapshots)...)
	return nil
}

// await returns when every change has come; complete is false when none came for
// so long that the rest is lost.
func (i *ingest) await(ctx context.Context) (complete bool, err error) {
	tick := time.NewTicker(stall)
	defer tick.Stop()
	for last := -1; ; {
		select {
		case <-i.done:
			return true, nil
		case <-ctx.Done():
			return false, ctx.Err()
		case <-i.swarm.ended:
			return false, i.swarm.failure()
		case <-tick.C:
			now := 0
			if err := i.swarm.do(func() { now = i.received }); err != nil {
				return false, err
			}
			if now == last {
				return false, nil
			}
			last = now
		}
	}
}

// sameWork checks that PostgreSQL has decoded all commits for every reader.
func (i *ingest) sameWork(ctx context.Context) error {
	for _, slot := range append(referenceSlots[:], serverSlot) {
		n, err := decoded(ctx, i.cluster.conn, slot)
		if err != nil {
			return err
		}
		i.log.Info("PostgreSQL has decoded", "slot", slot, "transactions", n)
		if n < int64(i.commits) {
			return fmt.Errorf("slot %s: PostgreSQL has decoded %d transactions of %d: the readers did not read the same", slot, n, i.commits)
		}
	}
	return nil
}
