package torture

import (
	"errors"
	"flag"
	"log/slog"
	"os"
	"testing"

	"github.com/rs/zerolog"
)

var options Options

func TestMain(m *testing.M) {
	options.Flags(flag.CommandLine)
	flag.Parse()
	options.Complete(flag.CommandLine)
	zerolog.SetGlobalLevel(zerolog.Disabled) // toxiproxy's toxics write to the global logger
	os.Exit(m.Run())
}

// TestTorture writes, breaks things, and holds every state that every client
// showed against PostgreSQL. See the package's documentation.
func TestTorture(t *testing.T) {
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	binary := options.Binary
	if binary == "" {
		var err error
		if binary, err = buildServer(t.Context(), repository(), t.TempDir()); err != nil {
			t.Fatal(err)
		}
	}
	result, err := Run(t.Context(), options, binary, log, t.Output())
	if result != nil {
		t.Logf("\n%s", result)
	}
	if err != nil {
		var failure *Failure
		if !errors.As(err, &failure) {
			t.Fatal(err)
		}
		t.Errorf("seed %d: %v\nreplay: %s", options.Seed, failure, options.Command())
		least := Shrink(t.Context(), options, failure, binary, log, t.Output())
		t.Errorf("the least that fails: %s", least.Command())
		return
	}
	if options.Seconds >= 40 && result.Forgetful() { // a short run resumes too little
		t.Errorf("seed %d: the log does not reach back: %d clients were begun anew for no known reason", options.Seed, result.unexplained)
	}
	for _, name := range result.Nothing() {
		t.Errorf("a run without: %s", name)
	}
	if options.Long() {
		for _, name := range result.Missing() {
			t.Errorf("a long run without: %s", name)
		}
	}
}
