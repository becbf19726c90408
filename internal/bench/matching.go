package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// matchingPackage holds the Go benchmark that row 5 runs.
const matchingPackage = "github.com/walwire/walwire/stream"

var matchLine = regexp.MustCompile(`(?m)^BenchmarkMatch/queries=(\d+)\S*\s+\d+\s+([0-9.]+) ns/op\s+([0-9.]+) matches/op`)

// measureMatching is row 5: the Go benchmark of what it costs to find the live queries
// that a change concerns, at a thousand and more of them.
func measureMatching(ctx context.Context, o Options) (_ string, err error) {
	program, err := exec.LookPath("go")
	if err != nil {
		return "", errors.New("row 5 is a Go benchmark: it needs Go, and to be run in a clone of walwire")
	}
	pattern := "^BenchmarkMatch$"
	if o.Scale < 1 {
		pattern += "/^queries=10{3,4}$"
	}
	dir, err := os.MkdirTemp("", "walwire-bench-")
	if err != nil {
		return "", fmt.Errorf("make a directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	o.Log.Info("building the benchmark")
	file := filepath.Join(dir, "matching.test")
	build := exec.CommandContext(ctx, program, "test", "-c", "-o", file, matchingPackage)
	build.Cancel = func() error { return build.Process.Signal(os.Interrupt) } // go takes its own children along
	build.WaitDelay = stopTime
	build.Env = append(os.Environ(), "GOTMPDIR="+dir)
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the benchmark, which takes a clone of walwire: %w: %s", err, bytes.TrimSpace(out))
	}
	o.Log.Info("running the benchmark", "queries", pattern)
	cmd := exec.CommandContext(ctx, file, "-test.run", "^$", "-test.bench", pattern, "-test.benchtime", "0.5s", "-test.count", "3")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("run the benchmark: %w: %s", err, bytes.TrimSpace(out))
	}
	o.Log.Info("the benchmark has measured", "output", string(out))
	// Of the three runs the fastest: what else the machine does only makes them slower.
	var sizes []int
	best, matches := make(map[int]float64), make(map[int]string)
	for _, m := range matchLine.FindAllSubmatch(out, -1) {
		n, err := strconv.Atoi(string(m[1]))
		if err != nil {
			return "", err
		}
		ns, err := strconv.ParseFloat(string(m[2]), 64)
		if err != nil {
			return "", err
		}
		if old, ok := best[n]; !ok {
			sizes = append(sizes, n)
			best[n] = ns
		} else {
			best[n] = min(old, ns)
		}
		matches[n] = string(m[3])
	}
	if len(sizes) < 2 {
		return "", fmt.Errorf("the benchmark says nothing: %s", out)
	}
	var line strings.Builder
	for _, n := range sizes {
		fmt.Fprintf(&line, "queries=%d: %.0f ns/change, %s matches; ", n, best[n], matches[n])
	}
	last := sizes[len(sizes)-1]
	return fmt.Sprintf("%slargest_to_smallest ratio %.2f", line.String(), best[last]/best[sizes[0]]), nil
}
