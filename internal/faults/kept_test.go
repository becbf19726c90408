package faults_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/walwire/walwire/internal/pgserver"
)

// keptServer is a PostgreSQL whose directory outlives it.
type keptServer struct {
	t        *testing.T
	dir      string
	settings map[string]string
	port     int
	*pgserver.Server
}

func newKept(t *testing.T, settings map[string]string) *keptServer {
	t.Helper()
	root, err := os.MkdirTemp("", "walwire-faults-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(root, 0o711); err != nil { // PostgreSQL may run as another user
		t.Fatal(err)
	}
	k := &keptServer{t: t, dir: filepath.Join(root, "server"), settings: map[string]string{"fsync": "off"}}
	for name, value := range settings {
		k.settings[name] = value
	}
	t.Cleanup(func() {
		k.stop()
		_ = os.RemoveAll(root)
	})
	k.start()
	return k
}

func (k *keptServer) start() {
	k.t.Helper()
	s, err := pgserver.Start(k.t.Context(), pgserver.Options{DataDir: k.dir, Settings: k.settings, Port: k.port})
	if err != nil {
		k.t.Fatal(err)
	}
	k.Server, k.port = s, s.Port()
}

func (k *keptServer) stop() {
	if k.Server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := k.Stop(ctx); err != nil {
		k.t.Errorf("stop: %v", err)
	}
	k.Server = nil
}

// save copies the directory of a server that is stopped; restore puts that back.
func (k *keptServer) save()    { k.t.Helper(); copyTree(k.t, k.dir, k.dir+".saved") }
func (k *keptServer) restore() { k.t.Helper(); copyTree(k.t, k.dir+".saved", k.dir) }

// copyTree makes to a copy of from, with its owners.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	err := os.RemoveAll(to)
	if err == nil {
		err = filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			target := to + strings.TrimPrefix(path, from)
			info, err := d.Info()
			if err != nil {
				return err
			}
			if d.IsDir() {
				err = os.Mkdir(target, info.Mode().Perm())
			} else {
				var text []byte
				if text, err = os.ReadFile(path); err == nil {
					err = os.WriteFile(target, text, info.Mode().Perm())
				}
			}
			if owner, ok := info.Sys().(*syscall.Stat_t); ok && err == nil {
				err = os.Lchown(target, int(owner.Uid), int(owner.Gid))
			}
			return err
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// ownAs gives a tree to the owner of another file.
func ownAs(t *testing.T, tree, like string) {
	t.Helper()
	info, err := os.Stat(like)
	if err != nil {
		t.Fatal(err)
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return
	}
	if err := filepath.WalkDir(tree, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(owner.Uid), int(owner.Gid))
	}); err != nil {
		t.Fatal(err)
	}
}
