package app_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/internal/pgserver"
	"github.com/walwire/walwire/internal/pgtest"
	"github.com/walwire/walwire/mapping"
)

const notesSchema = `CREATE TABLE notes (id int PRIMARY KEY, company int NOT NULL, text text);
	ALTER TABLE notes REPLICA IDENTITY FULL; CREATE PUBLICATION walwire FOR TABLE notes`

// What the slot retains is in the metrics and beside readiness.
func TestSlotShown(t *testing.T) {
	s := apptest.Start(t, apptest.Options{Schema: notesSchema, Tables: []pgx.Identifier{{"public", "notes"}}, Config: notesConfig})
	var ready struct {
		Status string
		Slot   *struct {
			Active    bool
			WALStatus string `json:"wal_status"`
			Retained  int64  `json:"retained_bytes"`
			Lag       *int64 `json:"lag_bytes"`
			Warning   string
		}
		Snapshots struct{ Connections int }
		Config    struct {
			LoadedAt time.Time `json:"loaded_at"`
		}
	}
	await(t, "the slot in /readyz", func() bool {
		if err := json.Unmarshal([]byte(get(t, s.URL()+"/readyz")), &ready); err != nil {
			t.Fatal(err)
		}
		return ready.Slot != nil && ready.Slot.Retained > 0
	})
	if ready.Status != "ready" || ready.Slot.WALStatus != "reserved" || ready.Slot.Lag == nil || ready.Slot.Warning != "" {
		t.Errorf("readiness %+v, slot %+v", ready, ready.Slot)
	}
	if !ready.Slot.Active || ready.Snapshots.Connections != 4 || time.Since(ready.Config.LoadedAt) > time.Hour {
		t.Errorf("readiness %+v", ready)
	}
	metrics := get(t, s.App.AdminURL()+"/metrics")
	for _, want := range []string{`walwire_slot_retained_bytes [1-9]`, `walwire_slot_safe_bytes [1-9]`, `walwire_replication_lag_bytes \d`} {
		if !regexp.MustCompile(`(?m)^` + want).MatchString(metrics) {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

// A restored backup: with recreate the server begins anew, without a table that it could
// not serve before either, and its clients connect again; otherwise it ends, and says what
// to do.
func TestHistoryChanged(t *testing.T) {
	h := newHistory(t)
	log := &record{}
	s := apptest.Prepare(t, apptest.Options{
		Log:      slog.New(slog.NewTextHandler(io.MultiWriter(log, t.Output()), nil)),
		AdminURL: h.server.URL(), Tables: []pgx.Identifier{{"public", "notes"}, {"public", "more"}},
		Schema: `CREATE TABLE more (id int PRIMARY KEY, company int NOT NULL); ALTER TABLE more REPLICA IDENTITY FULL;` + notesSchema + `, more`,
		Config: notesConfig + "  more: {table: public.more, company: company, roles: {owner: {rows: true, columns: [id]}}}\n",
		Edit:   func(c *mapping.Config) { c.OnSlotLoss = mapping.SlotLossRecreate },
	})
	s.Run()
	s.Exec("ALTER TABLE more RENAME id TO number")
	without := func() bool { return strings.Contains(get(t, s.URL()+"/readyz"), "more can't be served") }
	await(t, "the server to go on without a table", without)
	s.Exec("INSERT INTO notes VALUES (1, 1, 'in the backup')")
	h.save(t)
	write := func(sql string) {
		pgtest.MustExec(t, pgtest.MustConnect(t, h.server.URL()), sql)
	}
	await(t, "the server to serve again", without)
	c := s.Connect(s.Owner("1"))
	q := c.Open(1, `{"table":"notes"}`)
	write("INSERT INTO notes SELECT i, 1, 'to be forgotten' FROM generate_series(2, 1000) i")
	for len(q.Rows) < 1000 {
		c.Read()
	}
	h.restore(t)
	// It may be a while until the server tries to connect again.
	await(t, "the server to begin anew", func() bool { return strings.Contains(log.String(), "beginning anew") })
	if code, _ := c.ReadClose(); code != 4000 {
		t.Errorf("closed with %d, want 4000", code)
	}
	await(t, "the server to serve again", without)
	c = s.Connect(s.Owner("1"))
	q = c.Open(1, `{"table":"notes"}`)
	write("INSERT INTO notes VALUES (2, 1, 'another way')")
	for len(q.Rows) < 2 {
		c.Read()
	}
	if q.Rows["[1]"]["text"] != "in the backup" || q.Rows["[2]"]["text"] != "another way" {
		t.Errorf("rows %v", q.Rows)
	}
	if metrics := get(t, s.App.AdminURL()+"/metrics"); !strings.Contains(metrics, "\nwalwire_companies 1\n") || !strings.Contains(metrics, "\nwalwire_views 1\n") {
		t.Error("the metrics count what was of the history before")
	}
	s.Stop()

	write("ALTER TABLE more RENAME number TO id")
	s.Config.OnSlotLoss = mapping.SlotLossStop
	done, stop := s.Launch()
	t.Cleanup(stop)
	<-s.Ready()
	write("INSERT INTO notes SELECT i, 1, 'to be forgotten' FROM generate_series(3, 1000) i")
	c = s.Connect(s.Owner("1"))
	c.Open(1, `{"table":"notes"}`)
	c.WaitFor(h.lsn(t))
	h.restore(t)
	select {
	case err := <-done:
		if err == nil || !strings.Contains(err.Error(), "history is another one") || !strings.Contains(err.Error(), "start walwire again") {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("the server goes on")
	}
}

// A standby that is promoted while nothing has been read yet takes nothing from anybody.
func TestPromotedBeforeReading(t *testing.T) {
	for _, policy := range []string{mapping.SlotLossStop, mapping.SlotLossRecreate} {
		t.Run(policy, func(t *testing.T) {
			h := newHistory(t)
			log := &record{}
			s := apptest.Prepare(t, apptest.Options{
				Log:      slog.New(slog.NewTextHandler(io.MultiWriter(log, t.Output()), nil)),
				AdminURL: h.server.URL(), Schema: notesSchema, Tables: []pgx.Identifier{{"public", "notes"}}, Config: notesConfig,
				Edit: func(c *mapping.Config) { c.OnSlotLoss = policy },
			})
			writer := pgtest.MustConnect(t, h.server.URL())
			pgtest.MustExec(t, writer, "BEGIN; SELECT pg_current_xact_id()")
			done, stop := s.Launch()
			t.Cleanup(stop)
			await(t, "the server to wait for its slot", func() bool { return strings.Contains(log.String(), "waits for an open transaction") })
			h.promote(t)
			select {
			case err := <-done:
				t.Fatalf("ended with %v", err)
			case <-s.Ready():
			}
			s.Connect(s.Owner("1")).Open(1, `{"table":"notes"}`)
		})
	}
}

// history is a PostgreSQL that can be set back to an earlier state.
type history struct {
	dir    string
	opts   pgserver.Options
	server *pgserver.Server
}

func newHistory(t *testing.T) *history {
	t.Helper()
	dir, err := os.MkdirTemp("", "walwire-test-") // t.TempDir can't be reached by another account
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	h := &history{dir: dir, opts: pgserver.Options{DataDir: filepath.Join(dir, "data"), Settings: map[string]string{"fsync": "off"}}}
	h.start(t)
	t.Cleanup(func() {
		_ = h.server.Stop(context.Background())
		_ = os.RemoveAll(dir)
	})
	return h
}

func (h *history) start(t *testing.T) {
	t.Helper()
	server, err := pgserver.Start(t.Context(), h.opts)
	if err != nil {
		t.Fatal(err)
	}
	h.server, h.opts.Port = server, server.Port()
}

// save keeps the state of now, restore brings it back; both restart the server.
func (h *history) save(t *testing.T)    { h.copy(t, "data", "backup") }
func (h *history) restore(t *testing.T) { h.copy(t, "backup", "data") }

// promote stops the server, which comes back on a timeline of its own.
func (h *history) promote(t *testing.T) {
	t.Helper()
	if err := h.server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.opts.DataDir, "data", "recovery.signal"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	h.opts.Settings["restore_command"] = "false" // nothing but what it has
	h.start(t)
}

func (h *history) copy(t *testing.T, from, to string) {
	t.Helper()
	if err := h.server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(h.dir, to)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "cp", "-a", filepath.Join(h.dir, from), filepath.Join(h.dir, to)).CombinedOutput(); err != nil {
		t.Fatalf("copy: %v: %s", err, out)
	}
	h.start(t)
}

func (h *history) lsn(t *testing.T) (lsn string) {
	t.Helper()
	if err := pgtest.MustConnect(t, h.server.URL()).QueryRow(t.Context(), "SELECT pg_current_wal_insert_lsn()::text").Scan(&lsn); err != nil {
		t.Fatal(err)
	}
	return lsn
}

func get(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
