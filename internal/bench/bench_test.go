package bench

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
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
		Only: []int{1}, Scale: 0.01, Server: []string{self, serverArgument}, Raw: []string{self, rawArgument},
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

// Rows that need PostgreSQL's programs alone, as small as they get. make test-sdk runs those
// beside Socket.IO; row 9 is row 1 with another load.
func TestRows(t *testing.T) {
	const counts = `expected=[1-9]\d* received=[1-9]\d* lost=0 doubled=0 bytes/change=[1-9]\d+`
	for row, want := range map[int]string{
		1:  `ingest goal>=0.95 queries=100 walwire=[1-9]\d* rows/s pg_recvlogical=[1-9]\d* rows/s ` + counts + ` changes/frame=\d+\.\d walwire_cpu=\d+\.\d us/change ratio \d+\.\d\d`,
		4:  `latency goal<=2.00 clients=100 queries=200 commits/s=\d+ walwire p50=\S+ p99=\S+ p99.9=\S+ pg_recvlogical p50=\S+ p99=\S+ p99.9=\S+ ` + counts + ` p99 ratio \d+\.\d\d`,
		7:  `opening goal>=0.70 queries=100 walwire=[1-9]\d* queries/s selects=100 pgbench=[1-9]\d* queries/s pgbench_prepared=[1-9]\d* queries/s identical=[1-9]\d* queries/s identical_selects=1 walwire_cpu=\d+ us/query of_prepared=\d+\.\d\d ratio \d+\.\d\d`,
		8:  `return goal<=1.00 clients=200 commits/s=\d+ exact_after=\d+\.\d s limit=20 s resumed=200 reset=0 refused=0 put_off=\d+ selects=0 ` + counts + ` walwire_cpu=\d+\.\d ms/client of_limit ratio \d+\.\d\d`,
		10: `snapshot goal<=1.30 rows=1000 walwire=\d+ ms psql_copy=\d+ ms bytes/row=[1-9]\d+ ratio \d+\.\d\d`,
	} {
		t.Run(strconv.Itoa(row), func(t *testing.T) {
			o, out, temp := options(t)
			o.Only = []int{row}
			if err := Run(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			if !regexp.MustCompile(`^` + strconv.Itoa(row) + ` ` + want + `\n$`).MatchString(out.String()) {
				t.Errorf("it prints %q", out)
			}
			mustBeEmpty(t, temp)
		})
	}
}

func TestProfile(t *testing.T) {
	o, _, temp := options(t)
	o.ProfileDir = filepath.Join(t.TempDir(), "profile")
	if err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"1-cpu.pprof", "1-allocs.pprof", "1-allocs-before.pprof", "1-subscribers-cpu.pprof"} {
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
	for name, o := range map[string]Options{
		"ErrScale":   {Scale: 2},
		"ErrSmall":   {Scale: 0.001},
		"ErrZero":    {},
		"ErrNaN":     {Scale: math.NaN()},
		"ErrOnly":    {Scale: 1, Only: []int{11}},
		"ErrProfile": {Scale: 1, ProfileDir: "/dev/null/profile"},
	} {
		t.Run(name, func(t *testing.T) {
			o.Log = slog.New(slog.DiscardHandler)
			if err := Run(t.Context(), o); err == nil {
				t.Error("it is taken")
			}
		})
	}
}

// Row 2 says what is missing where Socket.IO is not installed.
func TestPeerMissing(t *testing.T) {
	o, _, temp := options(t)
	o.Only, o.Peers = []int{2}, t.TempDir()
	if err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "npm ci") {
		t.Errorf("Run: %v", err)
	}
	mustBeEmpty(t, temp)
}
