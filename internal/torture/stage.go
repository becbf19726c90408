package torture

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/walwire/walwire/internal/pgserver"
	"github.com/walwire/walwire/migrations"
)

// stage is what a run plays on: the database that things are done to, the one
// that remembers, the networks between and the server.
type stage struct {
	database *pgserver.Server
	memory   *pgserver.Server
	proxies  *proxies
	server   *server
	reader   *reader
	standby  *standby
	store    *store
	dir      string
	log      *slog.Logger
}

func openStage(ctx context.Context, r *run, binary string) (_ *stage, err error) {
	s := &stage{log: r.log}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.dir, err = os.MkdirTemp("", "walwire-torture-"); err != nil {
		return nil, err
	}
	group, starting := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		s.database, err = pgserver.Start(starting, pgserver.Options{Settings: map[string]string{
			"max_connections": "100", "wal_sender_timeout": "10s", "wal_keep_size": "0", "max_wal_size": "512MB", "log_min_messages": "warning"}})
		return err
	})
	group.Go(func() (err error) {
		s.memory, err = pgserver.Start(starting, pgserver.Options{Settings: map[string]string{
			"wal_level": "minimal", "max_wal_senders": "0", "synchronous_commit": "off", "autovacuum_naptime": "10s", "work_mem": "64MB"}})
		return err
	})
	if err = group.Wait(); err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	if r.store, err = openStore(ctx, s.memory.URL(), r.tables, r.versions); err != nil {
		return nil, err
	}
	s.store = r.store
	if err = s.makeSchema(ctx, r); err != nil {
		return nil, err
	}
	s.standby = &standby{url: s.database.URL(), log: r.log, r: rand.New(rand.NewPCG(r.options.Seed, 5))}
	for _, sql := range []string{"SELECT pg_create_physical_replication_slot('" + standbyName + "')",
		"ALTER SYSTEM SET synchronous_standby_names = '" + standbyName + "'", "SELECT pg_reload_conf()"} {
		if err = s.exec(ctx, sql); err != nil {
			return nil, err
		}
	}
	s.reader = &reader{url: s.database.URL(), tables: r.tables, versions: r.versions, log: r.log}
	listen, err := freeAddress()
	if err != nil {
		return nil, err
	}
	admin, err := freeAddress()
	if err != nil {
		return nil, err
	}
	if s.proxies, err = openProxies(net.JoinHostPort("127.0.0.1", strconv.Itoa(s.database.Port())), listen); err != nil {
		return nil, err
	}
	s.server = &server{binary: binary, dir: s.dir, listen: listen, admin: admin, databaseURL: s.roleURL(), config: r.config, ended: r.serverEnded, refused: r.refuses, changed: func() { r.chronicle.note("clients") }}
	return s, nil
}

// makeSchema makes the tables, the test's slot before there is any row, and the
// first rows.
func (s *stage) makeSchema(ctx context.Context, r *run) error {
	w := s.writer(r, -1)
	defer w.disconnect()
	var err error
	if w.conn, err = pgx.Connect(ctx, w.url); err != nil {
		return err
	}
	var rows int64
	if err := w.exec(ctx, &rows, schemaSQL(r.tables, r.users)); err != nil {
		return fmt.Errorf("make the schema: %w", err)
	}
	if err := w.exec(ctx, &rows, fmt.Sprintf("SELECT pg_create_logical_replication_slot('%s', 'pgoutput')", historySlot)); err != nil {
		return err
	}
	if err := w.exec(ctx, &rows, "SET IntervalStyle = 'iso_8601'"); err != nil {
		return err
	}
	if err := w.fill(ctx, &rows); err != nil {
		return fmt.Errorf("fill the tables: %w", err)
	}
	var names []pgx.Identifier
	for _, t := range r.tables {
		names = append(names, pgx.Identifier{"public", t.name})
		for _, leaf := range t.leaves {
			names = append(names, pgx.Identifier{"public", leaf})
		}
	}
	names = append(names, pgx.Identifier{"public", membersTable})
	return migrations.Role(ctx, s.database.URL(), serverRole, serverPassword, names)
}

// writer makes a writer; -1 is the one that fills the tables.
func (s *stage) writer(r *run, i int) *writer {
	random := rand.New(rand.NewPCG(r.options.Seed, uint64(10_000+i)))
	windows := slices.DeleteFunc(slices.Clone(r.queries), func(q *query) bool {
		return q.order == nil || q.order.limit == 0 || r.options.Query >= 0 && q.index != r.options.Query
	})
	return &writer{url: s.database.URL(), index: i, r: random, tables: r.tables, windows: windows, written: &r.written, rows: &r.counts.rows, noted: r.chronicle.note,
		pace: func(rows int64) time.Duration {
			return time.Duration(rows) * time.Second * time.Duration(r.options.Writers) / time.Duration(r.options.Rate)
		}}
}

// roleURL leads walwire to the database, through its proxy.
func (s *stage) roleURL() string {
	u, _ := url.Parse(s.database.URL()) // our own
	u.Host = s.proxies.database.Listen
	u.User = url.UserPassword(serverRole, serverPassword)
	return u.String()
}

// freeAddress gives an address that can be listened on again and again: below the
// ports that outgoing connections and test clusters take.
func freeAddress() (string, error) {
	var err error
	for range 50 {
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 6_000+rand.IntN(8_000))); err == nil {
			return l.Addr().String(), l.Close()
		}
	}
	return "", err
}

// exec runs a statement as a superuser on a connection of its own. It tries
// again while the database does not answer.
func (s *stage) exec(ctx context.Context, sql string) error {
	for {
		err := s.try(ctx, sql)
		if err == nil || ctx.Err() != nil || !survivable(err) {
			return err
		}
		pause(ctx, 50*time.Millisecond)
	}
}

func (s *stage) try(ctx context.Context, sql string) error {
	// It does not wait for the standby, which may be away.
	conn, err := pgx.Connect(ctx, s.database.URL()+"&synchronous_commit=local")
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	_, err = conn.Exec(ctx, sql)
	return err
}

// query is exec for one value of one row.
func (s *stage) query(ctx context.Context, to any, sql string) error {
	for {
		conn, err := pgx.Connect(ctx, s.database.URL())
		if err == nil {
			err = conn.QueryRow(ctx, sql).Scan(to)
			_ = conn.Close(context.WithoutCancel(ctx))
		}
		if err == nil || ctx.Err() != nil || !survivable(err) {
			return err
		}
		pause(ctx, 50*time.Millisecond)
	}
}

// beat writes something that is of no matter, so that the log goes on.
func (s *stage) beat(ctx context.Context) {
	_ = s.try(ctx, "UPDATE "+heartbeatsTable+" SET n = n + 1") // there will be another
}

// lastPosition is a position after all that has been committed.
func (s *stage) lastPosition(ctx context.Context) (uint64, error) {
	var text string
	if err := s.query(ctx, &text, "SELECT pg_current_wal_insert_lsn()::text"); err != nil {
		return 0, err
	}
	return parseLSN(text)
}

// janitor ends prepared transactions that their writer has lost; with no time
// to wait it does so once, for all of them.
func (s *stage) janitor(ctx context.Context, every time.Duration) error {
	for ctx.Err() == nil {
		var gid *string
		err := s.query(ctx, &gid, fmt.Sprintf("SELECT min(gid) FROM pg_prepared_xacts WHERE prepared < now() - interval '%d seconds'", min(every/time.Second, 1)*3))
		if err != nil {
			return ignoreCanceled(err)
		}
		if gid != nil {
			_ = s.try(ctx, []string{"COMMIT", "ROLLBACK"}[len(*gid)%2]+" PREPARED "+quote(*gid))
			continue
		}
		if every == 0 {
			return nil
		}
		pause(ctx, every)
	}
	return nil
}

// close ends everything that is there.
func (s *stage) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if s.proxies != nil {
		s.proxies.close()
	}
	if s.store != nil {
		s.store.close()
	}
	for _, p := range []*pgserver.Server{s.database, s.memory} {
		if p != nil {
			if err := p.Stop(ctx); err != nil {
				s.log.Warn("stop PostgreSQL", "error", err)
			}
		}
	}
	_ = os.RemoveAll(s.dir)
}
