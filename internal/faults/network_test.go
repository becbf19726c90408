package faults_test

import (
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/walwire/walwire/internal/app"
	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/internal/pgtest"
	"github.com/walwire/walwire/mapping"
)

// The network to PostgreSQL is cut, slow, and at last silent: bytes vanish and
// nobody is told. walwire notices within its bound, comes back, and nobody is begun
// anew.
func TestNetworkToPostgres(t *testing.T) {
	adminURL := pgtest.Database(t)
	way := newProxy(t, host(t, adminURL))
	const silence = 6 * time.Second
	o := itemsOptions(adminURL, func(c *mapping.Config) {
		c.DatabaseURL = mapping.NewSecret(way.through(c.DatabaseURL.Reveal()))
		quickStatus(c)
		c.Limits.SnapshotTimeout = 10 * time.Second
	})
	o.Tuning = app.Tuning{Silence: silence, QueryMargin: time.Second}
	s := apptest.Start(t, o)
	f := newFleet(t, s.WS)
	joinItems(s, f, 16)
	w := startWriters(t, s.AdminURL, 2, 5*time.Millisecond)
	for range 5 {
		w.more(t, 30)
		way.cut()
	}
	f.reach(s.LSN())

	way.add("latency", `{"latency":30,"jitter":20}`, "upstream", "downstream")
	begun := time.Now()
	f.join(1, s.Owner("1"), filter(3), window(3, 4))
	f.answered()
	w.more(t, 50)
	f.reach(s.LSN())
	t.Logf("a way of 30 ms and 20 ms jitter each way: rows and 50 commits after %s", time.Since(begun).Round(time.Millisecond))
	way.remove()

	way.add("timeout", `{"timeout":0}`, "upstream", "downstream")
	begun = time.Now()
	late := f.join(2, s.Owner("2"), filter(4), window(4, 3)) // its snapshots go into the silence
	w.more(t, 50)
	awaitFor(t, 30*time.Second, "walwire to notice the silence", func() bool {
		return get(t, s.URL()+"/readyz") == http.StatusServiceUnavailable
	})
	t.Logf("silence noticed after %s, the bound is %s", time.Since(begun).Round(10*time.Millisecond), silence)
	way.remove()
	begun = time.Now()
	f.reach(s.LSN())
	if len(late.errors) > 0 {
		t.Errorf("queries opened in the silence: %v", late.errors)
	}
	t.Logf("everybody up to date %s after the way was mended", time.Since(begun).Round(10*time.Millisecond))
	w.stop()
	f.mustEqual(s)
	await(t, "the commits to be seen as visible", func() bool { return s.Hub().Unseen() == 0 })
	if sum := f.tally(); sum.resets > 0 || sum.welcomes > len(f.members) {
		t.Errorf("%+v: the connections have nothing to do with it", sum)
	}
}

// What walwire asks the database while nothing comes back is given up, also where
// the silence never ends: nothing waits for ever on a connection that is dead.
func TestSilentQueries(t *testing.T) {
	adminURL := pgtest.Database(t)
	way := newProxy(t, host(t, adminURL))
	o := itemsOptions(adminURL, func(c *mapping.Config) {
		c.DatabaseURL = mapping.NewSecret(way.through(c.DatabaseURL.Reveal()))
		c.Limits.SnapshotTimeout = 10 * time.Second
	})
	log := newLog(t)
	o.Log, o.Tuning = log.logger, app.Tuning{Silence: 4 * time.Second, QueryMargin: time.Second}
	s := apptest.Start(t, o)
	f := newFleet(t, s.WS)
	joinItems(s, f, 4)
	way.add("timeout", `{"timeout":0}`, "downstream") // questions arrive, answers do not
	s.Exec(`UPDATE items SET v = v + 1`)
	f.join(1, s.Owner("1"), filter(7))
	for _, line := range []string{"snapshot failed, trying again", "can't see which commits are visible", "can't look at the catalogue"} {
		if line == "can't see which commits are visible" && s.Hub().Unseen() == 0 {
			continue // it has been seen before
		}
		await(t, line, func() bool { return log.contains(line) })
	}
	way.remove()
	f.mustEqual(s)
}

// The network to the clients is cut, slow and silent: they resume. The server lets a
// client go that does not answer.
func TestNetworkToClients(t *testing.T) {
	o := itemsOptions("", nil)
	const ping, patience = 500 * time.Millisecond, time.Second
	o.Tuning = app.Tuning{PingInterval: ping, WriteTimeout: patience}
	s := apptest.Start(t, o)
	way := newProxy(t, host(t, s.URL()))
	ws := "ws://" + way.Listen + "/v1/stream"
	f := newFleet(t, func() string { return ws })
	f.liveness = 2 * time.Second
	joinItems(s, f, 24)
	w := startWriters(t, s.AdminURL, 2, 5*time.Millisecond)
	for range 5 {
		w.more(t, 30)
		way.cut()
		f.answered()
	}
	way.add("latency", `{"latency":40,"jitter":30}`, "upstream", "downstream")
	way.cut()
	w.more(t, 50)
	f.reach(s.LSN())
	way.remove()

	idle := s.Connect(s.Owner("1")) // straight, and silent from now on: it does not even read
	open := testutil.ToFloat64(s.Hub().Metrics.Connections.WithLabelValues("websocket"))
	way.add("timeout", `{"timeout":0}`, "upstream", "downstream")
	begun := time.Now()
	await(t, "the server to let the clients go", func() bool { return testutil.ToFloat64(s.Hub().Metrics.Connections.WithLabelValues("websocket")) == 0 })
	took := time.Since(begun)
	t.Logf("%v silent clients were let go within %s; a ping goes out every %s and may take %s", open, took.Round(10*time.Millisecond), ping, patience)
	if took > 30*time.Second {
		t.Errorf("silent clients were let go after %s", took)
	}
	idle.Close()
	w.more(t, 30)
	way.remove()
	f.answered()
	w.stop()
	f.mustEqual(s)
	sum := f.tally()
	t.Logf("%+v", sum)
	if sum.resets > 0 {
		t.Errorf("%d queries were begun anew: the log reaches back", sum.resets)
	}
}

// A start waits for a database that is not there yet, also behind something that
// takes connections for it and ends them.
func TestStartWithoutPostgres(t *testing.T) {
	adminURL := pgtest.Database(t)
	way := newProxy(t, closedDoor(t))
	log := newLog(t)
	o := itemsOptions(adminURL, func(c *mapping.Config) { c.DatabaseURL = mapping.NewSecret(way.through(c.DatabaseURL.Reveal())) })
	o.Log = log.logger
	s := apptest.Prepare(t, o)
	done, stop := s.Launch()
	defer stop()
	await(t, "the start to wait", func() bool { return log.contains("waiting for the database") })
	listen := way.Listen
	if err := way.Update(&toxiproxy.Proxy{Listen: listen, Upstream: host(t, adminURL), Enabled: true}); err != nil {
		t.Fatal(err)
	}
	if err := way.Start(); err != nil && !errors.Is(err, toxiproxy.ErrProxyAlreadyStarted) {
		t.Fatal(err)
	}
	select {
	case <-s.Ready():
	case err := <-done:
		t.Fatalf("ended with %v", err)
	case <-time.After(30 * time.Second):
		t.Fatal("not ready")
	}
}

// closedDoor listens, hears what a client has to say, and ends the connection.
func closedDoor(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
			_, _ = conn.Read(make([]byte, 4096))
			_ = conn.Close()
		}
	}()
	return l.Addr().String()
}
