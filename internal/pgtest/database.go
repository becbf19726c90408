package pgtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Database makes a database with a name of its own in the shared cluster and
// returns its superuser's URL. At the end of the test its replication slots
// are dropped, then itself, whoever is still connected.
func Database(tb testing.TB) string {
	tb.Helper()
	return DatabaseIn(tb, ClusterURL(tb))
}

// DatabaseIn is Database in the server that adminURL leads to.
func DatabaseIn(tb testing.TB, adminURL string) string {
	tb.Helper()
	name := Unique("walwire_test")
	admin := MustConnect(tb, adminURL)
	MustExec(tb, admin, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if err := dropDatabase(ctx, adminURL, name); err != nil {
			tb.Errorf("drop the test's database: %v", err)
		}
	})
	return WithDatabase(tb, adminURL, name)
}

// Unique is prefix, an underscore and random hex digits: a name for what all
// databases of a server share, such as slots and roles.
func Unique(prefix string) string {
	random := make([]byte, 6)
	_, _ = rand.Read(random) // never fails
	return prefix + "_" + hex.EncodeToString(random)
}

const objectInUse = "55006"

// dropDatabase drops the database's slots, which would keep it, and itself.
// A test may have stopped the server, which then has nothing to drop.
func dropDatabase(ctx context.Context, adminURL, name string) error {
	conn, err := pgx.Connect(ctx, adminURL)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	if err := dropSlots(ctx, conn, name); err != nil {
		return err
	}
	for { // it waits five seconds for who is made to leave
		_, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
		var busy *pgconn.PgError
		if !errors.As(err, &busy) || busy.Code != objectInUse {
			return err
		}
	}
}

// dropSlots ends the slots' readers and drops the slots. A reader that is
// ending still holds its slot for a moment, hence the attempts.
func dropSlots(ctx context.Context, conn *pgx.Conn, database string) error {
	for {
		_, err := conn.Exec(ctx, `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots
			WHERE database = $1 AND active_pid IS NOT NULL`, database)
		if err != nil {
			return fmt.Errorf("end the slots' readers: %w", err)
		}
		_, err = conn.Exec(ctx, `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
			WHERE database = $1 AND NOT active AND NOT temporary`, database)
		var pgErr *pgconn.PgError
		if err != nil && (!errors.As(err, &pgErr) || pgErr.Code != objectInUse) {
			return fmt.Errorf("drop the slots: %w", err)
		}
		var left int
		if err := conn.QueryRow(ctx, `SELECT count(*) FROM pg_replication_slots WHERE database = $1`,
			database).Scan(&left); err != nil {
			return fmt.Errorf("count the slots: %w", err)
		}
		if left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("drop the slots: %d are still in use: %w", left, context.Cause(ctx))
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// MustConnect opens a connection that is closed when the test ends.
func MustConnect(tb testing.TB, url string) *pgx.Conn {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), url)
	if err != nil {
		tb.Fatalf("connect: %v", err)
	}
	tb.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// Execer is what MustExec needs of a *pgx.Conn, a pgx.Tx or a *pgxpool.Pool.
type Execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// MustExec runs a statement, or without args several of them.
func MustExec(tb testing.TB, db Execer, sql string, args ...any) pgconn.CommandTag {
	tb.Helper()
	tag, err := db.Exec(tb.Context(), sql, args...)
	if err != nil {
		tb.Fatalf("exec %s: %v", sql, err)
	}
	return tag
}

// AwaitLock waits until somebody waits for a lock on the table.
func AwaitLock(tb testing.TB, url, table string) {
	tb.Helper()
	const waits = `SELECT EXISTS (SELECT FROM pg_locks WHERE relation = $1::regclass AND NOT granted), pg_sleep(0.005)`
	conn := MustConnect(tb, url)
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		var waiting bool
		if err := conn.QueryRow(tb.Context(), waits, table).Scan(&waiting, nil); err != nil {
			tb.Fatal(err)
		}
		if waiting {
			return
		}
	}
	tb.Fatalf("nobody waits for table %s", table)
}

// WithDatabase is rawURL with another database.
func WithDatabase(tb testing.TB, rawURL, name string) string {
	tb.Helper()
	u := mustParse(tb, rawURL)
	u.Path = "/" + name
	return u.String()
}

// WithUser is rawURL with another role and its password.
func WithUser(tb testing.TB, rawURL, user, password string) string {
	tb.Helper()
	u := mustParse(tb, rawURL)
	u.User = url.UserPassword(user, password)
	return u.String()
}

func mustParse(tb testing.TB, rawURL string) *url.URL {
	tb.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		tb.Fatalf("parse the database URL: %v", err) // such errors quote the URL: a test's only
	}
	return u
}
