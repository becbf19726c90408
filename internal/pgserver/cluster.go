package pgserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// startAttempts bounds how often a start is tried on another port, as a port
// that was free a moment ago can be taken by somebody else.
const startAttempts = 10

// cluster is a cluster of this machine's own binaries. It is a backend.
type cluster struct {
	bin      binaries
	account  account
	dir      directory
	settings map[string]string
	segment  int // of WAL, in MiB; 0: the default
	log      *slog.Logger
	password string
	port     int

	mu sync.Mutex // protects following
	pm *guarded   // nil when stopped
}

// newCluster makes the cluster where there is none, and starts it.
func newCluster(ctx context.Context, opts Options, bin binaries) (_ *cluster, err error) {
	c := &cluster{bin: bin, settings: opts.settings(), segment: opts.WALSegmentMB, log: opts.log()}
	if c.account, err = chooseAccount(); err != nil {
		return nil, err
	}
	if err := c.account.reach(bin.program("postgres")); err != nil {
		return nil, fmt.Errorf("PostgreSQL's programs in %s: %w", bin.dir, err)
	}
	if c.dir, err = openDirectory(opts.DataDir, c.account); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.dir.remove())
		}
	}()
	if c.password, err = c.dir.ensurePassword(); err != nil {
		return nil, err
	}
	if !c.dir.hasCluster() {
		if err := c.init(ctx); err != nil {
			return nil, err
		}
	}
	return c, c.startOnFreePort(ctx, opts.Port)
}

// init makes a new cluster. It is renamed into place at last, so that one that
// was interrupted is never taken for complete.
func (c *cluster) init(ctx context.Context) error {
	c.log.Info("making a private PostgreSQL cluster", "version", c.bin.major, "directory", c.dir.path)
	fresh := c.dir.data() + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("remove an unfinished cluster: %w", err)
	}
	if err := c.account.own(c.dir.path); err != nil {
		return fmt.Errorf("give the directory to user %s: %w", c.account.name, err)
	}
	if err := c.initdb(ctx, fresh); err != nil {
		return err
	}
	if err := includeConfig(fresh); err != nil {
		return err
	}
	if err := os.Rename(fresh, c.dir.data()); err != nil {
		return fmt.Errorf("put the new cluster in place: %w", err)
	}
	return nil
}

// initdb runs initdb. The default collation is a linguistic one where that
// works, as in most databases out there: what relies on byte order must say so.
func (c *cluster) initdb(ctx context.Context, data string) error {
	var icu []string
	if c.bin.major >= 15 {
		icu = []string{"--locale-provider=icu", "--icu-locale=en-US"}
	}
	err := c.runInitdb(ctx, data, icu)
	if err != nil && icu != nil && ctx.Err() == nil { // built without ICU
		err = c.runInitdb(ctx, data, nil)
	}
	return err
}

func (c *cluster) runInitdb(ctx context.Context, data string, extra []string) error {
	if err := c.truncateLog(); err != nil {
		return err
	}
	command := append([]string{
		c.bin.program("initdb"), "--pgdata=" + data, "--username=" + superuser, "--pwfile=" + c.dir.password(),
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C",
	}, extra...)
	if c.dir.temp {
		command = append(command, "--no-sync")
	}
	if c.segment > 0 {
		command = append(command, fmt.Sprintf("--wal-segsize=%d", c.segment))
	}
	p, err := c.guard(command).start()
	if err != nil {
		return err
	}
	if err := p.wait(ctx); err != nil {
		return fmt.Errorf("initdb: %w%s", err, c.logTail())
	}
	return nil
}

// startOnFreePort starts the postmaster on the port, or when it is 0 on a free one.
func (c *cluster) startOnFreePort(ctx context.Context, port int) error {
	var err error
	for range startAttempts {
		c.port = port
		if port == 0 {
			if c.port, err = freePort(); err != nil {
				return err
			}
		}
		if err = c.start(ctx); err == nil || port != 0 || !errors.Is(err, errPortTaken) {
			return err
		}
	}
	return err
}

// start runs the postmaster and waits until it is ready.
func (c *cluster) start(ctx context.Context) error {
	if err := c.truncateLog(); err != nil {
		return err
	}
	if err := writeConfig(c.dir.data(), c.settings, c.port); err != nil {
		return err
	}
	if err := c.account.own(filepath.Join(c.dir.data(), configFile)); err != nil {
		return fmt.Errorf("give the settings to user %s: %w", c.account.name, err)
	}
	p, err := c.guard([]string{c.bin.program("postgres"), "-D", c.dir.data()}).start()
	if err != nil {
		return err
	}
	if err := c.awaitReady(ctx, p); err != nil {
		return err
	}
	c.mu.Lock()
	c.pm = p
	c.mu.Unlock()
	return nil
}

// guard describes a command of this cluster's.
func (c *cluster) guard(command []string) guard {
	return guard{
		account: c.account, dir: c.dir.path, remove: c.dir.removeWhenOrphaned(), log: c.dir.log(), command: command,
	}
}

// awaitReady waits until the postmaster says in its pid file that it is ready,
// which is also what pg_ctl waits for. Recovery after a crash comes before it.
func (c *cluster) awaitReady(ctx context.Context, p *guarded) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		lock, err := readPidFile(c.dir.data())
		if err != nil {
			return errors.Join(err, p.stop(ctx, Immediate))
		}
		if lock.pid == p.pid && lock.ready {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.done:
			return c.startError(p.err)
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("start PostgreSQL: %w", context.Cause(ctx)), p.stop(ctx, Immediate))
		}
	}
}

// startError says why a postmaster did not start, by its log.
func (c *cluster) startError(cause error) error {
	tail := c.logTail()
	switch {
	case strings.Contains(tail, `lock file "postmaster.pid" already exists`):
		return fmt.Errorf("data directory %s is in use by a running PostgreSQL:"+
			" stop that one, or choose another directory", c.dir.path)
	case strings.Contains(tail, "could not create any TCP/IP sockets"), strings.Contains(tail, "could not bind"):
		return fmt.Errorf("start PostgreSQL on port %d: %w", c.port, errPortTaken)
	}
	return fmt.Errorf("start PostgreSQL: %w%s", cause, tail)
}

func (c *cluster) endpoint() endpoint {
	return endpoint{host: "127.0.0.1", port: c.port, password: c.password}
}

// pid is the postmaster's, or 0 when it has ended.
func (c *cluster) pid() int {
	c.mu.Lock()
	p := c.pm
	c.mu.Unlock()
	if p == nil {
		return 0
	}
	select {
	case <-p.done:
		return 0
	default:
		return p.pid
	}
}

// restart stops and starts the postmaster on the same port.
func (c *cluster) restart(ctx context.Context, mode StopMode) error {
	if err := c.halt(ctx, mode); err != nil {
		return fmt.Errorf("restart PostgreSQL: %w", err)
	}
	return c.start(ctx)
}

// halt ends the postmaster if there is one.
func (c *cluster) halt(ctx context.Context, mode StopMode) error {
	c.mu.Lock()
	p := c.pm
	c.pm = nil
	c.mu.Unlock()
	if p == nil {
		return nil
	}
	return p.stop(ctx, mode)
}

func (c *cluster) stop(ctx context.Context) error {
	if err := c.halt(ctx, Fast); err != nil {
		return fmt.Errorf("stop PostgreSQL: %w", err)
	}
	return c.dir.remove()
}
