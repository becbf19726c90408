package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"time"
)

// spent is what a measured part has cost.
type spent struct {
	server, clients time.Duration // of CPU
	peak            int64         // of the server's memory, since it last rested
	snapshots       int
}

// each is the CPU for each of n, in microseconds, to be logged.
func (s spent) each(n int) []any {
	return []any{"server_cpu_us", microseconds(s.server, n), "clients_cpu_us", microseconds(s.clients, n)}
}

// microseconds are of CPU for each of n.
func microseconds(d time.Duration, n int) float64 {
	return float64(d.Microseconds()) / float64(max(n, 1))
}

// measured runs the part that is measured, and profiles it where that is asked for, into
// files whose names begin with the row's number and name.
func (s *stage) measured(ctx context.Context, name string, run func() error) (of spent, err error) {
	p := s.profiler(name)
	if err := p.start(ctx); err != nil {
		return of, err
	}
	before, err := s.process.order(ctx, orderUsage)
	if err != nil {
		return of, err
	}
	own, err := ownUsage()
	if err != nil {
		return of, err
	}
	if err := run(); err != nil {
		return of, err
	}
	after, err := s.process.order(ctx, orderUsage)
	if err != nil {
		return of, err
	}
	ownAfter, err := ownUsage()
	if err != nil {
		return of, err
	}
	return spent{
		server: after.Usage.CPU - before.Usage.CPU, clients: ownAfter.CPU - own.CPU,
		peak: after.Usage.Peak, snapshots: after.Snapshots - before.Snapshots,
	}, p.stop(ctx)
}

// profiler takes profiles of the measured part into a directory, or none where
// that is "": of the server process, and of this one, in which the subscribers
// are.
type profiler struct {
	process *process
	dir     string
	name    string // of the files, before what they are
	own     bytes.Buffer
}

func (s *stage) profiler(name string) profiler {
	return profiler{process: s.process, dir: s.options.ProfileDir, name: fmt.Sprintf("%d-%s", s.options.row, name)}
}

// start begins the measured part.
func (p *profiler) start(ctx context.Context) error {
	if p.dir == "" {
		return nil
	}
	a, err := p.process.order(ctx, orderProfile)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(&p.own); err != nil {
		return fmt.Errorf("profile the subscribers: %w", err)
	}
	return p.write("allocs-before.pprof", a.Allocs)
}

// stop ends the measured part and writes the files.
func (p *profiler) stop(ctx context.Context) error {
	if p.dir == "" {
		return nil
	}
	pprof.StopCPUProfile()
	a, err := p.process.order(ctx, orderProfiled)
	if err != nil {
		return err
	}
	return errors.Join(p.write("cpu.pprof", a.CPU), p.write("allocs.pprof", a.Allocs), p.write("subscribers-cpu.pprof", p.own.Bytes()))
}

// heap writes what the server's memory is made of.
func (p *profiler) heap(ctx context.Context) error {
	if p.dir == "" {
		return nil
	}
	a, err := p.process.order(ctx, orderProfiled)
	if err != nil {
		return err
	}
	return p.write("heap.pprof", a.Allocs)
}

func (p *profiler) write(name string, profile []byte) error {
	if err := os.WriteFile(filepath.Join(p.dir, p.name+name), profile, 0o644); err != nil {
		return fmt.Errorf("write a profile: %w", err)
	}
	return nil
}
