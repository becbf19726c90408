package pgserver_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/internal/pgserver"
)

// envChild makes the test binary a child that starts a server and never stops it.
const envChild = "PGSERVER_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(envChild) != "" {
		child()
		return
	}
	os.Exit(m.Run())
}

// started is what a child says of its server.
type started struct {
	URL     string
	Pid     int
	DataDir string
	Error   string
}

// child starts a server, says so, and lives until its standard input ends or
// it is killed. It takes no notice of the signals of a terminal.
func child() {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	var out started
	if s, err := pgserver.Start(context.Background(), pgserver.Options{}); err != nil {
		out.Error = err.Error()
	} else {
		out = started{URL: s.URL(), Pid: s.Pid(), DataDir: s.DataDir()}
	}
	_ = json.NewEncoder(os.Stdout).Encode(out)
	_, _ = bufio.NewReader(os.Stdin).ReadByte()
}

// childProcess is a running child and its server.
type childProcess struct {
	started
	process *os.Process
	stdin   io.Closer // its end lets the child return from main
}

// mustChild runs a child in a process group of its own and waits for its server.
func mustChild(tb testing.TB, binary string, attr syscall.SysProcAttr) childProcess {
	tb.Helper()
	cmd := exec.Command(binary)
	cmd.Env = append(os.Environ(), envChild+"=1")
	cmd.Dir = "/"
	cmd.Stderr = os.Stderr
	attr.Setpgid = true
	cmd.SysProcAttr = &attr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = stdin.Close() // ends the child if the test has not
		_ = cmd.Wait()
	})
	c := childProcess{process: cmd.Process, stdin: stdin}
	if err := json.NewDecoder(stdout).Decode(&c.started); err != nil {
		tb.Fatal(err)
	}
	if c.Error != "" {
		tb.Fatalf("the child's server: %s", c.Error)
	}
	return c
}

func mustExecutable(tb testing.TB) string {
	tb.Helper()
	path, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	return path
}

func mustStart(tb testing.TB, opts pgserver.Options) *pgserver.Server {
	tb.Helper()
	s, err := pgserver.Start(tb.Context(), opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { mustStop(tb, s) })
	return s
}

func mustStop(tb testing.TB, s *pgserver.Server) {
	tb.Helper()
	if err := s.Stop(context.Background()); err != nil {
		tb.Errorf("Stop: %v", err)
	}
}

// mustQuery runs a query that returns one text over a connection of its own.
func mustQuery(tb testing.TB, url, sql string) string {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), url)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = conn.Close(tb.Context()) }()
	var text string
	if err := conn.QueryRow(tb.Context(), sql).Scan(&text); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
	return text
}

// mustExec runs a statement over a connection of its own.
func mustExec(tb testing.TB, url, sql string) {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), url)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = conn.Close(tb.Context()) }()
	if _, err := conn.Exec(tb.Context(), sql); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
}

// mustDir makes a directory that the account PostgreSQL runs as can reach,
// which one of testing.TB is not when root runs the tests.
func mustDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "pgserver-test-")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		tb.Fatal(err)
	}
	return dir
}

// awaitGone waits until the process and the temporary directory are no more.
func awaitGone(tb testing.TB, pid int, dir string) {
	tb.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		var left []string
		if syscall.Kill(pid, 0) == nil {
			left = append(left, fmt.Sprintf("process %d", pid))
		}
		if _, err := os.Stat(dir); err == nil {
			left = append(left, dir)
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("still there: %v", left)
		}
		time.Sleep(5 * time.Millisecond) // a process that is not our child has no event
	}
}

// clusterDir is the directory around a server's data directory.
func clusterDir(dataDir string) string { return filepath.Dir(dataDir) }
