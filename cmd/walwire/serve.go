package main

import (
	"context"

	"github.com/walwire/walwire/internal/app"
)

// serveCmd is `walwire serve`.
type serveCmd struct {
	configFlags
	Listen      string `help:"Address to listen on, instead of the file's listen." placeholder:"HOST:PORT" env:"WALWIRE_LISTEN"`
	AdminListen string `help:"Address for operators, instead of the file's admin.listen; off for none." placeholder:"HOST:PORT" env:"WALWIRE_ADMIN_LISTEN"`
}

// Help explains the command.
func (serveCmd) Help() string {
	return `Serves the live queries that the configuration allows, until SIGINT or SIGTERM. Clients are then told to reconnect, and the replication slot keeps its place for the next start.

It runs as a role with LOGIN, REPLICATION and SELECT on the mapped tables. "walwire check" says what a database lacks for that.

  export WALWIRE_DATABASE_URL=postgres://walwire:...@db.internal/app
  export WALWIRE_TOKEN_SECRET=...
  walwire serve --config walwire.yaml

The file can use other variables as well: ${NAME}, or ${NAME:-default}.

WebSocket at /v1/stream, health at /healthz, readiness at /readyz; on the admin address, by default 127.0.0.1:8081, Prometheus metrics at /metrics and profiles at /debug/pprof/.`
}

// Run serves until ctx ends.
func (s *serveCmd) Run(ctx context.Context, c *console) error {
	cfg, err := s.load()
	if err != nil {
		return err
	}
	if err := listenOn(cfg, s.Listen, s.AdminListen); err != nil {
		return err
	}
	server, err := app.New(cfg, c.log)
	if err != nil {
		return err
	}
	return server.Run(ctx)
}
