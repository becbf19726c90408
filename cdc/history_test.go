package cdc

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/walwire/walwire/internal/pgserver"
)

// Another server, or another line of the same one, ends the consumer also where a
// lost slot would not.
func TestHistoryChangedIdentity(t *testing.T) {
	for name, change := range map[string]func(*Consumer){
		"System":   func(c *Consumer) { c.system, c.timeline = "1", 1 },
		"Timeline": func(c *Consumer) { c.timeline, c.handled = 7, 1 },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.opts.RecreateLostSlot = true
			f := b.follow(t)
			f.connected(t)
			system := f.Status().SystemID
			f.stop()
			wantHistoryChanged(t, b.follow(t, func(c *Consumer) { c.system = system }, change), "before it was")
		})
	}
}

// A slot that is another one tells nothing of the history: where transaction ids are given
// out a second time it is another.
func TestHistoryChangedIDs(t *testing.T) {
	b, f := recreating(t)
	f.stop()
	await(t, "the slot to be let go", func() bool { return !b.active(t) })
	b.dropSlot(t)
	newest := f.newest
	if newest == 0 {
		t.Fatal("no transaction id is remembered")
	}
	wantHistoryChanged(t, b.follow(t, func(c *Consumer) { c.handled, c.newest = 1, newest+1<<30 }), "an earlier state was put back")
	f = b.follow(t, func(c *Consumer) { c.handled, c.newest = 1, newest })
	b.exec(t, "INSERT INTO t VALUES (2, 'b')")
	f.reach(t, b.now(t))
}

func wantHistoryChanged(t *testing.T, f *follower, want string) {
	t.Helper()
	err := f.fails(t)
	if !errors.Is(err, ErrHistoryChanged) || errors.Is(err, ErrSlotLost) || !IsFatal(err) || !strings.Contains(err.Error(), want) {
		t.Fatalf("ended with %v, want ErrHistoryChanged that says %q", err, want)
	}
	if s := f.Status(); s.Connected || !s.Fatal {
		t.Errorf("status %+v", s)
	}
}

// A copy of the data directory put back keeps system id and timeline: its WAL ends
// below what was read, and grows another way from there.
func TestHistoryChangedBackup(t *testing.T) {
	dir, err := os.MkdirTemp("", "walwire-test-") // t.TempDir can't be reached by another account
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	data, backup := filepath.Join(dir, "data"), filepath.Join(dir, "backup")
	opts := pgserver.Options{DataDir: data, Settings: map[string]string{"fsync": "off"}}
	var srv *pgserver.Server
	start := func() {
		t.Helper()
		if srv, err = pgserver.Start(t.Context(), opts); err != nil {
			t.Fatal(err)
		}
		opts.Port = srv.Port()
	}
	stop := func() {
		t.Helper()
		if err := srv.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	copyDir := func(from, to string) {
		t.Helper()
		if err := os.RemoveAll(to); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), "cp", "-a", from, to).CombinedOutput(); err != nil {
			t.Fatalf("copy: %v: %s", err, out)
		}
	}
	start()
	t.Cleanup(func() { stop() })
	b := newBenchIn(t, srv.URL())
	b.opts.RecreateLostSlot = true
	f := b.follow(t)
	f.connected(t)
	stop()
	copyDir(data, backup)
	start()
	b.reconnect(t)
	b.exec(t, "INSERT INTO t SELECT i, 'to be forgotten' FROM generate_series(1, 10000) i")
	f.reach(t, b.now(t))
	stop()
	copyDir(backup, data)
	start()
	b.reconnect(t)
	wantHistoryChanged(t, f, "an earlier state was put back")

	// A new consumer follows it.
	f = b.follow(t)
	b.exec(t, "INSERT INTO t VALUES (1, 'another way')")
	f.reach(t, b.now(t))
	if got := f.words(); len(got) != 1 || got[0] != "I t(1,another way)" {
		t.Errorf("got %q", got)
	}
}
