package torture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// shrinkSeconds bounds a try with less.
const shrinkSeconds = 25

// Shrink looks for less that still fails in the same way, within the tries that
// the options allow, and gives the options of the least. What depends on timing
// may fail only now and then: what did not fail again says nothing.
func Shrink(ctx context.Context, o Options, f *Failure, binary string, log *slog.Logger, out io.Writer) Options {
	best := o
	tries := 0
	try := func(less Options, what string) bool {
		if tries >= o.Shrink || ctx.Err() != nil {
			return false
		}
		tries++
		less.Seconds = min(less.Seconds, shrinkSeconds)
		_, err := Run(ctx, less, binary, log, out)
		var again *Failure
		failed := errors.As(err, &again) && again.What == f.What
		_, _ = fmt.Fprintf(out, "shrinking: %s: fails again: %t\n", what, failed)
		if failed {
			best = less
		}
		return failed
	}
	if f.Query >= 0 && o.Query < 0 {
		less := best
		less.Query = f.Query
		less.Clients = min(less.Clients, 12)
		try(less, fmt.Sprintf("only query %d, %d clients", f.Query, less.Clients))
	}
	if best.Faults != "none" {
		less := best
		less.Faults = "none"
		if !try(less, "no faults") {
			shrinkFaults(&best, try)
		}
	}
	for _, less := range smaller(best, f) {
		merged := best
		less.change(&merged)
		try(merged, less.what)
	}
	return best
}

// shrinkFaults looks for a half of the kinds that is enough, again and again.
func shrinkFaults(best *Options, try func(Options, string) bool) {
	for {
		var names []string
		for _, kind := range best.faults() {
			names = append(names, kind.name)
		}
		if len(names) < 2 {
			return
		}
		half := false
		for _, part := range [][]string{names[:len(names)/2], names[len(names)/2:]} {
			less := *best
			less.Faults = strings.Join(part, ",")
			if half = try(less, "faults "+less.Faults); half {
				break
			}
		}
		if !half {
			return
		}
	}
}

type reduction struct {
	what   string
	change func(*Options)
}

// smaller are the reductions to be tried one after another.
func smaller(o Options, f *Failure) []reduction {
	var out []reduction
	if f.Table != "" && o.Tables == "all" {
		out = append(out, reduction{"only table " + f.Table, func(o *Options) { o.Tables = f.Table }})
	}
	if o.Writers > 1 {
		out = append(out, reduction{"one writer", func(o *Options) { o.Writers = 1 }})
	}
	if o.Clients > 3 {
		out = append(out, reduction{"three clients", func(o *Options) { o.Clients = 3 }})
	}
	return out
}
