package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
)

// profiler takes profiles of the measured part into a directory, or none where
// that is "": of the server process, and of this one, in which the subscribers
// are.
type profiler struct {
	process *process
	dir     string
	name    string // of the files, before what they are
	own     bytes.Buffer
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
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return fmt.Errorf("write a profile: %w", err)
	}
	if err := os.WriteFile(filepath.Join(p.dir, p.name+name), profile, 0o644); err != nil {
		return fmt.Errorf("write a profile: %w", err)
	}
	return nil
}
