package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// binaries is a directory with PostgreSQL's server programs.
type binaries struct {
	dir   string
	major int
}

func (b binaries) program(name string) string { return filepath.Join(b.dir, name) }

// EnvBin names the environment variable that points at the server's binaries.
const EnvBin = "WALWIRE_PG_BIN"

// places are where packages put the server's binaries. Within one pattern the
// highest version comes first.
func places() []string {
	return []string{
		"/usr/lib/postgresql/*/bin",                            // Debian, Ubuntu
		"/usr/pgsql-*/bin",                                     // PGDG on RHEL
		"/usr/libexec/postgresql*",                             // Alpine
		"/opt/homebrew/opt/postgresql@*/bin",                   // Homebrew, Apple silicon
		"/usr/local/opt/postgresql@*/bin",                      // Homebrew, Intel
		"/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",      // Homebrew, Linux
		"/Applications/Postgres.app/Contents/Versions/*/bin",   // Postgres.app
		"/usr/local/pgsql/bin",                                 // built from source
		"/run/current-system/sw/bin", "/usr/local/bin", "/bin", // NixOS and others
	}
}

// findBinaries looks in explicit (the value of EnvBin) alone when it is set,
// else in the directories of path and in the patterns.
func findBinaries(ctx context.Context, explicit, path string, patterns []string) (binaries, error) {
	if explicit != "" {
		b, err := inspectBinaries(ctx, explicit)
		if err != nil {
			return binaries{}, fmt.Errorf("%s=%s: %w", EnvBin, explicit, err)
		}
		return b, nil
	}
	var tried []string
	for _, dir := range candidates(path, patterns) {
		b, err := inspectBinaries(ctx, dir)
		switch {
		case err == nil:
			return b, nil
		case !errors.Is(err, os.ErrNotExist):
			tried = append(tried, fmt.Sprintf("%s: %v", dir, err))
		}
	}
	tried = append(tried, "no postgres and initdb in PATH", "none in "+strings.Join(patterns, ", "))
	return binaries{}, errors.New(strings.Join(tried, "; "))
}

// candidates lists the directories to look at, in order, each once.
func candidates(path string, patterns []string) []string {
	var dirs []string
	add := func(dir string) {
		if filepath.IsAbs(dir) && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	for _, dir := range filepath.SplitList(path) {
		add(dir)
	}
	for _, pattern := range patterns {
		found, _ := filepath.Glob(pattern) // fails only on a malformed pattern
		slices.SortFunc(found, func(a, b string) int { return pathMajor(b) - pathMajor(a) })
		for _, dir := range found {
			add(dir)
		}
	}
	return dirs
}

// pathMajor is the last number in a path: .../postgresql/15/bin gives 15.
func pathMajor(path string) int {
	found := regexp.MustCompile(`\d+`).FindAllString(path, -1)
	if len(found) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(found[len(found)-1])
	return n
}

// inspectBinaries checks that dir has the programs in a version that will do.
// The error is os.ErrNotExist when dir has no PostgreSQL at all.
func inspectBinaries(ctx context.Context, dir string) (binaries, error) {
	b := binaries{dir: realDir(dir)}
	for _, name := range []string{"postgres", "initdb"} {
		if _, err := os.Stat(b.program(name)); err != nil {
			return b, fmt.Errorf("look for %s: %w", name, err)
		}
	}
	out, err := exec.CommandContext(ctx, b.program("postgres"), "--version").Output()
	if err != nil {
		return b, fmt.Errorf("ask postgres for its version: %w", err)
	}
	if b.major, err = parseMajor(string(out)); err != nil {
		return b, err
	}
	if b.major < MinVersion/10000 {
		return b, fmt.Errorf("PostgreSQL %d is too old: %d or newer is needed", b.major, MinVersion/10000)
	}
	return b, nil
}

// realDir follows a link to the programs, such as /usr/local/bin/postgres, to
// the directory that has all of a version's programs.
func realDir(dir string) string {
	target, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres"))
	if err != nil {
		return dir
	}
	return filepath.Dir(target)
}

// parseMajor reads "postgres (PostgreSQL) 15.18 (Debian ...)" and "... 18beta1".
func parseMajor(version string) (int, error) {
	m := regexp.MustCompile(`\(PostgreSQL\) (\d+)`).FindStringSubmatch(version)
	if m == nil {
		return 0, fmt.Errorf("unknown version %q", strings.TrimSpace(version))
	}
	return strconv.Atoi(m[1])
}
