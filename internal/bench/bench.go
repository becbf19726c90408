package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"slices"
)

// Options say what to measure. Out, Log and Server are required.
type Options struct {
	// Only are the numbers of the rows to measure; empty means all.
	Only []int
	// Scale is by how much less is done than for the real figures: 1, the most, down to
	// 0.01, for a short run.
	Scale float64
	// ProfileDir receives CPU and allocation profiles of the server process
	// over the measured part. Empty: none are taken.
	ProfileDir string
	// Server is the command line that starts a server process, without
	// --config FILE: a program that ends up in Serve.
	Server []string
	// Raw is the command line of a program that ends up in ServeRaw.
	Raw []string
	// Peers is the directory of what walwire is compared with: bench/ of a clone.
	Peers string
	// Out gets one line for each row of the table.
	Out io.Writer
	// Log hears the progress.
	Log *slog.Logger

	row int // that is measured
}

// scaled is n or, for a short run, less.
func (o *Options) scaled(n int) int { return max(1, int(math.Ceil(float64(n)*o.Scale))) }

// row is one line of the table.
type row struct {
	number int
	name   string
	goal   string // of the ratio
	// measure gives the line without its number and name. With an error the
	// line may still say what was found; it is printed unless it is empty.
	measure func(context.Context, Options) (line string, err error)
}

// table lists what can be measured.
func table() []row {
	return []row{
		{1, "ingest", ">=0.95", measureIngest},
		{2, "fan-out", ">=0.80", measureFanout},
		{3, "bursts", ">=5.00", measureBurst},
		{4, "latency", "<=2.00", measureLatency},
		{5, "matching", "<=1.50", measureMatching},
		{6, "memory", "<=1.00", measureMemory},
		{7, "opening", ">=0.70", measureOpening},
		{8, "return", "<=1.00", measureComeback},
		{9, "huge-transaction", "<=1.30", measureHuge},
		{10, "snapshot", "<=1.30", measureSnapshot},
	}
}

// Run measures and prints the rows that are asked for, one after another. It fails
// where one can't be measured, or its deliveries are not exact, once the others are done.
func Run(ctx context.Context, o Options) error {
	if err := o.check(); err != nil {
		return err
	}
	var failed []error
	for _, r := range table() {
		if len(o.Only) > 0 && !slices.Contains(o.Only, r.number) {
			continue
		}
		o.row = r.number
		line, err := r.measure(ctx, o)
		if line != "" {
			if _, printErr := fmt.Fprintf(o.Out, "%d %s goal%s %s\n", r.number, r.name, r.goal, line); printErr != nil {
				err = errors.Join(err, fmt.Errorf("print the result: %w", printErr))
			}
		}
		if ctx.Err() != nil { // whatever failed failed of that
			failed = append(failed, fmt.Errorf("interrupted while measuring %s (row %d): %w", r.name, r.number, ctx.Err()))
			break
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("measure %s (row %d): %w", r.name, r.number, err))
			o.Log.Error("a row has failed", "row", r.number, "error", err)
		}
	}
	return errors.Join(failed...)
}

// check refuses what can be known to fail.
func (o *Options) check() error {
	if !(o.Scale >= 0.01 && o.Scale <= 1) { // nor NaN
		return fmt.Errorf("a scale of %g: give one from 0.01 to 1", o.Scale)
	}
	for _, n := range o.Only {
		if !slices.ContainsFunc(table(), func(r row) bool { return r.number == n }) {
			return fmt.Errorf("there is no row %d to measure", n)
		}
	}
	if o.ProfileDir != "" {
		if err := os.MkdirAll(o.ProfileDir, 0o755); err != nil {
			return fmt.Errorf("make the profiles' directory: %w", err)
		}
	}
	return nil
}
