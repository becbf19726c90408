package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
)

// Options say what to measure. Out, Log and Server are required.
type Options struct {
	// Only are the numbers of the rows to measure; empty means all.
	Only []int
	// Rows is how many row changes row 1 makes, a multiple of Queries. Zero
	// means 1,000,000.
	Rows int
	// Queries is how many live queries are attached, a multiple of 100. Zero
	// means 1,000.
	Queries int
	// ProfileDir receives CPU and allocation profiles of the server process
	// over the measured part. Empty: none are taken.
	ProfileDir string
	// Server is the command line that starts a server process, without
	// --config FILE: a program that ends up in Serve.
	Server []string
	// Out gets one line for each row of the table.
	Out io.Writer
	// Log hears the progress.
	Log *slog.Logger
}

const (
	defaultRows    = 1_000_000
	defaultQueries = 1_000
)

// row is one line of the table.
type row struct {
	number int
	name   string
	// measure gives the line without its number and name. With an error the
	// line may still say what was found; it is printed unless it is empty.
	measure func(context.Context, Options) (line string, err error)
}

// table lists what can be measured.
func table() []row {
	return []row{
		{1, "ingest", measureIngest},
	}
}

// Run measures and prints the rows that are asked for, one after another. It
// fails at the first that can't be measured, or whose deliveries are not exact.
func Run(ctx context.Context, o Options) error {
	if err := o.complete(); err != nil {
		return err
	}
	for _, r := range table() {
		if len(o.Only) > 0 && !slices.Contains(o.Only, r.number) {
			continue
		}
		line, err := r.measure(ctx, o)
		if line != "" {
			if _, printErr := fmt.Fprintf(o.Out, "%d %s %s\n", r.number, r.name, line); printErr != nil {
				err = errors.Join(err, fmt.Errorf("print the result: %w", printErr))
			}
		}
		if err != nil {
			return fmt.Errorf("measure %s: %w", r.name, err)
		}
	}
	return nil
}

// complete fills in the defaults and checks the rest.
func (o *Options) complete() error {
	if o.Rows == 0 {
		o.Rows = defaultRows
	}
	if o.Queries == 0 {
		o.Queries = defaultQueries
	}
	if o.Queries < 0 || o.Queries%queriesPerCompany != 0 {
		return fmt.Errorf("%d live queries: give a multiple of %d", o.Queries, queriesPerCompany)
	}
	if o.Rows < 0 || o.Rows%o.Queries != 0 {
		return fmt.Errorf("%d rows: give a multiple of the %d live queries", o.Rows, o.Queries)
	}
	for _, n := range o.Only {
		if !slices.ContainsFunc(table(), func(r row) bool { return r.number == n }) {
			return fmt.Errorf("there is no row %d to measure yet", n)
		}
	}
	return nil
}
