package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/walwire/walwire/internal/pgserver"
	"github.com/walwire/walwire/migrations"
)

const (
	serverRole = "walwire" // what the server runs as
	stopTime   = 30 * time.Second
)

// cluster is a private PostgreSQL with the reference schema and data.
type cluster struct {
	*pgserver.Server
	conn     *pgx.Conn // a superuser's, for the bench's own questions
	password string    // of serverRole
}

// startCluster makes it. On an error nothing is left running.
func startCluster(ctx context.Context, d dataset, log *slog.Logger) (*cluster, error) {
	server, err := pgserver.Start(ctx, pgserver.Options{Log: log, Settings: map[string]string{
		"shared_buffers": "1GB",
		// Nothing of the server's own housekeeping falls into a measurement:
		// checkpoints are the bench's, and dead rows stay.
		"autovacuum":             "off",
		"checkpoint_timeout":     "1h",
		"max_wal_size":           "64GB",
		"max_slot_wal_keep_size": "-1",
	}})
	if err != nil {
		return nil, fmt.Errorf("start the private PostgreSQL: %w", err)
	}
	c := &cluster{Server: server, password: randomSecret()}
	if err := c.fill(ctx, d, log); err != nil {
		return nil, errors.Join(err, c.close(ctx))
	}
	return c, nil
}

func (c *cluster) fill(ctx context.Context, d dataset, log *slog.Logger) (err error) {
	if err := migrations.Up(ctx, c.URL(), log); err != nil {
		return err
	}
	if err := migrations.Role(ctx, c.URL(), serverRole, c.password, migrations.MappedTables()); err != nil {
		return err
	}
	if c.conn, err = pgx.Connect(ctx, c.URL()); err != nil {
		return fmt.Errorf("connect to the private PostgreSQL: %w", err)
	}
	log.Info("loading appointments", "rows", d.rows, "companies", d.companies())
	return d.load(ctx, c.conn)
}

// serverURL is the database as the server reaches it.
func (c *cluster) serverURL() (string, error) {
	u, err := url.Parse(c.URL())
	if err != nil {
		return "", errors.New("the private PostgreSQL has no usable URL") // the error would quote it
	}
	u.User = url.UserPassword(serverRole, c.password)
	return u.String(), nil
}

// program is one of PostgreSQL's clients, of the server's own version or from the PATH, that
// connects to the database, and ends with ctx.
func (c *cluster) program(ctx context.Context, name string, args ...string) (*exec.Cmd, error) {
	if c.BinDir() == "" && name == "pg_recvlogical" {
		return nil, errors.New("pg_recvlogical: the private PostgreSQL runs in a container, whose programs can't be run here:" +
			" install PostgreSQL's server programs, or set WALWIRE_PG_BIN")
	}
	path := filepath.Join(c.BinDir(), name)
	if _, err := os.Stat(path); c.BinDir() == "" || err != nil {
		if path, err = exec.LookPath(name); err != nil {
			return nil, fmt.Errorf("%w: install PostgreSQL's client programs", err)
		}
	}
	cfg, err := pgconn.ParseConfig(c.URL())
	if err != nil {
		return nil, errors.New("the private PostgreSQL has no usable URL") // the error would quote it
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "PGHOST="+cfg.Host, "PGPORT="+fmt.Sprint(cfg.Port), "PGUSER="+cfg.User, "PGPASSWORD="+cfg.Password, "PGDATABASE="+cfg.Database)
	return cmd, nil
}

// output runs a program to its end.
func output(cmd *exec.Cmd) ([]byte, error) {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("run %s: %w: %s", filepath.Base(cmd.Path), err, bytes.TrimSpace(out))
	}
	return out, nil
}

// close stops the server and removes its data, also after ctx has ended.
func (c *cluster) close(ctx context.Context) error {
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	if c.conn != nil {
		_ = c.conn.Close(stop)
	}
	if err := c.Stop(stop); err != nil {
		return fmt.Errorf("stop the private PostgreSQL: %w", err)
	}
	return nil
}

// randomSecret has 256 bits, in hex.
func randomSecret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
