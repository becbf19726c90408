package pgtest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/walwire/walwire/internal/pgserver"
)

// EnvURL names the environment variable with the URL of a server of one's own.
const EnvURL = "WALWIRE_TEST_DATABASE_URL"

// How long a server may take to start and to stop.
const (
	startTimeout = 3 * time.Minute // the download of a server included
	stopTimeout  = 30 * time.Second
)

// sharedCluster is the cluster of this test binary.
type sharedCluster struct {
	once   sync.Once
	url    string
	server *pgserver.Server // nil when the URL came from the environment
	err    error
}

var shared sharedCluster

// start runs the cluster unless it runs already.
func (c *sharedCluster) start() (url string, err error) {
	c.once.Do(func() {
		if c.url = os.Getenv(EnvURL); c.url != "" {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		if c.server, c.err = pgserver.Start(ctx, pgserver.Options{}); c.err == nil {
			c.url = c.server.URL()
		}
	})
	return c.url, c.err
}

// stop ends the cluster if it was started here.
func (c *sharedCluster) stop() error {
	c.once.Do(func() { c.err = fmt.Errorf("the tests are over") })
	if c.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return c.server.Stop(ctx)
}

// Main runs a package's tests and then stops the shared cluster. It exits the
// process.
func Main(m *testing.M) {
	code := m.Run()
	if err := shared.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// ClusterURL is the superuser's URL of the shared cluster. Its database belongs
// to no test: use it for what concerns the cluster as a whole.
func ClusterURL(tb testing.TB) string {
	tb.Helper()
	url, err := shared.start()
	if err != nil {
		tb.Fatalf("start the shared PostgreSQL: %v", err)
	}
	return url
}

// Version is the server_version_num of the shared cluster, such as 150018.
func Version(tb testing.TB) int {
	tb.Helper()
	var version int
	err := MustConnect(tb, ClusterURL(tb)).QueryRow(tb.Context(), "SELECT current_setting('server_version_num')::int").Scan(&version)
	if err != nil {
		tb.Fatalf("read the version of the shared PostgreSQL: %v", err)
	}
	return version
}

// New starts a cluster of the test's own, with further settings for
// postgresql.conf (nil: none). It is stopped when the test ends; the end of its
// log is shown if the test failed.
func New(tb testing.TB, settings map[string]string) *pgserver.Server {
	tb.Helper()
	return Start(tb, pgserver.Options{Settings: settings})
}

// Start is New with all options.
func Start(tb testing.TB, opts pgserver.Options) *pgserver.Server {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), startTimeout)
	defer cancel()
	s, err := pgserver.Start(ctx, opts)
	if err != nil {
		tb.Fatalf("start a PostgreSQL of the test's own: %v", err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			logTail(tb, s.LogFile())
		}
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			tb.Errorf("stop the test's PostgreSQL: %v", err)
		}
	})
	return s
}

// RestartInOrder stops the server and starts it again. One that waits for its readers is
// stopped hard in the end, and finds that when it starts: the test has failed then. (In a
// container it has no log that says so.)
func RestartInOrder(tb testing.TB, s *pgserver.Server) {
	tb.Helper()
	if err := s.Restart(tb.Context(), pgserver.Fast); err != nil {
		tb.Fatal(err)
	}
	if s.LogFile() == "" {
		return
	}
	text, err := os.ReadFile(s.LogFile())
	if err != nil {
		tb.Fatal(err)
	}
	if bytes.LastIndex(text, []byte("database system was shut down")) <= bytes.LastIndex(text, []byte("database system was interrupted")) {
		tb.Error("the server's stop was held up until it was stopped hard")
	}
}

// logTail shows the end of a server's log.
func logTail(tb testing.TB, file string) {
	const most = 4096
	if text, err := os.ReadFile(file); err == nil {
		tb.Logf("PostgreSQL's log:\n%s", text[max(0, len(text)-most):])
	}
}
