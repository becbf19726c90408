package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/jackc/pgx/v5"
)

// stage is what a row of the table is measured on: a private PostgreSQL with data and,
// once they are started, a server and its clients.
type stage struct {
	options Options
	log     *slog.Logger
	dir     string // for files
	data    dataset
	cluster *cluster
	process *process
	swarm   *swarm
	edit    func(config []byte) []byte // of the server's configuration
}

// onStage makes a stage, has run use it, and removes it.
func onStage(ctx context.Context, o Options, d dataset, run func(*stage) (string, error)) (line string, err error) {
	dir, err := os.MkdirTemp("", "walwire-bench-")
	if err != nil {
		return "", fmt.Errorf("make a directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := &stage{options: o, log: o.Log, dir: dir, data: d, edit: func(config []byte) []byte { return config }}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	if s.cluster, err = startCluster(ctx, d, s.log); err != nil {
		return "", err
	}
	if err := makeSlot(ctx, s.cluster.conn, serverSlot); err != nil {
		return "", err
	}
	return run(s)
}

// serve starts the server, after the one before has ended.
func (s *stage) serve(ctx context.Context, flags ...string) (err error) {
	s.endServer()
	s.log.Info("starting the server")
	s.process, err = startProcess(ctx, append(s.options.Server[:len(s.options.Server):len(s.options.Server)], flags...), s.cluster, s.dir, s.edit)
	return err
}

// endServer ends the clients, then the server.
func (s *stage) endServer() {
	s.endClients()
	if s.process != nil {
		s.process.close(s.log)
		s.process = nil
	}
}

func (s *stage) endClients() {
	if s.swarm != nil {
		s.swarm.close()
		s.swarm = nil
	}
}

// gather connects an audience to the server.
func (s *stage) gather(ctx context.Context, n int, a *audience) (err error) {
	s.endClients()
	s.log.Info("connecting clients", "clients", n)
	s.swarm, err = a.gather(ctx, n, s.process)
	if a.putOff > 0 {
		s.log.Warn("the server was busy: clients had to try again", "times", a.putOff)
	}
	return err
}

// position is the end of the WAL.
func (s *stage) position(ctx context.Context) (lsn string, err error) {
	if err := s.cluster.conn.QueryRow(ctx, "SELECT pg_current_wal_insert_lsn()::text").Scan(&lsn); err != nil {
		return "", fmt.Errorf("read the WAL's position: %w", err)
	}
	return lsn, nil
}

// connect makes a connection of its own to PostgreSQL.
func (s *stage) connect(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.Connect(ctx, s.cluster.URL())
	if err != nil {
		return nil, fmt.Errorf("connect to the private PostgreSQL: %w", err)
	}
	return conn, nil
}

// close ends all that was started, the last first.
func (s *stage) close(ctx context.Context) error {
	s.endServer()
	if s.cluster != nil {
		return s.cluster.close(ctx)
	}
	return nil
}
