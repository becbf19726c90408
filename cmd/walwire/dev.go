package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/walwire/walwire/internal/app"
	"github.com/walwire/walwire/internal/board"
	"github.com/walwire/walwire/internal/demo"
	"github.com/walwire/walwire/mapping"
)

// devStopTime bounds the end of the private PostgreSQL.
const devStopTime = 30 * time.Second

// devCmd is `walwire dev`.
type devCmd struct {
	Listen      string   `help:"Address to listen on; port 0 takes a free one." default:"127.0.0.1:8080" env:"WALWIRE_LISTEN"`
	AdminListen string   `help:"Address for operators: metrics and profiles; off for none. Default: 127.0.0.1:8081, or a free port where --listen takes one." placeholder:"HOST:PORT" env:"WALWIRE_ADMIN_LISTEN"`
	ReadyFile   string   `help:"Once ready, write the addresses and the tokens to this file, as JSON. It is removed at the end." placeholder:"FILE"`
	NoSimulate  bool     `help:"Leave the demo data alone, rather than keep two businesses busy."`
	Rate        float64  `help:"How many changes a second the simulation makes, about." default:"2"`
	Origin      []string `help:"A web page's origin that may connect too, as in http://127.0.0.1:5173. Repeat for more." placeholder:"ORIGIN"`
	Data        string   `help:"Keep the database in this directory, for the next time. Default: a temporary one." placeholder:"DIR" type:"path"`
}

// Help explains the command.
func (devCmd) Help() string {
	return `Runs everything on this machine, for you to try: a private PostgreSQL on a free port of 127.0.0.1, the reference schema, demo data of two companies, and a server with the configuration of walwire.example.yaml. It then prints what to do next: a psql line that may write, a tail line, and tokens.

  walwire dev
  walwire dev --listen 127.0.0.1:0 --ready-file ready.json --no-simulate

The ready file holds {"url", "ws", "admin_url", "database_url", "tokens": {"owner", "receptionist", "staff", "client", "other_company_owner"}}.

Ctrl-C stops all of it and removes the database, unless --data keeps it. PostgreSQL's programs are looked for in WALWIRE_PG_BIN, then in PATH and the usual places.`
}

// Validate is asked by the command line's parser.
func (d *devCmd) Validate() error {
	if d.Rate <= 0 {
		return fmt.Errorf("--rate is %g: give more than 0, or --no-simulate", d.Rate)
	}
	return nil
}

// Run starts everything, and stops it when ctx ends.
func (d *devCmd) Run(ctx context.Context, c *console) (err error) {
	ready := readyFile(d.ReadyFile)
	if err := errors.Join(ready.prepare(), probe("--listen", d.Listen), probe("--admin-listen", d.adminListen())); err != nil {
		return err
	}
	base, err := startDevBase(ctx, d.Data, c.log)
	if err != nil {
		return unlessEnded(ctx, err)
	}
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), devStopTime)
		defer cancel()
		err = errors.Join(err, ready.remove(), base.stop(stop))
	}()
	cfg, err := base.config(d.Listen, d.adminListen())
	if err != nil {
		return err
	}
	cfg.Origins = append(cfg.Origins, d.Origin...)
	server, err := app.New(cfg, c.log)
	if err != nil {
		return err
	}
	pool, err := pgxpool.New(ctx, base.url())
	if err != nil {
		return err
	}
	defer pool.Close()
	server.Site(board.Handler(pool, func() ([]board.Person, error) { return base.people(cfg) }))
	group, inner := errgroup.WithContext(ctx)
	group.Go(func() error { return server.Run(inner) })
	group.Go(func() error {
		select {
		case <-inner.Done():
			return nil
		case <-server.Ready():
		}
		facts, err := base.facts(cfg, server.URL(), server.AdminURL())
		if err == nil {
			err = errors.Join(welcome{facts, base.psql()}.print(c.out), ready.write(facts))
		}
		if err == nil && !d.NoSimulate {
			simulate(inner, base.url(), d.Rate, c.log)
		}
		return err
	})
	return group.Wait()
}

// simulate keeps the demo busy until ctx ends. A schema that has been changed
// ends it as well, and nothing else.
func simulate(ctx context.Context, url string, rate float64, log *slog.Logger) {
	if err := demo.Simulate(ctx, url, rate); err != nil {
		log.Warn("the simulation has ended", "error", err)
	}
}

// adminListen is where operators look in. Who takes any free port may run several.
func (d *devCmd) adminListen() string {
	if d.AdminListen != "" {
		return d.AdminListen
	}
	if _, port, err := net.SplitHostPort(d.Listen); err == nil && port == "0" {
		return "127.0.0.1:0"
	}
	return "127.0.0.1:8081"
}

// probe fails where the address can't be listened on: better now than after a
// database was made for it.
func probe(flag, address string) error {
	if address == mapping.AdminOff {
		return nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("listen on %s: %w: choose another address with %s", address, err, flag)
	}
	return listener.Close()
}

// unlessEnded is err, but nil where it comes from the end of ctx.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
