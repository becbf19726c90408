package bench

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// options are a small run's. What it puts on disk goes to a directory of its
// own, which is given.
func options(t *testing.T) (o Options, out *bytes.Buffer, temp string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	temp = t.TempDir()
	if err := os.Chmod(temp, 0o777); err != nil { // PostgreSQL may run as another user
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", temp)
	out = new(bytes.Buffer)
	return Options{
		Only: []int{1}, Rows: 6_000, Queries: 600, Server: []string{self, serverArgument},
		Out: out, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}, out, temp
}

// mustBeEmpty checks that a run has left nothing in its directory.
func mustBeEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range left {
		t.Errorf("the run has left %s", entry.Name())
	}
}

func TestIngest(t *testing.T) {
	o, out, temp := options(t)
	o.ProfileDir = filepath.Join(t.TempDir(), "profile")
	if err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`^1 ingest queries=600 walwire=[1-9]\d* rows/s pg_recvlogical=[1-9]\d* rows/s` +
		` expected=6000 received=6000 lost=0 doubled=0 bytes/change=[1-9]\d+ walwire_cpu=\d+\.\d us/change ratio \d+\.\d\d\n$`)
	if !line.MatchString(out.String()) {
		t.Errorf("it prints %q", out)
	}
	for _, name := range []string{"cpu.pprof", "allocs.pprof", "allocs-before.pprof", "subscribers-cpu.pprof"} {
		profile, err := os.ReadFile(filepath.Join(o.ProfileDir, name))
		if err != nil {
			t.Error(err)
		} else if !bytes.HasPrefix(profile, []byte{0x1f, 0x8b}) { // profiles are gzipped
			t.Errorf("%s is no profile", name)
		}
	}
	mustBeEmpty(t, temp)
}

// canceller is a log that ends a context when it hears a message.
type canceller struct {
	slog.Handler
	message string
	cancel  context.CancelFunc
}

func (c canceller) Handle(ctx context.Context, r slog.Record) error {
	if strings.Contains(r.Message, c.message) {
		c.cancel()
	}
	return c.Handler.Handle(ctx, r)
}

// However far it is, an interrupted run ends with nothing left behind.
func TestInterrupted(t *testing.T) {
	for _, at := range []string{"starting the server", "writing the WAL", "leaving the slot"} {
		t.Run(strings.ReplaceAll(at, " ", "_"), func(t *testing.T) {
			o, out, temp := options(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			o.Log = slog.New(canceller{o.Log.Handler(), at, cancel})
			if err := Run(ctx, o); !errors.Is(err, context.Canceled) {
				t.Errorf("Run: %v", err)
			}
			if out.Len() > 0 {
				t.Errorf("it prints %q", out)
			}
			mustBeEmpty(t, temp)
		})
	}
}

// A server that can't start is an error that shows its log.
func TestServerFails(t *testing.T) {
	o, _, temp := options(t)
	o.Server = []string{"/bin/sh", "-c", "echo no luck today >&2; exit 1"}
	if err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "no luck today") {
		t.Errorf("Run: %v", err)
	}
	mustBeEmpty(t, temp)
}

func TestOptions(t *testing.T) {
	for name, edit := range map[string]func(*Options){
		"ErrRows":    func(o *Options) { o.Rows = 150 },
		"ErrQueries": func(o *Options) { o.Queries = 150 },
		"ErrOnly":    func(o *Options) { o.Only = []int{11} },
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{Log: slog.New(slog.DiscardHandler)}
			edit(&o)
			if err := Run(t.Context(), o); err == nil {
				t.Error("it is taken")
			}
		})
	}
}
