package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/walwire/walwire/internal/app"
	"github.com/walwire/walwire/mapping"
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

The file is read again when it changes, and at SIGHUP: tables, rules, rooms, events, users, keys and origins are put in force while the server runs, and no client is disconnected. A file that is wrong changes nothing; /readyz and the log say what is.

The file can use other variables as well: ${NAME}, or ${NAME:-default}.

WebSocket at /v1/stream, health at /healthz, readiness at /readyz; on the admin address, by default 127.0.0.1:8081, Prometheus metrics at /metrics and profiles at /debug/pprof/.`
}

// Run serves until ctx ends.
func (s *serveCmd) Run(ctx context.Context, c *console) error {
	content, _ := os.ReadFile(s.Config) // the error is load's
	cfg, err := s.configuration()
	if err != nil {
		return err
	}
	server, err := app.New(cfg, c.log)
	if err != nil {
		return err
	}
	server.FollowFile(s.Config, content, s.configuration)
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	go func() {
		for {
			select {
			case <-hangup:
				server.ReadConfig()
			case <-ctx.Done():
				return
			}
		}
	}()
	return server.Run(ctx)
}

// configuration is the file's, with what the flags say.
func (s *serveCmd) configuration() (*mapping.Config, error) {
	cfg, err := s.load()
	if err != nil {
		return nil, err
	}
	return cfg, listenOn(cfg, s.Listen, s.AdminListen)
}
