package schedule

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/walwire/walwire/cdc"
)

const (
	// beat is how often the lock is asked for, and a connection with nothing to run is
	// asked whether it is still there.
	beat = time.Second
	// The pause before another connection, doubled each time.
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 5 * time.Second
)

// lockSQL takes the lock of a slot's servers, an advisory one of the session and the
// database.
const lockSQL = `SELECT pg_try_advisory_lock(hashtextextended('walwire schedules of ' || $1, 0))`

// sessionSQL has PostgreSQL notice within seconds that a holder's machine is gone: its
// lock would be kept until TCP gives up, for hours.
const sessionSQL = `SET application_name = 'walwire schedules';
	SET tcp_keepalives_idle = 3; SET tcp_keepalives_interval = 1; SET tcp_keepalives_count = 3; SET tcp_user_timeout = 6000`

// busySQL is the same while a statement is run. Where PostgreSQL runs on a system that
// can't look, it is refused.
const busySQL = `SET client_connection_check_interval = '1s'`

// Options are a Runner's.
type Options struct {
	// DatabaseURL is where the statements run. PasswordFile holds the password to it, in
	// place of one that it carries; "" is none.
	DatabaseURL, PasswordFile string
	// Slot is what the servers have in common of which one runs the statements.
	Slot       string
	Statements []Statement
	Log        *slog.Logger
}

// Runner runs statements while it holds the lock. Use New.
type Runner struct {
	opts    Options
	metrics metrics
}

// New makes a Runner.
func New(o Options) *Runner {
	return &Runner{opts: o, metrics: newMetrics(o.Statements)}
}

// Register adds the Runner's metrics.
func (r *Runner) Register(to prometheus.Registerer) error { return r.metrics.register(to) }

// Run runs the statements, or waits for its turn to, until ctx ends, and returns nil.
// A lost connection is made anew.
func (r *Runner) Run(ctx context.Context) error {
	for wait := firstBackoff; ; wait = min(2*wait, lastBackoff) {
		connected, err := r.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if connected {
			wait = firstBackoff
		}
		r.opts.Log.Warn("the schedules are not run by this server, connecting again", "error", err, "in", wait)
		if !pause(ctx, wait) {
			return nil
		}
	}
}

// session is one connection, until that or ctx ends.
func (r *Runner) session(ctx context.Context) (connected bool, err error) {
	conn, err := r.connect(ctx)
	if err != nil {
		return false, fmt.Errorf("connect by schedules.database_url: %w", err)
	}
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTime)
		defer cancel()
		_ = conn.Close(stop) // and so the lock is let go
	}()
	if err := r.lock(ctx, conn); err != nil {
		return true, fmt.Errorf("take the lock: %w", err)
	}
	r.opts.Log.Info("this server runs the schedules")
	r.metrics.running.Set(1)
	defer r.metrics.running.Set(0)
	return true, r.turns(ctx, conn)
}

func (r *Runner) connect(ctx context.Context) (*pgx.Conn, error) {
	conn, err := cdc.Connect(ctx, r.opts.DatabaseURL, r.opts.PasswordFile)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	if _, err = conn.Exec(ctx, sessionSQL); err != nil {
		_ = conn.Close(ctx)
		return nil, err
	}
	_, _ = conn.Exec(ctx, busySQL) // refused: then its keepalives have to do
	return conn, nil
}

// lock asks for the lock until it is there. Waiting in PostgreSQL instead would hold
// back what VACUUM may remove.
func (r *Runner) lock(ctx context.Context, conn *pgx.Conn) error {
	for {
		var held bool
		err := bounded(ctx, func(ctx context.Context) error {
			return conn.QueryRow(ctx, lockSQL, r.opts.Slot).Scan(&held)
		})
		if err != nil || held {
			return err
		}
		if !pause(ctx, beat) {
			return ctx.Err()
		}
	}
}

// turns runs each statement when it is due, the one that has waited longest first.
func (r *Runner) turns(ctx context.Context, conn *pgx.Conn) error {
	due := make([]time.Time, len(r.opts.Statements)) // zero: at once
	for {
		next := 0
		for i := range due {
			if due[i].Before(due[next]) {
				next = i
			}
		}
		if wait := time.Until(due[next]); wait > 0 {
			if err := bounded(ctx, conn.Ping); err != nil {
				return err
			}
			if !pause(ctx, min(wait, beat)) {
				return ctx.Err()
			}
			continue
		}
		s := r.opts.Statements[next]
		due[next] = time.Now().Add(s.Every)
		if err := r.turn(ctx, conn, s); err != nil {
			return err
		}
	}
}

// turn runs one statement and counts it. The error is a lost connection, or the end.
func (r *Runner) turn(ctx context.Context, conn *pgx.Conn, s Statement) error {
	begun := time.Now()
	rows, err := s.run(ctx, conn)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		r.metrics.runs.WithLabelValues(s.Name, resultError).Inc()
		if conn.IsClosed() {
			return fmt.Errorf("run %s: %w", s.Name, err)
		}
		r.opts.Log.Error("a schedule has failed, and is run again in its turn", "schedule", s.Name, "error", err, "every", s.Every)
		return nil
	}
	r.metrics.runs.WithLabelValues(s.Name, resultOK).Inc()
	r.metrics.rows.WithLabelValues(s.Name).Add(float64(rows))
	r.metrics.lastSuccess.WithLabelValues(s.Name).SetToCurrentTime()
	r.opts.Log.Debug("a schedule has run", "schedule", s.Name, "rows", rows, "duration", time.Since(begun))
	return nil
}

// bounded calls do with answerTime to take.
func bounded(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	return do(ctx)
}

// pause says whether it paused to the end.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
