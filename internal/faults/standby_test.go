package faults_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/walwire/walwire/internal/apptest"
)

// A server is told to stop while another stands by on the same slot: every client is
// told, and goes on there where it was.
func TestStandbyTakesOver(t *testing.T) {
	clients := 200
	if n, err := strconv.Atoi(os.Getenv(envClients)); err == nil {
		clients = n
	}
	s := apptest.Prepare(t, itemsOptions("", quickStatus))
	first, second := newProcess(t, s, "drain: {time: 30s, spread: 3s}\n"), newProcess(t, s, "")
	first.start()
	first.awaitReady()
	second.start()
	await(t, "the second server to stand by", func() bool { return second.logged("standing by") })
	if got := get(t, "http://"+second.listen+"/readyz"); got != 503 {
		t.Errorf("standing by, /readyz answers HTTP %d", got)
	}
	var serving atomic.Pointer[process]
	serving.Store(first)
	f := newFleet(t, func() string { return serving.Load().ws() })
	f.patient = true
	w := startWriters(t, s.AdminURL, 2, 5*time.Millisecond)
	for n := range clients {
		company, group := 1+n%companies, n/companies%groups
		lives := []live{filter(group)}
		if n%4 == 0 {
			lives = append(lives, window(group, 5))
		}
		f.join(company, s.Owner(fmt.Sprint(company)), lives...)
		if n%100 == 99 {
			f.answered()
		}
	}
	f.answered()
	w.more(t, 200)
	before := f.tally()

	serving.Store(second)
	begun := time.Now()
	ended := make(chan time.Duration, 1)
	go func() { ended <- first.term() }()
	second.awaitReady()
	gap := time.Since(begun)
	f.all("a client to be told", func(m *member) bool { return m.told == 1 })
	took := <-ended
	f.answered()
	back := time.Since(begun)
	w.more(t, 100)
	w.stop()
	f.mustEqual(s)
	sum := f.tally().minus(before)
	t.Logf("%d clients: the standby serves %s after SIGTERM; the first server's drain took %s; all have resumed %s after SIGTERM; %d resumes, %d resets, %d welcomes",
		clients, gap.Round(time.Millisecond), took.Round(time.Millisecond), back.Round(time.Millisecond), sum.resumes, sum.resets, sum.welcomes)
	if sum.resets > 0 {
		t.Errorf("%d queries were begun anew", sum.resets)
	}
	for n, m := range f.members {
		if m.closes[4000] != 1 {
			t.Errorf("client %d was closed as %v", n, m.closes)
		}
	}
	if took > 30*time.Second {
		t.Errorf("the drain took %s", took)
	}
}

// A server that takes over serves by the configuration of then, however long it stood by.
func TestStandbyReadsConfig(t *testing.T) {
	s := apptest.Prepare(t, itemsOptions("", quickStatus))
	first, second := newProcess(t, s, ""), newProcess(t, s, "")
	first.start()
	first.awaitReady()
	second.start()
	await(t, "the second server to stand by", func() bool { return second.logged("standing by") })
	text, err := os.ReadFile(second.config)
	if err != nil {
		t.Fatal(err)
	}
	closed := strings.Replace(string(text), `columns: "*"`, `columns: {except: [note]}`, 1)
	if err := os.WriteFile(second.config+".new", []byte(closed), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(second.config+".new", second.config); err != nil {
		t.Fatal(err)
	}
	first.kill()
	var c *apptest.Client
	await(t, "the second server to let somebody in", func() bool {
		dialed, err := apptest.TryDial(t, second.ws(), nil)
		c = dialed
		return err == nil
	})
	c.Authenticate(s.Owner("1"))
	q := c.Open(1, `{"table":"items"}`)
	for key, row := range q.Rows {
		if _, shown := row["note"]; shown {
			t.Fatalf("row %s has the column that was closed: %v", key, row)
		}
	}
	if len(q.Rows) == 0 {
		t.Error("no rows")
	}
}

// logged reports whether the process has logged a text.
func (p *process) logged(text string) bool {
	p.t.Helper()
	log, err := os.ReadFile(p.log.Name())
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.Contains(string(log), text)
}
