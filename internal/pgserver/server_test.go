package pgserver_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/walwire/walwire/internal/pgserver"
)

func TestStart(t *testing.T) {
	s := mustStart(t, pgserver.Options{Settings: map[string]string{
		"wal_sender_timeout": "7s", "application_name": `it's a \ and "`,
	}})
	for setting, want := range map[string]string{
		"wal_level": "logical", "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off",
		"max_replication_slots": "20", "max_wal_senders": "20", "max_connections": "200",
		"max_prepared_transactions": "50", "jit": "on", "TimeZone": "UTC", "server_encoding": "UTF8",
		"wal_sender_timeout": "7s",
	} {
		if got := mustQuery(t, s.URL(), "SHOW "+setting); got != want {
			t.Errorf("%s is %q, want %q", setting, got, want)
		}
	}
	if got := mustQuery(t, s.URL(), "SELECT boot_val || reset_val FROM pg_settings WHERE name = 'application_name'"); got != `it's a \ and "` {
		t.Errorf("a setting with quotes became %q", got)
	}
	if got := mustQuery(t, s.URL(), "SELECT current_database()"); got != "walwire" {
		t.Errorf("the URL leads to database %s", got)
	}
	if s.Version() < pgserver.MinVersion || s.Pid() == 0 || s.BinDir() == "" {
		t.Errorf("version %d, pid %d, binaries %q", s.Version(), s.Pid(), s.BinDir())
	}
}

func TestPassword(t *testing.T) {
	s := mustStart(t, pgserver.Options{})
	for name, user := range map[string]*url.Userinfo{
		"ErrWrong": url.UserPassword("postgres", "wrong"),
		"ErrNone":  url.User("postgres"),
	} {
		t.Run(name, func(t *testing.T) {
			u, err := url.Parse(s.URL())
			if err != nil {
				t.Fatal(err)
			}
			u.User = user
			conn, err := pgx.Connect(t.Context(), u.String())
			if err == nil {
				_ = conn.Close(t.Context())
				t.Fatal("connected")
			}
			var pgErr *pgconn.PgError
			if !errors.As(err, &pgErr) || !strings.HasPrefix(pgErr.Code, "28") {
				t.Errorf("%v, want a refusal by PostgreSQL", err)
			}
		})
	}
	info, err := os.Stat(filepath.Join(clusterDir(s.DataDir()), "password"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the password file has mode %v", info.Mode())
	}
}

func TestStop(t *testing.T) {
	s := mustStart(t, pgserver.Options{})
	pid, dir := s.Pid(), clusterDir(s.DataDir())
	conn, err := pgx.Connect(t.Context(), s.URL()) // an open connection holds nothing up
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	mustStop(t, s)
	if syscall.Kill(pid, 0) == nil {
		t.Error("the postmaster is still there")
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the temporary directory is still there: %v", err)
	}
	mustStop(t, s)
	if s.Pid() != 0 {
		t.Error("a stopped server has a process id")
	}
}

func TestRestart(t *testing.T) {
	for name, mode := range map[string]pgserver.StopMode{"Fast": pgserver.Fast, "Immediate": pgserver.Immediate} {
		t.Run(name, func(t *testing.T) {
			s := mustStart(t, pgserver.Options{})
			mustExec(t, s.URL(), "CREATE TABLE t AS SELECT 'kept' AS v")
			pid, where := s.Pid(), s.URL()
			if err := s.Restart(t.Context(), mode); err != nil {
				t.Fatal(err)
			}
			if s.URL() != where || s.Pid() == pid || s.Pid() == 0 {
				t.Errorf("URL %s, then %s; pid %d, then %d", where, s.URL(), pid, s.Pid())
			}
			if got := mustQuery(t, s.URL(), "SELECT v FROM t"); got != "kept" {
				t.Errorf("read %q", got)
			}
		})
	}
}

func TestStartErrors(t *testing.T) {
	t.Run("ErrSetting", func(t *testing.T) {
		temp := mustTempDir(t)
		_, err := pgserver.Start(t.Context(), pgserver.Options{Settings: map[string]string{"no_such_setting": "1"}})
		if err == nil || !strings.Contains(err.Error(), "no_such_setting") {
			t.Errorf("Start = %v, want PostgreSQL's own words", err)
		}
		if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
			t.Errorf("left in the temporary directory: %v, %v", left, err)
		}
	})
	t.Run("ErrPort", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		port := l.Addr().(*net.TCPAddr).Port
		_, err = pgserver.Start(t.Context(), pgserver.Options{Port: port})
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("port %d: another program", port)) {
			t.Errorf("Start = %v, want that the port is taken", err)
		}
	})
	t.Run("ErrCancelled", func(t *testing.T) {
		temp := mustTempDir(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := pgserver.Start(ctx, pgserver.Options{}); err == nil {
			t.Error("no error")
		}
		if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
			t.Errorf("left in the temporary directory: %v, %v", left, err)
		}
	})
	t.Run("ErrBinaries", func(t *testing.T) {
		t.Setenv(pgserver.EnvBin, "/nowhere")
		_, err := pgserver.Start(t.Context(), pgserver.Options{})
		if err == nil || !strings.Contains(err.Error(), pgserver.EnvBin+"=/nowhere") {
			t.Errorf("Start = %v, want that the setting is wrong", err)
		}
	})
}

// mustTempDir makes a directory for temporary files of this test's alone.
func mustTempDir(t *testing.T) string {
	t.Helper()
	dir := mustDir(t)
	if err := os.Chmod(dir, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	return dir
}
