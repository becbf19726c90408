package faults_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/walwire/walwire/internal/app"
	"github.com/walwire/walwire/internal/pgtest"
	"github.com/walwire/walwire/mapping"
)

// envServe makes the test binary a server of the configuration that it names.
const envServe = "WALWIRE_FAULTS_SERVE"

func TestMain(m *testing.M) {
	if config := os.Getenv(envServe); config != "" {
		if err := serve(config); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	pgtest.Main(m)
}

// serve is what `walwire serve` does, until the process is killed or told to stop.
func serve(config string) error {
	content, _ := os.ReadFile(config) // the error is Load's
	load := func() (*mapping.Config, error) {
		cfg, err := mapping.Load(config, os.LookupEnv)
		if err == nil {
			cfg.Admin.Listen = os.Getenv("WALWIRE_ADMIN_LISTEN")
		}
		return cfg, err
	}
	cfg, err := load()
	if err != nil {
		return err
	}
	a, err := app.New(cfg, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	a.FollowFile(config, content, load)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return a.Run(ctx)
}
