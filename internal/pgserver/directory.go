package pgserver

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// directory is where a cluster lives. See the package's documentation for
// what is in it.
type directory struct {
	path string
	temp bool // removed at the end
}

func (d directory) data() string     { return filepath.Join(d.path, "data") }
func (d directory) password() string { return filepath.Join(d.path, "password") }
func (d directory) log() string      { return filepath.Join(d.path, "server.log") }

// removeWhenOrphaned is what a guardian is to remove.
func (d directory) removeWhenOrphaned() string {
	if d.temp {
		return d.path
	}
	return ""
}

// remove deletes a temporary directory.
func (d directory) remove() error {
	if !d.temp {
		return nil
	}
	if err := os.RemoveAll(d.path); err != nil {
		return fmt.Errorf("remove the temporary cluster: %w", err)
	}
	return nil
}

// hasCluster says whether the directory holds a complete cluster.
func (d directory) hasCluster() bool {
	_, err := os.Stat(filepath.Join(d.data(), "PG_VERSION"))
	return err == nil
}

// openDirectory makes the directory, or takes the one at path, which must be
// empty or hold a cluster of ours.
func openDirectory(path string, a account) (directory, error) {
	if path == "" {
		dir, err := os.MkdirTemp(a.tempParent(), "walwire-postgres-")
		if err != nil {
			return directory{}, fmt.Errorf("make a temporary directory: %w", err)
		}
		return directory{path: dir, temp: true}, nil
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return directory{}, fmt.Errorf("data directory: %w", err)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return directory{}, fmt.Errorf("make the data directory: %w", err)
	}
	if err := a.reach(path); err != nil {
		return directory{}, fmt.Errorf("data directory %s: %w", path, err)
	}
	d := directory{path: path}
	if err := d.checkOurs(); err != nil {
		return directory{}, err
	}
	return d, d.checkFree()
}

// checkOurs refuses a directory with somebody else's files.
func (d directory) checkOurs() error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return fmt.Errorf("read the data directory: %w", err)
	}
	if len(entries) == 0 {
		return nil
	}
	if _, err := os.Stat(d.password()); err != nil {
		return fmt.Errorf("data directory %s is not empty and holds no cluster made by walwire", d.path)
	}
	return nil
}

// checkFree refuses a directory whose cluster is running.
func (d directory) checkFree() error {
	lock, err := readPidFile(d.data())
	if err != nil {
		return err
	}
	if lock.pid != 0 && alive(lock.pid) && lock.answers() {
		return fmt.Errorf("data directory %s is in use by a running PostgreSQL (process %d, port %s):"+
			" stop that one, or choose another directory", d.path, lock.pid, lock.port)
	}
	return nil
}

// ensurePassword reads the superuser's password or draws a new one.
func (d directory) ensurePassword() (string, error) {
	kept, err := os.ReadFile(d.password())
	if err == nil {
		return strings.TrimSpace(string(kept)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the password: %w", err)
	}
	password := randomPassword()
	if err := os.WriteFile(d.password(), []byte(password+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("write the password: %w", err)
	}
	return password, nil
}

func randomPassword() string {
	random := make([]byte, 24)
	_, _ = rand.Read(random) // never fails: crypto/rand documents that it aborts instead
	return hex.EncodeToString(random)
}
