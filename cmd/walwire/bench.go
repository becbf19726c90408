package main

import (
	"context"
	"fmt"
	"os"

	"github.com/walwire/walwire/internal/app"
	"github.com/walwire/walwire/internal/bench"
)

// benchCmd is `walwire bench`.
type benchCmd struct {
	Only    []int   `help:"Measure these rows of the table only." placeholder:"N"`
	Scale   float64 `help:"Do less, for a short run to see that it works: from 0.01 to 1." default:"1"`
	Profile string  `help:"Write CPU and allocation profiles of the server, over the measured part, to this directory." placeholder:"DIR" type:"path"`
	Peers   string  `help:"Where what walwire is compared with is installed: bench/ of a clone." default:"bench" placeholder:"DIR" type:"path"`
}

// Help explains the command.
func (benchCmd) Help() string {
	return `Measures walwire on this machine, beside what it is to be compared with, in the same run. It uses a private PostgreSQL and removes everything at its end. One line on stdout for each row of the table; the ratio comes last.

  walwire bench
  walwire bench --only 1 --scale 0.1 --profile /tmp/profile

  1   ingest: row changes a second to subscribers, beside pg_recvlogical reading the same WAL
  2   fan-out: one change to 15,000 WebSockets, beside raw TCP writes and Socket.IO
  3   bursts: 100 commits a second to 5,000 subscribers, beside the same without merging
  4   latency from commit to client, beside that to pg_recvlogical
  5   matching: a change among 1,000 to 1,000,000 live queries
  6   memory of an idle connection, beside Socket.IO
  7   opening 10,000 live queries, beside pgbench with a SELECT for each
  8   15,000 clients back at once after the server was killed
  9   a transaction of 1,000,000 rows, beside pg_recvlogical
  10  a snapshot of 100,000 rows, beside psql's \copy

Server, subscribers and peers are processes of their own. docs/performance.md says how each row is measured, and what came out.

It needs PostgreSQL's programs on this machine, as "walwire dev" does.`
}

// Run measures.
func (b *benchCmd) Run(ctx context.Context, c *console) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	return bench.Run(ctx, bench.Options{
		Only: b.Only, Scale: b.Scale, ProfileDir: b.Profile, Peers: b.Peers,
		Server: []string{self, "bench-server"}, Raw: []string{self, "bench-raw"}, Out: c.out, Log: c.log,
	})
}

// benchServerCmd is the server process of `walwire bench`: `walwire serve`, with
// the bench giving orders on stdin.
type benchServerCmd struct {
	configFlags
	Unmerged bool `help:"Tell every commit in a frame of its own."`
}

// Run serves until ctx or stdin ends.
func (b *benchServerCmd) Run(ctx context.Context, c *console) error {
	cfg, err := b.load()
	if err != nil {
		return err
	}
	server, err := app.New(cfg, c.log)
	if err != nil {
		return err
	}
	server.Tune(bench.Tuning(b.Unmerged))
	return bench.Serve(ctx, server, os.Stdin, c.out)
}

// benchRawCmd is the raw TCP server that fan-out is compared with.
type benchRawCmd struct{}

// Run serves until stdin ends.
func (benchRawCmd) Run(c *console) error { return bench.ServeRaw(os.Stdin, c.out) }
