package torture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// settleTime bounds how long clients may take to show the last commit.
const settleTime = 2 * time.Minute

// run is one run of the test.
type run struct {
	options   Options
	log       *slog.Logger
	out       io.Writer
	stage     *stage
	tables    []*table
	users     []*user
	queries   []*query
	hasher    *hasher
	versions  *versions
	store     *store
	checker   *checker
	counts    *counts
	chronicle *chronicle
	clients   []*client
	sdk       *sdk // nil: none

	variant atomic.Int32  // of the configuration that is served
	extra   atomic.Bool   // it has rules and roles that nobody needs
	quiet   atomic.Bool   // clients stay where they are
	final   atomic.Uint64 // position to be shown at the end, 0 before
	written atomic.Uint64 // position that has been committed

	mu      sync.Mutex // protects following
	opened  []*segment
	failure *Failure
	cancel  context.CancelFunc
}

// Failure is why a run failed.
type Failure struct {
	What   string // divergence, leak, silent gap, breach, stuck or void
	Query  int    // -1: none
	Table  string // of the query
	Report string
}

func (f *Failure) Error() string { return f.What + ": " + f.Report }

// Run does a whole run and writes its figures to out. Its error is a *Failure
// where the server is at fault.
func Run(ctx context.Context, o Options, binary string, log *slog.Logger, out io.Writer) (*Result, error) {
	all := tables() // the queries stay the same when there are fewer
	if o.SDK > 0 {
		forJavaScript(all)
	}
	r := &run{options: o, log: log, out: out, tables: o.tables(all), hasher: newHasher(), counts: newCounts(), chronicle: newChronicle()}
	ctx, r.cancel = context.WithCancel(ctx)
	defer r.cancel()
	random := rand.New(rand.NewPCG(o.Seed, 1))
	r.users = makeUsers(random)
	g := &generator{r: random, tables: all, windows: o.Windows}
	r.queries = slices.DeleteFunc(g.makeQueries(o.Queries), func(q *query) bool { return !slices.Contains(r.tables, q.table) })
	r.versions = newVersions(r.hasher, r.tables)
	r.checker = &checker{run: r}
	began := time.Now()
	var err error
	if r.stage, err = openStage(ctx, r, binary); err != nil {
		return nil, err
	}
	defer r.stage.close()
	if o.Log != "" {
		defer r.keepLog()
	}
	r.log.Info("set up", "in", time.Since(began).Round(time.Millisecond))
	err = r.perform(ctx)
	result := r.result(time.Since(began))
	if f := r.failed(); f {
		return result, r.failure
	}
	return result, err
}

// keepLog keeps the server's log where the options say.
func (r *run) keepLog() {
	text, err := os.ReadFile(r.stage.server.logFile())
	if err == nil {
		err = os.WriteFile(r.options.Log, text, 0o600)
	}
	if err != nil {
		r.log.Warn("keep the server's log", "error", err)
	}
}

// perform writes, watches and breaks things, and checks at the end.
func (r *run) perform(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	ctx, stopAll := context.WithCancel(ctx)
	group.Go(func() error { return r.stage.server.run(ctx) })
	group.Go(func() error { return r.void(r.stage.reader.follow(ctx)) })
	group.Go(func() error { return r.store.keep(ctx) })
	group.Go(func() error { return r.stage.standby.follow(ctx) })
	err := r.awaitReady(ctx)
	if err == nil {
		err = r.startClients(ctx, group)
	}
	if err == nil {
		err = r.startSDK(ctx, group)
	}
	if err == nil {
		err = r.trouble(ctx)
	}
	if err == nil {
		err = r.settle(ctx)
	}
	if err == nil {
		err = r.checker.check(ctx)
	}
	if err == nil && !r.failed() {
		err = r.rest(ctx)
	}
	if err == nil && !r.failed() {
		err = r.checker.audit(ctx)
	}
	stopAll()
	return errors.Join(err, ignoreCanceled(group.Wait()))
}

func ignoreCanceled(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// void says that the run tells nothing.
func (r *run) void(err error) error {
	if err != nil {
		r.fail(&Failure{What: "void", Query: -1, Report: err.Error()})
	}
	return err
}

func (r *run) awaitReady(ctx context.Context) error {
	for end := time.Now().Add(30 * time.Second); !r.stage.server.ready(ctx); {
		if time.Now().After(end) {
			return fmt.Errorf("walwire is not ready; its log ends:\n%s", r.stage.server.tail())
		}
		if pause(ctx, 20*time.Millisecond); ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

func (r *run) startClients(ctx context.Context, group *errgroup.Group) error {
	users := slices.DeleteFunc(slices.Clone(r.users), func(u *user) bool {
		return !slices.ContainsFunc(r.queries, func(q *query) bool { return r.chosen(q, u) })
	})
	if len(users) == 0 {
		return errors.New("no user has a query to ask")
	}
	for i := range r.options.Clients {
		c := &client{run: r, index: i, r: rand.New(rand.NewPCG(r.options.Seed, 1000+uint64(i))), user: users[i%len(users)], settled: make(chan struct{})}
		proxy := r.stage.proxies.clients[i%clientProxies]
		ways := strings.Split(r.options.Via, ",")
		c.proxy, c.way = "http://"+proxy.Listen, ways[i%len(ways)]
		for _, q := range r.queries {
			if r.chosen(q, c.user) {
				c.queries = append(c.queries, q)
			}
		}
		if i%feedEvery == 0 && slices.ContainsFunc(r.tables, func(t *table) bool { return len(eventRules(t)) > 0 }) {
			c.feed = &feed{}
		}
		r.clients = append(r.clients, c)
		group.Go(func() error { c.follow(ctx); return nil })
	}
	return nil
}

// chosen reports whether a user's clients may ask a query.
func (r *run) chosen(q *query, u *user) bool {
	return q.role == u.role && (r.options.Query < 0 || q.index == r.options.Query)
}

// startSDK starts the clients that are the SDK, where some are asked for.
func (r *run) startSDK(ctx context.Context, group *errgroup.Group) error {
	if r.options.SDK == 0 {
		return nil
	}
	r.sdk = r.addSDK()
	return r.sdk.start(ctx, group, repository(), r.stage.dir)
}

// trouble is the time of writers and faults.
func (r *run) trouble(ctx context.Context) error {
	writing, stop := context.WithTimeout(ctx, time.Duration(r.options.Seconds)*time.Second)
	defer stop()
	group, inner := errgroup.WithContext(writing)
	for i := range r.options.Writers {
		group.Go(func() error { return r.stage.writer(r, i).write(inner) })
	}
	group.Go(func() error { return r.stage.janitor(inner, time.Second) })
	group.Go(func() error { return newNemesis(r).haunt(inner, ctx) })
	group.Go(func() error {
		tick := time.NewTicker(r.options.Check)
		defer tick.Stop()
		for {
			select {
			case <-inner.Done():
				return nil
			case <-tick.C:
			}
			if err := r.checker.check(ctx); err != nil {
				return ignoreCanceled(err)
			}
		}
	})
	err := group.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return ignoreCanceled(err)
}

// settle waits until every client shows the last commit.
func (r *run) settle(ctx context.Context) error {
	if err := r.stage.janitor(ctx, 0); err != nil {
		return err
	}
	r.quiet.Store(true)
	last, err := r.stage.lastPosition(ctx)
	if err != nil {
		return err
	}
	r.final.Store(last)
	if r.sdk != nil {
		if err := r.sdk.end(last); err != nil {
			return err
		}
	}
	deadline := time.After(settleTime)
	for _, c := range r.clients {
		select {
		case <-c.settled:
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline:
			return r.stuck(c, last)
		}
	}
	return nil
}

// rest waits until what is forgiven of tables is over, and everything is served.
func (r *run) rest(ctx context.Context) error {
	end := time.Now().Add(settleTime)
	for r.versions.forgiving() || !r.stage.server.ready(ctx) {
		if time.Now().After(end) {
			r.fail(&Failure{What: "stuck", Query: -1, Report: "at the end, walwire is not ready; its log ends:\n" + r.stage.server.tail()})
			return nil
		}
		if pause(ctx, 50*time.Millisecond); ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if log := r.stage.server.crashes(); log != "" {
		r.fail(&Failure{What: "crash", Query: -1, Report: log})
	}
	return nil
}

func (r *run) stuck(c *client, last uint64) error {
	text := fmt.Sprintf("client %d (%s) does not show %s: it is at %s", c.index, c.user.id, formatLSN(last), formatLSN(c.last.Load()))
	r.fail(&Failure{What: "stuck", Query: -1, Report: text + "\nwalwire's log ends:\n" + r.stage.server.tail()})
	return nil
}

// open takes a connection into what is checked.
func (r *run) open(s *segment) {
	r.counts.connections.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opened = append(r.opened, s)
}

// segments gives all connections that have something to check; those that are
// over for the last time.
func (r *run) segments() []*segment {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.Clone(r.opened)
	r.opened = slices.DeleteFunc(r.opened, func(s *segment) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.over
	})
	return all
}

// oldestShown is the oldest position that a client may still be at.
func (r *run) oldestShown() uint64 {
	oldest := uint64(forever)
	for _, c := range r.clients {
		if last := c.last.Load(); last > 0 {
			oldest = min(oldest, last)
		}
		if c.feed != nil {
			oldest = min(oldest, c.feed.left())
		}
	}
	if oldest == forever {
		return 0
	}
	return oldest
}

// awaitHistory waits until the history has come to a position.
func (r *run) awaitHistory(ctx context.Context, position uint64) error {
	for r.versions.reached() < position {
		r.stage.beat(ctx)
		if pause(ctx, 20*time.Millisecond); ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

func (r *run) failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failure != nil
}

// fail ends the run; the first reason counts.
func (r *run) fail(f *Failure) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failure == nil {
		r.failure = f
		r.cancel()
	}
}

// breach is something that the server must never send.
func (r *run) breach(c *client, err error) {
	what := "breach of the protocol"
	var leak *leakError
	if errors.As(err, &leak) {
		what = "leak"
		r.counts.leaks.Add(1)
	} else {
		r.counts.breaches.Add(1)
	}
	r.fail(&Failure{What: what, Query: -1, Report: fmt.Sprintf("client %d (%s): %v", c.index, c.user.id, err)})
}

// silent notes that a client is told nothing, not even that it is heard. That is the
// server's fault where it has been up, and the way to it open.
func (r *run) silent(c *client) {
	r.counts.silences.Add(1)
	if !r.chronicle.since("clients", time.Now().Add(-2*silence)) {
		r.fail(&Failure{What: "stuck", Query: -1, Report: fmt.Sprintf("client %d (%s) pings, and has heard nothing for %s", c.index, c.user.id, silence)})
	}
}

func (r *run) connectionEnded(_ *client, err error) { r.counts.ending(err) }

// serverEnded notes that walwire has ended by itself.
func (r *run) serverEnded(err error, log string) {
	r.counts.restarts.Add(1)
	r.log.Info("walwire ended by itself", "error", err, "log", log)
	if crash := r.stage.server.crashes(); crash != "" {
		r.fail(&Failure{What: "crash", Query: -1, Report: crash})
	}
}

// refuses notes that walwire does not end as it was asked to.
func (r *run) refuses(why string) {
	r.fail(&Failure{What: "stuck", Query: -1, Report: why})
}

// config is the configuration of the next start.
func (r *run) config() string {
	return configYAML(r.tables, int(r.variant.Load()), r.extra.Load(), r.stage.server.listen, r.stage.server.admin)
}

// reconfigure starts walwire with another configuration.
func (r *run) reconfigure() {
	r.stage.server.hold(syscall.SIGTERM)
	r.variant.Store((r.variant.Load() + 1) % variants)
	r.stage.server.release()
}
