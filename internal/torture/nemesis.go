package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/walwire/walwire/internal/pgserver"
)

// nemesis injects one fault after another.
type nemesis struct {
	run   *run
	stage *stage
	r     *rand.Rand
}

func newNemesis(r *run) *nemesis {
	return &nemesis{run: r, stage: r.stage, r: rand.New(rand.NewPCG(r.options.Seed, 77))}
}

// fault is a kind of fault: what is done and undone again.
type fault struct {
	name string
	do   func(n *nemesis, ctx context.Context) error
}

// faults are all kinds.
func faults() []fault {
	return []fault{
		{"kill", (*nemesis).kill},
		{"term", (*nemesis).term},
		{"walsender", (*nemesis).walsender},
		{"pg-fast", (*nemesis).pgFast},
		{"pg-immediate", (*nemesis).pgImmediate},
		{"db-cut", (*nemesis).databaseCut},
		{"db-slow", (*nemesis).databaseSlow},
		{"db-silent", (*nemesis).databaseSilent},
		{"client-cut", (*nemesis).clientCut},
		{"client-slow", (*nemesis).clientSlow},
		{"client-silent", (*nemesis).clientSilent},
		{"connection-limit", (*nemesis).connectionLimit},
		{"idle-transaction", (*nemesis).idleTransaction},
		{"add-column", (*nemesis).addColumn},
		{"alter-type", (*nemesis).alterType},
		{"alter-values", (*nemesis).alterValues},
		{"partition", (*nemesis).partition},
		{"standby-away", (*nemesis).standbyAway},
		{"standby-kill", (*nemesis).standbyKill},
		{"config", (*nemesis).config},
		{"reload", (*nemesis).reload},
		{"revoke", (*nemesis).revoke},
		{"widen", (*nemesis).widen},
		{"slot-drop", (*nemesis).slotDrop},
		{"slot-advance", (*nemesis).slotAdvance},
		{"slot-invalid", (*nemesis).slotInvalid},
	}
}

func faultNames() []string {
	var out []string
	for _, f := range faults() {
		out = append(out, f.name)
	}
	return out
}

// faults are the kinds that the options name.
func (o *Options) faults() []fault {
	words := strings.Split(o.Faults, ",")
	if o.SDK > 0 { // it does not say which configuration a connection is under
		words = append(words, "-config")
	}
	return slices.DeleteFunc(faults(), func(f fault) bool {
		return !slices.Contains(words, "all") && !slices.Contains(words, f.name) || slices.Contains(words, "-"+f.name)
	})
}

// haunt goes through the kinds in random order, again and again, until ctx ends.
// What has begun then is undone, unless the run has failed.
func (n *nemesis) haunt(ctx, run context.Context) error {
	chosen := n.run.options.faults()
	if len(chosen) == 0 {
		return nil
	}
	for {
		for _, i := range n.r.Perm(len(chosen)) {
			pause(ctx, n.run.options.FaultPace/2+time.Duration(n.r.Int64N(int64(n.run.options.FaultPace))))
			if ctx.Err() != nil {
				return nil
			}
			n.run.log.Info("fault", "kind", chosen[i].name)
			switch err := chosen[i].do(n, run); {
			case errors.Is(err, errNotDone):
				n.run.log.Warn("a fault did not come about", "kind", chosen[i].name)
			case err != nil:
				return fmt.Errorf("fault %s: %w", chosen[i].name, err)
			default:
				n.run.counts.fault(chosen[i].name)
			}
		}
	}
}

// errNotDone is a fault that found no moment for itself: it is not counted.
var errNotDone = errors.New("not done")

// some is a time up to most.
func (n *nemesis) some(most time.Duration) time.Duration {
	return time.Duration(n.r.Int64N(int64(most)))
}

func (n *nemesis) kill(ctx context.Context) error {
	n.stage.server.hold(syscall.SIGKILL)
	pause(ctx, n.some(time.Second))
	n.stage.server.release()
	return nil
}

func (n *nemesis) term(ctx context.Context) error {
	n.stage.server.hold(syscall.SIGTERM)
	pause(ctx, n.some(time.Second))
	n.stage.server.release()
	return nil
}

func (n *nemesis) config(context.Context) error {
	n.run.reconfigure()
	return nil
}

// reload changes the configuration's file while walwire runs, by what nobody needs.
func (n *nemesis) reload(ctx context.Context) error {
	before := n.stage.server.loaded(ctx)
	n.run.extra.Store(!n.run.extra.Load())
	if err := n.stage.server.writeConfig(); err != nil {
		return err
	}
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end) && ctx.Err() == nil; pause(ctx, 50*time.Millisecond) {
		if now := n.stage.server.loaded(ctx); before > 0 && now > before {
			pause(ctx, n.some(2*time.Second))
			return nil
		}
	}
	return errNotDone
}

func (n *nemesis) walsender(ctx context.Context) error {
	var ended int
	err := n.stage.query(ctx, &ended, "SELECT count(pg_terminate_backend(active_pid)) FROM pg_replication_slots WHERE slot_name = '"+serverSlot+"' AND active_pid IS NOT NULL")
	if err == nil && ended == 0 {
		return errNotDone
	}
	return err
}

func (n *nemesis) pgFast(ctx context.Context) error { return n.restart(ctx, pgserver.Fast) }

func (n *nemesis) pgImmediate(ctx context.Context) error { return n.restart(ctx, pgserver.Immediate) }

func (n *nemesis) restart(ctx context.Context, mode pgserver.StopMode) error {
	within, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	err := n.stage.database.Restart(within, mode)
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("PostgreSQL: %v", err) // not as the end of the run, which a deadline would be taken for
	}
	return err
}

func (n *nemesis) databaseCut(ctx context.Context) error {
	cut(n.stage.proxies.database)
	pause(ctx, n.some(2*time.Second))
	return mend(n.stage.proxies.database)
}

func (n *nemesis) databaseSlow(ctx context.Context) error {
	p := n.stage.proxies.database
	err := addToxic(p, "latency", fmt.Sprintf(`{"latency": %d, "jitter": 20}`, 5+n.r.IntN(60)))
	pause(ctx, n.some(3*time.Second))
	heal(ctx, p)
	return err
}

// databaseSilent takes everything and passes nothing on, as a dead route does;
// what is lost is lost, so the connections end with it.
func (n *nemesis) databaseSilent(ctx context.Context) error {
	p := n.stage.proxies.database
	err := addToxic(p, "timeout", `{"timeout": 0}`)
	pause(ctx, n.some(3*time.Second))
	heal(ctx, p)
	return err
}

// clientProxy is a way of some clients, which may be silent until done, and a while after.
func (n *nemesis) clientProxy() (p *proxy, done func()) {
	note := func() { n.run.chronicle.note("clients") }
	note()
	return n.stage.proxies.clients[n.r.IntN(clientProxies)], note
}

func (n *nemesis) clientCut(ctx context.Context) error {
	p, done := n.clientProxy()
	defer done()
	cut(p)
	pause(ctx, n.some(time.Second))
	return mend(p)
}

func (n *nemesis) clientSlow(ctx context.Context) error {
	p, done := n.clientProxy()
	defer done()
	err := addToxic(p, "latency", fmt.Sprintf(`{"latency": %d, "jitter": 50}`, 50+n.r.IntN(300)))
	if err == nil && n.r.IntN(2) == 0 {
		err = addToxic(p, "bandwidth", `{"rate": 30}`)
	}
	pause(ctx, n.some(4*time.Second))
	return errors.Join(err, replace(p))
}

func (n *nemesis) clientSilent(ctx context.Context) error {
	p, done := n.clientProxy()
	defer done()
	err := addToxic(p, "timeout", `{"timeout": 0}`)
	pause(ctx, n.some(3*time.Second))
	return errors.Join(err, replace(p))
}

// connectionLimit leaves walwire fewer connections than it wants.
func (n *nemesis) connectionLimit(ctx context.Context) error {
	err := n.stage.exec(ctx, fmt.Sprintf("ALTER ROLE %s CONNECTION LIMIT %d", serverRole, n.r.IntN(3)))
	if err == nil {
		err = n.stage.exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '"+serverRole+"'")
	}
	if err != nil {
		return err
	}
	pause(ctx, n.some(2*time.Second))
	return n.stage.exec(ctx, "ALTER ROLE "+serverRole+" CONNECTION LIMIT -1")
}

// standbyKill kills walwire while commits are decoded and not visible: the next
// process has to know of them, although it may have read them already.
func (n *nemesis) standbyKill(ctx context.Context) error {
	n.stage.standby.away.Store(true)
	defer n.stage.standby.away.Store(false)
	pause(ctx, 4*time.Second) // until a status has told what may be forgotten
	n.stage.server.hold(syscall.SIGKILL)
	n.stage.server.release()
	pause(ctx, 3*time.Second) // until clients are back
	return nil
}

// standbyAway leaves commits that wait for the standby decoded and not visible.
func (n *nemesis) standbyAway(ctx context.Context) error {
	n.stage.standby.away.Store(true)
	defer n.stage.standby.away.Store(false)
	pause(ctx, n.some(2*time.Second))
	return nil
}

// idleTransaction writes, waits and then commits, while others go on.
func (n *nemesis) idleTransaction(ctx context.Context) error {
	w := n.stage.writer(n.run, 99)
	w.r = n.r
	var rows int64
	defer w.disconnect()
	if err := w.connect(ctx); err != nil {
		return errNotDone // the database is away
	}
	err := w.exec(ctx, &rows, "BEGIN")
	if err == nil {
		err = w.change(ctx, &rows)
	}
	if err == nil {
		pause(ctx, time.Second+n.some(3*time.Second))
		err = w.exec(ctx, &rows, []string{"COMMIT", "ROLLBACK"}[n.r.IntN(2)])
	}
	if err != nil && survivable(err) {
		return errNotDone
	}
	return err
}
