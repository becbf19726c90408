package walwire_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/walwire/walwire"
)

// An application's own server, with live queries under /realtime/: clients connect to
// wss://app.example.com/realtime/v1/stream.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	cfg, err := walwire.LoadConfig("walwire.yaml")
	if err != nil {
		log.Fatal(err)
	}
	cfg.BasePath = "/realtime" // where it is mounted
	live, err := walwire.New(cfg, slog.Default())
	if err != nil {
		log.Fatal(err)
	}
	if err := serve(ctx, ":8080", live); err != nil {
		log.Fatal(err)
	}
}

// serve runs the application and walwire until ctx ends. Whichever ends first stops
// the other.
func serve(ctx context.Context, address string, live *walwire.Server) error {
	mux := http.NewServeMux()
	mux.Handle("/realtime/", live.Handler())
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintln(w, "the application's own")
	})
	server := &http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return live.Run(ctx) })
	group.Go(func() error {
		if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		stop, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		return server.Shutdown(stop)
	})
	return group.Wait()
}
