package pgserver

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeBinaries makes a directory whose postgres says that it has the version.
func fakeBinaries(t *testing.T, dir, version string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\necho 'postgres (PostgreSQL) %s'\n", version)
	for _, name := range []string{"postgres", "initdb"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFindBinaries(t *testing.T) {
	root := t.TempDir()
	pattern := filepath.Join(root, "usr", "*", "bin")
	fakeBinaries(t, filepath.Join(root, "usr", "9", "bin"), "9.6.24")
	v14 := fakeBinaries(t, filepath.Join(root, "usr", "14", "bin"), "14.20 (Debian 14.20-1)")
	v18 := fakeBinaries(t, filepath.Join(root, "usr", "18", "bin"), "18beta1")
	inPath := fakeBinaries(t, filepath.Join(root, "path"), "16.2")
	old := fakeBinaries(t, filepath.Join(root, "old"), "13.21")
	linked := filepath.Join(root, "linked")
	if err := os.Mkdir(linked, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"postgres", "initdb"} {
		if err := os.Symlink(filepath.Join(v14, name), filepath.Join(linked, name)); err != nil {
			t.Fatal(err)
		}
	}

	for _, c := range []struct {
		name, explicit, path string
		patterns             []string
		want                 string
		major                int
		wantErr              []string
	}{
		{name: "Explicit", explicit: v14, path: inPath, patterns: []string{pattern}, want: v14, major: 14},
		{name: "Path", path: "/nowhere:" + inPath, patterns: []string{pattern}, want: inPath, major: 16},
		{name: "NewestPlace", path: "/nowhere", patterns: []string{pattern}, want: v18, major: 18},
		{name: "OldIsPassedOver", path: old, patterns: []string{pattern}, want: v18, major: 18},
		{name: "Link", path: linked, want: v14, major: 14},
		{name: "ErrExplicit", explicit: "/nowhere", path: inPath, wantErr: []string{EnvBin + "=/nowhere"}},
		{name: "ErrExplicitOld", explicit: old, path: inPath, wantErr: []string{"PostgreSQL 13 is too old: 14"}},
		{
			name: "ErrNone", path: old, patterns: []string{filepath.Join(root, "none", "*")},
			wantErr: []string{old + ": PostgreSQL 13 is too old", "PATH", filepath.Join(root, "none", "*")},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := findBinaries(t.Context(), c.explicit, c.path, c.patterns)
			if (err != nil) != (c.wantErr != nil) {
				t.Fatalf("error %v, want %v", err, c.wantErr)
			}
			for _, want := range c.wantErr {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			if err == nil && (b.dir != realPath(t, c.want) || b.major != c.major) {
				t.Errorf("found %s, version %d, want %s, version %d", b.dir, b.major, c.want, c.major)
			}
		})
	}
}

// realPath: a temporary directory can itself lie behind a link.
func realPath(t *testing.T, path string) string {
	t.Helper()
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// Root's PostgreSQL runs as another account, which root's home is closed to.
func TestBinariesOutOfReach(t *testing.T) {
	if os.Geteuid() != 0 {
		return // PostgreSQL runs as the same user, who found the programs
	}
	home := filepath.Join(t.TempDir(), "home")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	bin := fakeBinaries(t, filepath.Join(home, "bin"), "16.2")
	_, err := newCluster(t.Context(), Options{}, binaries{dir: bin, major: 16})
	if err == nil || !strings.Contains(err.Error(), bin) || !strings.Contains(err.Error(), "may not enter ") {
		t.Errorf("newCluster = %v, want the directory that is in the way", err)
	}
}
