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
	cmd, err := recvlogicalCommand(ctx, c, slot, os.DevNull, "--endpos", end)
	if err != nil {
		return 0, err
	}
	var says bytes.Buffer
	cmd.Stderr = &says
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("run pg_recvlogical: %w", err)
	}
	ended := make(chan struct{})
	var stop time.Time
	var endErr error
	go func() {
		defer close(ended)
		endErr = cmd.Wait()
		stop = time.Now()
	}()
	start, startErr := readerStart(ctx, c.conn, slot, 0, ended)
	if startErr != nil {
		_ = cmd.Process.Kill()
	}
	<-ended
	if err := errors.Join(startErr, endErr); err != nil {
		return 0, fmt.Errorf("run pg_recvlogical: %w: %s", err, bytes.TrimSpace(says.Bytes()))
	}
	return stop.Sub(start), nil
}

// recvlogicalCommand reads a slot into a file, from where it is.
func recvlogicalCommand(ctx context.Context, c *cluster, slot, file string, more ...string) (*exec.Cmd, error) {
	cfg, err := pgconn.ParseConfig(c.URL())
	if err != nil {
		return nil, errors.New("the private PostgreSQL has no usable URL") // the error would quote it
	}
	return c.program(ctx, "pg_recvlogical", append([]string{"--start", "--slot", slot, "--file", file, "--no-loop",
		"--option", "proto_version=1", "--option", "publication_names=" + publication,
		"--dbname", cfg.Database, "--no-password"}, more...)...) // it does not ask PGDATABASE
}
