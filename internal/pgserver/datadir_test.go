package pgserver_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/walwire/walwire/internal/pgserver"
)

func TestDataDirKept(t *testing.T) {
	dir := filepath.Join(mustDir(t), "kept")
	first := mustStart(t, pgserver.Options{DataDir: dir})
	mustExec(t, first.URL(), "CREATE TABLE t AS SELECT 'kept' AS v")
	if got := mustQuery(t, first.URL(), "SHOW fsync"); got != "on" {
		t.Errorf("fsync is %s for a cluster that is kept", got)
	}

	t.Run("ErrInUse", func(t *testing.T) {
		_, err := pgserver.Start(t.Context(), pgserver.Options{DataDir: dir})
		if err == nil || !strings.Contains(err.Error(), "in use by a running PostgreSQL") {
			t.Errorf("Start = %v, want that the directory is in use", err)
		}
		mustQuery(t, first.URL(), "SELECT 'undisturbed'")
	})

	mustStop(t, first)
	second := mustStart(t, pgserver.Options{DataDir: dir, Settings: map[string]string{"wal_sender_timeout": "9s"}})
	if got := mustQuery(t, second.URL(), "SELECT v FROM t"); got != "kept" {
		t.Errorf("read %q", got)
	}
	if got := mustQuery(t, second.URL(), "SHOW wal_sender_timeout"); got != "9s" {
		t.Errorf("the second start's setting is %s", got)
	}
}

func TestDataDirErrors(t *testing.T) {
	t.Run("ErrForeign", func(t *testing.T) {
		dir := mustDir(t)
		file := filepath.Join(dir, "thesis.txt")
		if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := pgserver.Start(t.Context(), pgserver.Options{DataDir: dir})
		if err == nil || !strings.Contains(err.Error(), "not empty and holds no cluster made by walwire") {
			t.Errorf("Start = %v, want that the directory is another's", err)
		}
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
		}
	})
	t.Run("ErrUnreachable", func(t *testing.T) {
		if os.Geteuid() != 0 {
			return // an ordinary user can't have a directory that PostgreSQL, run as the same user, can't reach
		}
		dir := filepath.Join(mustDir(t), "home")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		_, err := pgserver.Start(t.Context(), pgserver.Options{DataDir: filepath.Join(dir, "data")})
		if err == nil || !strings.Contains(err.Error(), "may not enter "+dir) {
			t.Errorf("Start = %v, want the directory that is in the way", err)
		}
	})
}

// TestInterruptedInit: a cluster that was not finished is made again.
func TestInterruptedInit(t *testing.T) {
	dir := filepath.Join(mustDir(t), "kept")
	unfinished := filepath.Join(dir, "data.new", "base")
	if err := os.MkdirAll(unfinished, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "password"), []byte("from the first attempt\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := mustStart(t, pgserver.Options{DataDir: dir})
	mustQuery(t, s.URL(), "SELECT 'it works'")
}
