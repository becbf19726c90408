package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// recvlogical reads a slot to the position end with pg_recvlogical into
// /dev/null, and says how long that took: from START_REPLICATION, as
// PostgreSQL noted it, to the end of the program.
func recvlogical(ctx context.Context, c *cluster, slot, end string) (time.Duration, error) {
	program, err := recvlogicalPath(c)
	if err != nil {
		return 0, err
	}
	cfg, err := pgconn.ParseConfig(c.URL())
	if err != nil {
		return 0, errors.New("the private PostgreSQL has no usable URL") // the error would quote it
	}
	cmd := recvlogicalCommand(program, cfg, slot, os.DevNull, "--endpos", end)
	var says bytes.Buffer
	cmd.Stderr = &says
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("run pg_recvlogical: %w", err)
	}
	stopped := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stopped()
	ended := make(chan error, 1)
	var stop time.Time
	go func() {
		err := cmd.Wait()
		stop = time.Now()
		ended <- err
	}()
	start, startErr := readerStart(ctx, c.conn, slot, 0)
	if startErr != nil {
		_ = cmd.Process.Kill()
	}
	if err := errors.Join(startErr, <-ended); err != nil {
		return 0, fmt.Errorf("run pg_recvlogical: %w: %s", err, bytes.TrimSpace(says.Bytes()))
	}
	return stop.Sub(start), nil
}

// recvlogicalCommand reads a slot into a file, from where it is.
func recvlogicalCommand(program string, cfg *pgconn.Config, slot, file string, more ...string) *exec.Cmd {
	cmd := exec.Command(program, append([]string{"--start", "--slot", slot, "--file", file, "--no-loop",
		"--option", "proto_version=1", "--option", "publication_names=" + publication,
		"--host", cfg.Host, "--port", fmt.Sprint(cfg.Port), "--username", cfg.User, "--dbname", cfg.Database, "--no-password"}, more...)...)
	cmd.Env = append(os.Environ(), "PGPASSWORD="+cfg.Password)
	return cmd
}

// recvlogicalPath is the program of the server's own version.
func recvlogicalPath(c *cluster) (string, error) {
	if c.BinDir() == "" {
		return "", errors.New("pg_recvlogical: the private PostgreSQL runs in a container, whose programs can't be run here:" +
			" install PostgreSQL's server programs, or set WALWIRE_PG_BIN")
	}
	return clientProgram(c, "pg_recvlogical")
}
