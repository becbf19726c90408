package stream_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/internal/pgserver"
	"github.com/walwire/walwire/internal/pgtest"
)

const itemsNow = `SELECT id::text, v::text FROM items WHERE company = 1`

// The server stops under its clients: they are told to come back, and find
// every row as it is by then.
func TestServerRestarts(t *testing.T) {
	s := startItems(t)
	clients := make([]*apptest.Client, 5)
	for i := range clients {
		clients[i] = s.Connect(s.Owner("1"))
		clients[i].Open(1, `{"table":"items"}`)
	}
	var readers sync.WaitGroup
	for i, c := range clients {
		readers.Go(func() {
			if code := c.TryReadClose(); code != 4000 {
				t.Errorf("client %d: closed with %d, want 4000", i, code)
			}
		})
	}
	s.Stop()
	readers.Wait()
	s.Exec(`UPDATE items SET v = v + 1; DELETE FROM items WHERE id < 10; INSERT INTO items VALUES (1000, 1, 7)`)
	s.Run()
	for range clients {
		c := s.Connect(s.Owner("1"))
		q := c.Open(1, `{"table":"items"}`)
		mustShow(t, s, q, itemsNow)
		s.Exec(`UPDATE items SET v = v + 1 WHERE id = 1000`)
		mustFrame(t, c.Read(), 0, 1, 0)
		mustShow(t, s, q, itemsNow)
	}
}

// The replication connection is cut, again and again: connected clients get
// every change once.
func TestWalsenderKilled(t *testing.T) {
	s := startItems(t)
	c := s.Connect(s.Owner("1"))
	q := c.Open(1, `{"table":"items"}`)
	for n := range 8 {
		s.Exec(`UPDATE items SET v = v + 1 WHERE id = 2`)
		s.Exec(`SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active_pid IS NOT NULL`, s.Config.Slot)
		s.Exec(`UPDATE items SET v = v + 1 WHERE id = 4`)
		if n%2 == 0 {
			s.Wait(c) // otherwise the next cut comes wherever it comes
			mustShow(t, s, q, itemsNow)
		}
	}
	s.Wait(c)
	mustShow(t, s, q, itemsNow)
	if q.Resets > 0 {
		t.Errorf("begun anew %d times: the slot remembers", q.Resets)
	}
}

// PostgreSQL stops, cleanly or not, and comes back: connected clients miss
// nothing, and readiness says so meanwhile.
func TestPostgresRestarts(t *testing.T) {
	server := pgtest.New(t, nil)
	s := apptest.Start(t, apptest.Options{
		AdminURL: server.URL(),
		Schema:   itemsSchema, Config: itemsConfig, Tables: []pgx.Identifier{{"public", "items"}},
	})
	c := s.Connect(s.Owner("1"))
	q := c.Open(1, `{"table":"items"}`)
	for _, mode := range []pgserver.StopMode{pgserver.Fast, pgserver.Immediate} {
		t.Run(fmt.Sprint(mode), func(t *testing.T) {
			s.Exec(`UPDATE items SET v = v + 1`)
			s.Exec(`SET synchronous_commit = off`) // these may be lost, but then for everybody
			s.Exec(`UPDATE items SET v = v + 1 WHERE id < 50`)
			s.Exec(`DELETE FROM items WHERE id = (SELECT max(id) FROM items WHERE company = 1)`)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			begun := time.Now()
			if err := server.Restart(ctx, mode); err != nil {
				t.Fatal(err)
			}
			s.DB = pgtest.MustConnect(s.TB, s.AdminURL)
			var started time.Time
			s.Scan(&started, `SELECT pg_postmaster_start_time()`)
			// The stop alone: held up, it takes wal_sender_timeout, a minute.
			if took := started.Sub(begun); took > 30*time.Second {
				t.Errorf("PostgreSQL took %s to stop: its shutdown waits for walwire", took)
			}
			s.Exec(`INSERT INTO items SELECT max(id) + 1, 1, 5 FROM items`)
			fresh := s.Connect(s.Owner("1"))
			late := fresh.Open(1, `{"table":"items"}`)
			for _, client := range []*apptest.Client{c, fresh} {
				client.Send(`{"type":"wait","id":1,"lsn":%q,"timeout_ms":30000}`, s.LSN())
				for f := client.Read(); f.Type != "waited"; f = client.Read() {
					if f.Type == "error" {
						t.Fatalf("got %s", f.Raw)
					}
				}
			}
			mustShow(t, s, q, itemsNow)
			mustShow(t, s, late, itemsNow)
			if q.Resets > 0 {
				t.Errorf("begun anew %d times: the slot remembers", q.Resets)
			}
			if status, answer := call(t, "GET", s.URL()+"/readyz", "", ""); status != 200 {
				t.Errorf("/readyz: HTTP %d %v", status, answer)
			}
		})
	}
	t.Run("away", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := server.Stop(ctx); err != nil {
			t.Fatal(err)
		}
		status := 0
		for status != http.StatusServiceUnavailable && ctx.Err() == nil {
			status, _ = call(t, "GET", s.URL()+"/readyz", "", "")
		}
		if ctx.Err() != nil {
			t.Fatal("the server stays ready without PostgreSQL")
		}
		if status, _ := call(t, "GET", s.URL()+"/healthz", "", ""); status != 200 {
			t.Errorf("/healthz: HTTP %d", status)
		}
		c.Send(`{"type":"ping","id":9}`)
		if f := c.Read(); f.Type != "pong" {
			t.Errorf("got %s", f.Raw)
		}
	})
}
