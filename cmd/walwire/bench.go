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

Row 1, ingest: row changes a second through walwire to its subscribers, beside pg_recvlogical writing to /dev/null. While nobody reads, 4 writers update every appointment once, 100 rows a commit. Then pg_recvlogical, walwire and pg_recvlogical again read this same WAL, each alone, through the same plugin and options. Each is timed from the beginning of its connection to PostgreSQL: pg_recvlogical until it ends at the end of that WAL, walwire until the last of its WebSocket subscribers has its last change. Of pg_recvlogical's two times the better one counts. Server and subscribers are processes of their own; walwire_cpu is the server's.

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
	server.Tune(app.Tuning{Unmerged: b.Unmerged})
	return bench.Serve(ctx, server, os.Stdin, c.out)
}

// benchRawCmd is the raw TCP server that fan-out is compared with.
type benchRawCmd struct{}

// Run serves until stdin ends.
func (benchRawCmd) Run(c *console) error { return bench.ServeRaw(os.Stdin, c.out) }
