package faults_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/walwire/walwire/internal/apptest"
)

// process is a server in a process of its own, which can be killed.
type process struct {
	t      *testing.T
	env    []string
	listen string
	admin  string // where its metrics are
	config string
	log    *os.File
	cmd    *exec.Cmd
}

// newProcess makes a process for what s was prepared with; it always listens at the
// same address.
func newProcess(t *testing.T, s *apptest.Server, extra string) *process {
	t.Helper()
	return newProcessOf(t, s, itemsConfig+"slot: "+s.Config.Slot+"\n"+extra+
		"limits: {auth_deadline: 60s, connections_per_user: 20000, connections_per_address: 20000, connection_attempts_per_second: 20000, connection_attempts_burst: 20000}\n")
}

// newProcessOf makes a process of a configuration, with the variables that s has.
func newProcessOf(t *testing.T, s *apptest.Server, text string) *process {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "walwire.yaml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, config: config, listen: freeAddress(t), admin: freeAddress(t)}
	var err error
	if p.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		t.Fatal(err)
	}
	p.env = append(os.Environ(), envServe+"="+config, "WALWIRE_LISTEN="+p.listen, "WALWIRE_ADMIN_LISTEN="+p.admin,
		"WALWIRE_DATABASE_URL="+s.Config.DatabaseURL.Reveal(), "WALWIRE_TOKEN_SECRET="+s.Config.Auth.Keys[0].Secret.Reveal(),
		"WALWIRE_ISSUER="+s.Config.Auth.Issuer, "WALWIRE_AUDIENCE="+s.Config.Auth.Audience[0])
	t.Cleanup(func() {
		p.kill()
		if text, err := os.ReadFile(p.log.Name()); err == nil && t.Failed() {
			t.Logf("the process's log ends:\n%s", text[max(0, len(text)-8000):])
		}
		_ = p.log.Close()
	})
	return p
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func (p *process) start() {
	p.t.Helper()
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env, p.cmd.Stderr, p.cmd.Stdout = p.env, p.log, p.log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
}

// kill ends the process without a chance to do anything.
func (p *process) kill() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait() // killed
		p.cmd = nil
	}
}

// term tells the process to stop and gives how long that took.
func (p *process) term() time.Duration {
	p.t.Helper()
	begun := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("the process ended with %v", err)
	}
	p.cmd = nil
	return time.Since(begun)
}

func (p *process) ws() string { return "ws://" + p.listen + "/v1/stream" }

func (p *process) awaitReady() {
	p.t.Helper()
	await(p.t, "the process to serve", func() bool { return get(p.t, "http://"+p.listen+"/readyz") == http.StatusOK })
}

// metric reads one of the process's counters.
func (p *process) metric(name string) float64 {
	p.t.Helper()
	return scrape(p.t, "http://"+p.admin, name)
}

func get(t testing.TB, url string) int {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

// scrape reads a metric that has no labels.
func scrape(t testing.TB, url, name string) float64 {
	t.Helper()
	answer, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			f, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// envClients is how many clients TestRestart and others of whole fleets have.
const envClients = "WALWIRE_RESTART_CLIENTS"

// The server is killed under its clients while writers run: all come back to where
// they were. Filter queries need no SELECT for it, windows one each.
func TestRestart(t *testing.T) {
	clients := 200
	if n, err := strconv.Atoi(os.Getenv(envClients)); err == nil {
		clients = n
	}
	s := apptest.Prepare(t, itemsOptions("", quickStatus))
	p := newProcess(t, s, "")
	p.start()
	p.awaitReady()
	f := newFleet(t, p.ws)
	w := startWriters(t, s.AdminURL, 3, 5*time.Millisecond)
	windows, views := make(map[string]bool), make(map[string]bool)
	for n := range clients {
		company, group := 1+n%companies, n/companies%groups
		lives := []live{filter(group)}
		if n%2 == 0 {
			limit := 5 + n%3
			lives = append(lives, window(group, limit))
			windows[fmt.Sprint(company, group, limit)] = true
		}
		for _, l := range lives {
			views[fmt.Sprint(company, l.query)] = true
		}
		f.join(company, s.Owner(fmt.Sprint(company)), lives...)
	}
	f.answered()
	w.more(t, 1000) // for longer than the slot is not told what it may forget
	before := f.tally()

	p.kill()
	down := time.Now()
	began := w.commits.Load()
	w.more(t, 600)
	p.start()
	begun := time.Now()
	f.answered()
	back := time.Since(begun)
	commits := w.commits.Load() - began
	w.more(t, 100)
	w.stop()
	f.mustEqual(s)
	snapshots, sum := p.metric("walwire_snapshots_total"), f.tally().minus(before)
	t.Logf("%d clients with %d queries of %d views, %d of them windows: %d commits while down for %s; all back %s after the start; %d resumes, %d resets, %v snapshots",
		clients, before.resumes+sum.resumes, len(views), len(windows), commits, begun.Sub(down).Round(time.Millisecond), back.Round(time.Millisecond),
		sum.resumes, sum.resets, snapshots)
	if sum.resets > 0 {
		t.Errorf("%d queries were begun anew: the log reaches back", sum.resets)
	}
	if snapshots > float64(len(windows)) {
		t.Errorf("%v snapshots for %d windows", snapshots, len(windows))
	}
	if n := p.metric("walwire_mismatches_total"); n != 0 {
		t.Errorf("two live queries disagreed about a row %v times", n)
	}
}
