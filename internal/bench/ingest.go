package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"
)

// stall is how long no change may arrive before the rest is taken for lost.
const stall = 60 * time.Second

// unsteady is the part by which pg_recvlogical's two times may differ on a
// machine that is at rest: a sixth.
const unsteady = 6

// referenceSlots are read by pg_recvlogical, one before and one after walwire.
var referenceSlots = [...]string{"bench_before", "bench_after"}

// ingest is row 1: see the package's documentation for what is compared.
type ingest struct {
	data    dataset
	log     *slog.Logger
	cluster *cluster
	process *process
	people  *audience
	profile profiler
}

func measureIngest(ctx context.Context, o Options) (line string, err error) {
	dir, err := os.MkdirTemp("", "walwire-bench-")
	if err != nil {
		return "", fmt.Errorf("make a directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	i := &ingest{data: dataset{rows: o.Rows, queries: o.Queries}, log: o.Log}
	defer func() { err = errors.Join(err, i.close(ctx)) }()
	if err := i.prepare(ctx, o, dir); err != nil {
		return "", err
	}
	result, err := i.run(ctx)
	if err != nil {
		return "", err
	}
	return result.line(i.data), result.exact(i.data)
}

// prepare brings everything to the point where the first change can be written.
func (i *ingest) prepare(ctx context.Context, o Options, dir string) (err error) {
	i.log.Info("loading appointments", "rows", i.data.rows, "companies", i.data.companies())
	if i.cluster, err = startCluster(ctx, i.data, i.log); err != nil {
		return err
	}
	if err := makeSlot(ctx, i.cluster.conn, serverSlot); err != nil {
		return err
	}
	i.log.Info("starting the server and its subscribers", "queries", i.data.queries)
	if i.process, err = startProcess(ctx, o.Server, i.cluster, dir); err != nil {
		return err
	}
	i.profile = profiler{process: i.process, dir: o.ProfileDir}
	if i.people, err = gather(ctx, i.data, i.process); err != nil {
		return err
	}
	return nil
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
	end, err := i.write(ctx)
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

// write makes the WAL and gives its end.
func (i *ingest) write(ctx context.Context) (end string, err error) {
	i.log.Info("writing the WAL", "commits", i.data.commits(), "rows_each", rowsPerCommit)
	var start string
	if err := i.cluster.conn.QueryRow(ctx, "SELECT pg_current_wal_lsn()::text").Scan(&start); err != nil {
		return "", fmt.Errorf("read the WAL's position: %w", err)
	}
	began := time.Now()
	if err := i.data.write(ctx, i.cluster.URL()); err != nil {
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
	before, err := i.used(ctx)
	if err != nil {
		return err
	}
	if err := i.profile.start(ctx); err != nil {
		return err
	}
	i.log.Info("leaving the slot to the server, which takes it at its next attempt")
	hold.release()
	start, err := readerStart(ctx, i.cluster.conn, serverSlot, hold.pid())
	if err != nil {
		return err
	}
	complete, err := i.people.await(ctx, stall)
	if err != nil {
		return err
	}
	after, err := i.used(ctx)
	if err != nil {
		return err
	}
	if err := i.profile.stop(ctx); err != nil {
		return err
	}
	if complete {
		r.elapsed = i.people.tally.last.Sub(start)
		if err := i.people.settle(ctx, end); err != nil {
			return err
		}
	}
	if err := i.people.close(); err != nil {
		return err
	}
	r.delivery = i.people.delivery()
	r.cpu = after.server.CPU - before.server.CPU
	i.log.Info("walwire has delivered the WAL", "took", r.elapsed.Round(time.Millisecond), "rows_per_second", rate(r.delivery.received, r.elapsed),
		"frames", r.delivery.frames, "server_cpu", r.cpu.Round(time.Millisecond), "subscribers_cpu", (after.own.CPU - before.own.CPU).Round(time.Millisecond),
		"server_peak_megabytes", after.server.Peak>>20)
	return nil
}

// processes is what the server and this process, with the subscribers, have used.
type processes struct{ server, own usage }

func (i *ingest) used(ctx context.Context) (p processes, err error) {
	a, err := i.process.order(ctx, "usage")
	if err != nil {
		return p, err
	}
	p.server = a.Usage
	p.own, err = ownUsage()
	return p, err
}

// sameWork checks that PostgreSQL has decoded all commits for every reader.
func (i *ingest) sameWork(ctx context.Context) error {
	for _, slot := range append(referenceSlots[:], serverSlot) {
		n, err := decoded(ctx, i.cluster.conn, slot)
		if err != nil {
			return err
		}
		i.log.Info("PostgreSQL has decoded", "slot", slot, "transactions", n)
		if n < int64(i.data.commits()) {
			return fmt.Errorf("slot %s: PostgreSQL has decoded %d transactions of %d: the readers did not read the same", slot, n, i.data.commits())
		}
	}
	return nil
}

// close ends all that was started, the last first.
func (i *ingest) close(ctx context.Context) error {
	if i.people != nil {
		_ = i.people.close() // its error was reported where it mattered
	}
	if i.process != nil {
		i.process.close(i.log)
	}
	if i.cluster != nil {
		return i.cluster.close(ctx)
	}
	return nil
}
