package bench

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"

	"github.com/walwire/walwire/internal/app"
	"github.com/walwire/walwire/mapping"
)

// serverArgument makes this test binary the server process of a run.
const serverArgument = "bench-server"

func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == serverArgument {
		if err := serve(os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	m.Run()
}

func serve(config string) error {
	cfg, err := mapping.Load(config, os.LookupEnv)
	if err != nil {
		return err
	}
	server, err := app.New(cfg, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	return Serve(context.Background(), server, os.Stdin, os.Stdout)
}
