package torture

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Options are what a run depends on, besides chance. Flags leads to them and
// Arguments back.
type Options struct {
	Seed    uint64
	Seconds int
	Clients int
	Writers int
	// Subscriptions bounds the live queries of a client, Queries those that the
	// clients of one role choose from.
	Subscriptions int
	Queries       int
	// Rate is how many rows are changed a second, about.
	Rate int
	// Life is how long a connection lives, on average.
	Life time.Duration
	// Resume has clients come back to where they were, Windows has some queries
	// ordered and limited.
	Resume, Windows bool
	// Faults are the kinds injected: names, "all" or "none", and names to leave out
	// after a "-". FaultPace is from one's end
	// to the next one's begin.
	Faults    string
	FaultPace time.Duration
	// Tables are those written and queried, "all" or names.
	Tables string
	// Query is the only one that clients ask, -1: any.
	Query int
	// Check is how often what was shown is checked.
	Check time.Duration
	// Shrink is how often a failing run is tried with less.
	Shrink int
	// Via are the ways that clients come by, in turn: websocket, sse, poll.
	Via string
	// SDK is how many further clients there are that are the TypeScript SDK.
	SDK int
	// Log is a file for the server's log, "": it is not kept.
	Log string
	// Binary is the walwire to be run, "": it is built.
	Binary string
}

// Flags registers the options with their defaults.
func (o *Options) Flags(fs *flag.FlagSet) {
	fs.Uint64Var(&o.Seed, "seed", 1, "seed of everything random")
	fs.IntVar(&o.Seconds, "seconds", 20, "how long to write")
	fs.IntVar(&o.Clients, "clients", 40, "clients; this and others are more where it is to run for 5 minutes or longer")
	fs.IntVar(&o.Writers, "writers", 6, "writers")
	fs.IntVar(&o.Subscriptions, "subscriptions", 3, "live queries of a client, at most")
	fs.IntVar(&o.Queries, "queries", 24, "queries that the clients of one role choose from")
	fs.IntVar(&o.Rate, "rate", 2000, "row changes a second")
	fs.DurationVar(&o.Life, "life", 5*time.Second, "life of a connection, on average")
	fs.BoolVar(&o.Resume, "resume", true, "clients resume where they were")
	fs.BoolVar(&o.Windows, "windows", true, "some queries are ordered and limited")
	fs.StringVar(&o.Faults, "faults", "all", "kinds of faults: all, none, or a list; a - takes one away: "+strings.Join(faultNames(), ","))
	fs.DurationVar(&o.FaultPace, "fault-pace", 1500*time.Millisecond, "from one fault to the next")
	fs.StringVar(&o.Tables, "tables", "all", "tables: all or names")
	fs.IntVar(&o.Query, "query", -1, "the only query that is asked")
	fs.DurationVar(&o.Check, "check", 15*time.Second, "how often what was shown is checked")
	fs.StringVar(&o.Via, "via", "websocket,sse,poll,websocket", "the ways that clients come by, in turn")
	fs.IntVar(&o.SDK, "sdk", 0, "further clients, which are the TypeScript SDK; then the configuration stays as it is")
	fs.StringVar(&o.Log, "log", "", "file that the server's log is kept in")
	fs.StringVar(&o.Binary, "binary", "", "walwire to be run instead of one built from here")
	fs.IntVar(&o.Shrink, "shrink", 6, "how often a failing run is tried again with less")
}

// longRun is from where on a run has to have seen everything, in seconds.
const longRun = 300

// Long says whether the run is a long one.
func (o *Options) Long() bool { return o.Seconds >= longRun }

// Complete sets what a long run has more of, where it was not given.
func (o *Options) Complete(fs *flag.FlagSet) {
	given := make(map[string]bool)
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if !o.Long() {
		return
	}
	if !given["clients"] {
		o.Clients = 200
	}
	if !given["life"] {
		o.Life = 20 * time.Second
	}
	if !given["rate"] {
		o.Rate = 8000
	}
	if !given["writers"] {
		o.Writers = 12
	}
	if !given["fault-pace"] {
		o.FaultPace = 2 * time.Second
	}
}

// Arguments are the flags that differ from the defaults, seed and seconds apart.
func (o *Options) Arguments() string {
	var defaults, mine Options
	standard := flag.NewFlagSet("", flag.ContinueOnError)
	defaults.Flags(standard)
	set := flag.NewFlagSet("", flag.ContinueOnError)
	mine.Flags(set)
	mine = *o
	var out []string
	set.VisitAll(func(f *flag.Flag) {
		if f.Name != "seed" && f.Name != "seconds" && f.Name != "log" && f.Value.String() != f.DefValue {
			out = append(out, fmt.Sprintf("-%s=%s", f.Name, f.Value))
		}
	})
	return strings.Join(out, " ")
}

// Command replays a run.
func (o *Options) Command() string {
	return fmt.Sprintf("make torture SECONDS=%d SEED=%d TORTURE_FLAGS=%q", o.Seconds, o.Seed, o.Arguments())
}

// tables are those of all that are to be used.
func (o *Options) tables(all []*table) []*table {
	if o.Tables == "all" {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(t *table) bool { return !slices.Contains(strings.Split(o.Tables, ","), t.name) })
}
