package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/mapping"
	"github.com/walwire/walwire/stream"
)

const (
	// configInterval is how often the configuration's file is looked at.
	configInterval = time.Second
	// configSettle is how long the file has to stay as it is to be read.
	configSettle = 100 * time.Millisecond
	// configRetry is when a file that could not be put in force for want of the database
	// is tried again, twice as long each time, up to configRetryMost: it may wait for
	// locks, and others then for it.
	configRetry     = 10 * time.Second
	configRetryMost = time.Minute
)

// reload is what is known of the configuration in force. Safe for concurrent use.
type reload struct {
	path string
	load func() (*mapping.Config, error)
	now  chan struct{} // capacity 1: the file is to be read, changed or not

	turn sync.Mutex // held while one is put in force

	looking chan struct{} // capacity 1: a place for who looks at the file, and has the following
	content []byte        // of the file, when it was last looked at
	again   time.Time     // when it is to be tried again, unchanged; zero: not
	wait    time.Duration // how long until then, the last time

	mu       sync.Mutex // protects following
	loadedAt time.Time
	problem  string   // why the file's content is not in force, "" when it is
	restart  []string // settings of the file that count from the next start on
}

// FollowFile makes Run put the file at path in force again whenever it holds something
// else than content. load reads it. Call it before Run.
func (a *App) FollowFile(path string, content []byte, load func() (*mapping.Config, error)) {
	r := &a.reload
	r.path, r.content, r.load = path, content, load
	r.now, r.looking = make(chan struct{}, 1), make(chan struct{}, 1)
}

// ReadConfig makes Run read the file now, changed or not.
func (a *App) ReadConfig() {
	select {
	case a.reload.now <- struct{}{}:
	default:
	}
}

func (a *App) inForce(cfg *mapping.Config, restart ...string) {
	a.live.Store(cfg)
	r := &a.reload
	r.mu.Lock()
	defer r.mu.Unlock()
	r.loadedAt, r.problem, r.restart = time.Now(), "", restart
}

func (r *reload) failed(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problem = err.Error()
}

// why is the problem that there is, "" for none.
func (r *reload) why() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.problem
}

// state is for /readyz.
func (r *reload) state() map[string]any {
	r.mu.Lock()
	defer r.mu.Unlock()
	state := map[string]any{"loaded_at": r.loadedAt.UTC().Format(time.RFC3339Nano)}
	if r.problem != "" {
		state["error"] = r.problem
	}
	if len(r.restart) > 0 {
		state["restart_needed"] = r.restart
	}
	return state
}

// registerReload adds the configuration's state to the metrics.
func (a *App) registerReload() error {
	gauge := func(name, help string, value func(r *reload) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "walwire_config_" + name, Help: help}, func() float64 {
			a.reload.mu.Lock()
			defer a.reload.mu.Unlock()
			return value(&a.reload)
		})
	}
	for _, c := range []prometheus.Collector{
		gauge("loaded_timestamp_seconds", "When the configuration in force was loaded.", func(r *reload) float64 { return float64(r.loadedAt.UnixMilli()) / 1000 }),
		gauge("reload_failing", "1 while the configuration's file has changed and can't be put in force.", func(r *reload) float64 {
			if r.problem != "" {
				return 1
			}
			return 0
		}),
		gauge("restart_needed", "Settings of the file that count from the next start on.", func(r *reload) float64 { return float64(len(r.restart)) }),
	} {
		if err := a.registry.Register(c); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return nil
}

// read gives what is to be seen of the file: its content, or why it can't be read.
func (r *reload) read() []byte {
	content, err := os.ReadFile(r.path)
	if err != nil {
		return []byte(err.Error())
	}
	return content
}

// settle waits until the file holds the same twice, and gives that: who writes it in
// place, and not another one to its name, is not to be read half-way.
func (r *reload) settle(ctx context.Context, content []byte) []byte {
	for {
		select {
		case <-ctx.Done():
			return content
		case <-time.After(configSettle):
		}
		again := r.read()
		if bytes.Equal(again, content) {
			return content
		}
		content = again
	}
}

// watchConfig puts the file in force when it changes, and when it is asked to; also
// while the server stands by.
func (a *App) watchConfig(ctx context.Context) error {
	if a.reload.path == "" {
		return nil
	}
	tick := time.NewTicker(configInterval)
	defer tick.Stop()
	for {
		asked := false
		select {
		case <-ctx.Done():
			return nil
		case <-a.reload.now:
			asked = true
		case <-tick.C:
		}
		a.lookAtConfig(ctx, asked, time.Now())
	}
}

// lookAtConfig puts the file in force where it holds something else than when it was
// last looked at, is asked for, or was to be tried again by then.
func (a *App) lookAtConfig(ctx context.Context, asked bool, by time.Time) {
	r := &a.reload
	if r.path == "" {
		return
	}
	select {
	case r.looking <- struct{}{}:
		defer func() { <-r.looking }()
	case <-ctx.Done():
		return
	}
	content := r.read()
	if !asked && bytes.Equal(content, r.content) && (r.again.IsZero() || by.Before(r.again)) {
		return
	}
	if content = r.settle(ctx, content); ctx.Err() != nil {
		return
	}
	former := r.why()
	if asked || !bytes.Equal(content, r.content) {
		former, r.wait = "", 0 // who has changed it is answered
	}
	r.content, r.again = content, time.Time{}
	cfg, err := r.load()
	unread := err != nil
	switch {
	case !bytes.Equal(r.read(), r.content): // written meanwhile: what was loaded may be half of it
		r.content = nil
		return
	case err != nil:
		r.failed(err)
	default:
		err = a.Reload(ctx, cfg)
	}
	if err == nil {
		return
	}
	if ctx.Err() != nil || errors.Is(err, errNotFollowing) {
		r.again = time.Now().Add(configInterval)
		return
	}
	if !unread { // the database may be mended instead
		r.wait = min(max(2*r.wait, configRetry), configRetryMost)
		r.again = time.Now().Add(r.wait)
	}
	var findings mapping.Errors
	switch {
	case !unread && err.Error() == former:
	case unread, errors.As(err, &findings):
		a.log.Error("the configuration's file is not put in force: mend it", "file", r.path, "error", err)
	default:
		a.log.Error("the configuration's file can't be put in force now", "file", r.path, "error", err, "again_in", r.wait)
	}
}

// errNotFollowing is a configuration that can't be held against the database yet.
var errNotFollowing = errors.New("the database has not been reached yet")

// Reload puts another configuration in force, as far as that can be done while the
// server runs: tables, rooms, rules, users, tokens, origins and statistics. What else differs
// counts from the next start on, and is said so. An error has changed nothing.
func (a *App) Reload(ctx context.Context, cfg *mapping.Config) error {
	a.reload.turn.Lock()
	defer a.reload.turn.Unlock()
	restart := a.fixed(cfg)
	taken := *a.cfg
	taken.LocatedAs(cfg)
	taken.Tables, taken.Rooms, taken.User, taken.Stats, taken.Origins, taken.Auth = cfg.Tables, cfg.Rooms, cfg.User, cfg.Stats, cfg.Origins, cfg.Auth
	taken.Auth.JWKS = a.cfg.Auth.JWKS
	if len(cfg.Auth.Keys) == 0 && a.jwks == nil {
		err := mapping.Errors{{File: cfg.File, Path: "auth.jwks", Message: "counts from the next start on: restart walwire, or leave a key in auth.keys until then"}}
		a.reload.failed(err)
		return err
	}
	err := a.put(ctx, &taken)
	if err != nil {
		a.reload.failed(err)
		return err
	}
	a.inForce(&taken, restart...)
	a.log.Info("the configuration is in force", "file", cfg.File, "tables", len(taken.Tables), "restart_needed", strings.Join(restart, ", "))
	return nil
}

// put checks a configuration against the database and puts it in force between two
// commits.
func (a *App) put(ctx context.Context, cfg *mapping.Config) error {
	p := a.parts.Load()
	if p == nil {
		return errNotFollowing
	}
	checker, err := authenticator(cfg, a.jwks)
	if err != nil {
		return err
	}
	if err := a.binds(ctx, cfg, p, loadSchema); err != nil { // before the database is changed for it
		return err
	}
	fresh := a.fresh(cfg)
	if cfg.Manage {
		if err := a.manageReloaded(ctx, cfg, p, fresh); err != nil {
			return err
		}
	}
	if err := a.binds(ctx, cfg, p, served); err != nil {
		return err
	}
	if err := a.worsens(ctx, cfg, p); err != nil {
		return err
	}
	joined, err := a.awaitNew(ctx, cfg, p.snapshotter, fresh)
	if err != nil {
		return err
	}
	before := a.live.Swap(cfg)
	if err := p.hub.Reconfigure(ctx, joined); err != nil {
		a.live.Store(before)
		return err
	}
	a.auth.next.Store(checker)
	if err := a.allow(cfg); err != nil {
		return err
	}
	a.entry.Lock()
	server := a.server.Load()
	a.entry.Unlock()
	if server == nil { // it stands by, or is made by this configuration
		return nil
	}
	server.SetViewers(viewers(cfg))
	if !reflect.DeepEqual(before.User.Rows, cfg.User.Rows) {
		server.LookUpAgain(ctx)
	}
	return nil
}

// binds refuses a configuration that breaks a table which is served, or has one that
// can't be, as load sees the database.
func (a *App) binds(ctx context.Context, cfg *mapping.Config, p *parts, load func(context.Context, *mapping.Config, cdc.CatalogQuerier, string) (*stream.Schema, error)) error {
	now := p.hub.Schema()
	if now == nil || len(now.Broken) == 0 {
		if err := Compile(ctx, cfg, p.snapshotter.Pool()); err != nil {
			return err
		}
	}
	schema, err := load(ctx, cfg, p.snapshotter.Pool(), a.companyKind())
	if err != nil {
		return err
	}
	for _, t := range cfg.Tables {
		broken := schema.Broken[t.Name]
		if broken == nil || now != nil && now.Broken[t.Name] != nil {
			continue // as before
		}
		return broken
	}
	return nil
}

// manageReloaded is manage for the tables that a configuration adds, and for what others have
// got just now. keepManaged has what is left out.
func (a *App) manageReloaded(ctx context.Context, cfg *mapping.Config, p *parts, fresh []cdc.TableName) error {
	if len(fresh) > 0 {
		if _, err := a.manage(ctx, cfg, fresh); err != nil {
			return err
		}
	}
	var broken []cdc.TableName
	if now := p.hub.Schema(); now != nil {
		broken = relations(cfg, now.Broken)
	}
	rest := slices.DeleteFunc(tableNames(cfg), func(name cdc.TableName) bool { return slices.Contains(fresh, name) || slices.Contains(broken, name) })
	if err := a.publishLacking(ctx, cfg, p.snapshotter, rest); err != nil {
		a.log.Error("what the publication lacks can't be added", "publication", cfg.Publication, "error", err)
	}
	return ctx.Err()
}

// fresh are the tables that the configuration in force does not have.
func (a *App) fresh(cfg *mapping.Config) []cdc.TableName {
	known := tableNames(a.live.Load())
	return slices.DeleteFunc(tableNames(cfg), func(name cdc.TableName) bool { return slices.Contains(known, name) })
}

// worsens refuses a configuration that meets what can't be borne in the database, other
// than the one in force.
func (a *App) worsens(ctx context.Context, cfg *mapping.Config, p *parts) error {
	inspect := func(cfg *mapping.Config) ([]cdc.Finding, error) {
		opts := inspectOptions(cfg)
		opts.Following = true
		return cdc.Inspect(ctx, p.snapshotter.Pool(), opts)
	}
	now, err := inspect(a.live.Load())
	if err != nil {
		return err
	}
	then, err := inspect(cfg)
	if err != nil {
		return err
	}
	return a.refuse(bear(then, func(f cdc.Finding) bool {
		return slices.ContainsFunc(now, func(known cdc.Finding) bool { return known.Severity == f.Severity && known.Message == f.Message })
	}))
}

// awaitNew waits for what was open when tables joined the publication that were not
// served before, and gives the place in the publication as of which they are complete.
func (a *App) awaitNew(ctx context.Context, cfg *mapping.Config, s *cdc.Snapshotter, fresh []cdc.TableName) (map[cdc.TableName]string, error) {
	if len(fresh) == 0 {
		return nil, nil
	}
	joined, err := places(ctx, cfg, s, fresh)
	if err != nil {
		return nil, err
	}
	return joined, cdc.WaitAdded(ctx, s.Pool(), a.log, fresh)
}

func viewers(cfg *mapping.Config) stream.Viewers {
	return stream.Viewers{Operators: cfg.User.Operators, Roles: cfg.Stats.Roles, Branch: cfg.Stats.Branch}
}

// fixed names the settings in which cfg differs from what the server was started with,
// and which it can't change while it runs.
func (a *App) fixed(cfg *mapping.Config) []string {
	var names []string
	for _, s := range []struct {
		name    string
		of, now any
	}{
		{"database_url", a.cfg.DatabaseURL, cfg.DatabaseURL},
		{"database_password_file", a.cfg.DatabasePasswordFile, cfg.DatabasePasswordFile},
		{"admin_database_url", a.cfg.AdminDatabaseURL, cfg.AdminDatabaseURL},
		{"manage", a.cfg.Manage, cfg.Manage},
		{"listen", a.cfg.Listen, cfg.Listen},
		{"base_path", a.cfg.BasePath, cfg.BasePath},
		{"trusted_proxies", a.cfg.TrustedProxies, cfg.TrustedProxies},
		{"tls", a.cfg.TLS, cfg.TLS},
		{"admin", a.cfg.Admin, cfg.Admin},
		{"drain", a.cfg.Drain, cfg.Drain},
		{"slot", a.cfg.Slot, cfg.Slot},
		{"slot_failover", a.cfg.SlotFailover, cfg.SlotFailover},
		{"on_slot_loss", a.cfg.OnSlotLoss, cfg.OnSlotLoss},
		{"publication", a.cfg.Publication, cfg.Publication},
		{"cursor_key", cursorKey(a.cfg), cursorKey(cfg)},
		{"schedules", a.cfg.Schedules, cfg.Schedules},
		{"retention", a.cfg.Retention, cfg.Retention},
		{"limits", a.cfg.Limits, cfg.Limits},
		{"auth.jwks", a.cfg.Auth.JWKS, cfg.Auth.JWKS},
	} {
		if !reflect.DeepEqual(s.of, s.now) {
			names = append(names, s.name)
		}
	}
	return names
}
