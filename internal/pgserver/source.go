package pgserver

import (
	"context"
	"fmt"
	"os"
)

// startSource tries the sources in turn.
func startSource(ctx context.Context, opts Options) (*Server, error) {
	bin, localErr := findBinaries(ctx, os.Getenv(EnvBin), os.Getenv("PATH"), places())
	if localErr == nil {
		return startLocal(ctx, opts, bin)
	}
	if ctx.Err() != nil { // which made the search fail: the others are not to begin
		return nil, fmt.Errorf("start PostgreSQL: %w", context.Cause(ctx))
	}
	if os.Getenv(EnvBin) != "" {
		return nil, localErr // an explicit choice is not passed over
	}
	log := opts.log()
	log.Info("no PostgreSQL binaries found, trying Docker")
	s, dockerErr := startDocker(ctx, opts)
	if dockerErr == nil {
		return s, nil
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", context.Cause(ctx))
	}
	log.Info("no Docker engine, trying to download PostgreSQL", "docker", dockerErr)
	bin, downloadErr := download(ctx, log)
	if downloadErr == nil {
		return startLocal(ctx, opts, bin)
	}
	return nil, fmt.Errorf("no PostgreSQL to run: install PostgreSQL 14 or newer"+
		" (Debian, Ubuntu: apt-get install postgresql; macOS: brew install postgresql@17),"+
		" or point %s at its binaries. Tried:\n- binaries on this machine: %w\n- Docker: %w\n- download: %w",
		EnvBin, localErr, dockerErr, downloadErr)
}

// startLocal runs a cluster from binaries on this machine.
func startLocal(ctx context.Context, opts Options, bin binaries) (*Server, error) {
	c, err := newCluster(ctx, opts, bin)
	if err != nil {
		return nil, err
	}
	return &Server{backend: c, local: c}, nil
}
