package bench

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"testing"

	"github.com/walwire/walwire/internal/app"
	"github.com/walwire/walwire/mapping"
)

// serverArgument makes this test binary the server process of a run.
const serverArgument = "bench-server"

// rawArgument makes it the raw TCP server.
const rawArgument = "bench-raw"

func TestMain(m *testing.M) {
	if len(os.Args) >= 4 && os.Args[1] == serverArgument {
		if err := serve(os.Args[len(os.Args)-1], slices.Contains(os.Args, "--unmerged")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) == 2 && os.Args[1] == rawArgument {
		if err := ServeRaw(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	m.Run()
}

func serve(config string, unmerged bool) error {
	cfg, err := mapping.Load(config, os.LookupEnv)
	if err != nil {
		return err
	}
	server, err := app.New(cfg, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	server.Tune(Tuning(unmerged))
	return Serve(context.Background(), server, os.Stdin, os.Stdout)
}
