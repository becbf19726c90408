//go:build unix

package pgserver_test

import (
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestParentKilled: nothing outlives a process that had no chance to stop its server.
func TestParentKilled(t *testing.T) {
	s := mustChild(t, mustExecutable(t), syscall.SysProcAttr{})
	if err := s.process.Kill(); err != nil {
		t.Fatal(err)
	}
	awaitGone(t, s.Pid, clusterDir(s.DataDir))
}

// TestParentExits: the same for one that just returns from main.
func TestParentExits(t *testing.T) {
	s := mustChild(t, mustExecutable(t), syscall.SysProcAttr{})
	if err := s.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	awaitGone(t, s.Pid, clusterDir(s.DataDir))
}

// TestTerminalSignals: what a terminal sends to its process group reaches
// neither guardian nor PostgreSQL.
func TestTerminalSignals(t *testing.T) {
	s := mustChild(t, mustExecutable(t), syscall.SysProcAttr{})
	start := mustQuery(t, s.URL, "SELECT pg_postmaster_start_time()::text")
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if err := syscall.Kill(-s.process.Pid, sig); err != nil {
			t.Fatal(err)
		}
	}
	// A guardian that had heard a signal would be stopping PostgreSQL by now.
	deadline := time.Now().Add(500 * time.Millisecond)
	for time.Now().Before(deadline) {
		if again := mustQuery(t, s.URL, "SELECT pg_postmaster_start_time()::text"); again != start {
			t.Fatal("PostgreSQL was started again")
		}
	}
	if err := s.process.Kill(); err != nil {
		t.Fatal(err)
	}
	awaitGone(t, s.Pid, clusterDir(s.DataDir)) // the guardian is on duty still
}

// TestOrdinaryUser: where root runs the tests, a child runs as somebody else.
// Otherwise all tests here are an ordinary user's.
func TestOrdinaryUser(t *testing.T) {
	attr := syscall.SysProcAttr{}
	if os.Geteuid() == 0 {
		const nobody = 65534
		attr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	binary := filepath.Join(mustDir(t), "child")
	mustCopy(t, mustExecutable(t), binary)
	s := mustChild(t, binary, attr)
	mustQuery(t, s.URL, "SELECT 'it works'")
	if err := s.process.Kill(); err != nil {
		t.Fatal(err)
	}
	awaitGone(t, s.Pid, clusterDir(s.DataDir))
}

func mustCopy(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}
