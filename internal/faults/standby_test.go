package faults_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/internal/pgtest"
)

// A server is told to stop while another stands by on the same slot: every client is
// told, and goes on there where it was.
func TestStandbyTakesOver(t *testing.T) {
	clients := 200
	if n, err := strconv.Atoi(os.Getenv(envClients)); err == nil {
		clients = n
	}
	s := apptest.Prepare(t, itemsOptions("", nil))
	first, second := pair(t, s, "drain: {time: 30s, spread: 3s}\n")
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

// A server that can't reach the database loses the slot to one that stands by: once it is
// back it tells its clients, which go on there where they were, and stands by itself.
func TestStandbyTakesFromWhoIsCutOff(t *testing.T) {
	s := apptest.Prepare(t, itemsOptions("", nil))
	way := newProxy(t, host(t, s.AdminURL))
	first, second := newProcess(t, s, ""), newProcess(t, s, "")
	first.env = append(first.env, "WALWIRE_DATABASE_URL="+way.through(s.Config.DatabaseURL.Reveal()))
	first.start()
	first.awaitReady()
	second.start()
	await(t, "the second server to stand by", func() bool { return second.logged("standing by") })
	var serving atomic.Pointer[process]
	serving.Store(first)
	f := newFleet(t, func() string { return serving.Load().ws() })
	f.patient = true
	w := startWriters(t, s.AdminURL, 2, 5*time.Millisecond)
	for n := range 20 {
		f.join(1+n%companies, s.Owner(fmt.Sprint(1+n%companies)), filter(n%groups), window(n%groups, 5))
	}
	f.answered()
	w.more(t, 100)
	before := f.tally()
	way.Stop()
	second.awaitReady()
	serving.Store(second)
	if err := way.Start(); err != nil {
		t.Fatal(err)
	}
	f.all("a client to be told", func(m *member) bool { return m.closes[4000] == 1 })
	f.answered()
	w.more(t, 100)
	serving.Store(first)
	second.term()
	first.awaitReady()
	f.all("a client to be told again", func(m *member) bool { return m.closes[4000] == 2 })
	f.answered()
	w.more(t, 100)
	w.stop()
	f.mustEqual(s)
	if sum := f.tally().minus(before); sum.resets > 0 {
		t.Errorf("%d queries were begun anew", sum.resets)
	}
}

// A server that takes over serves by the configuration of then, however long it stood by.
func TestStandbyReadsConfig(t *testing.T) {
	s := apptest.Prepare(t, itemsOptions("", nil))
	first, second := pair(t, s, "")
	second.configure(func(text string) string { return strings.Replace(text, `columns: "*"`, `columns: {except: [note]}`, 1) })
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

// A server that takes over serves also while a table that is new in its configuration
// waits for somebody's transaction; and what it says of itself while it stands by raises no
// alarm.
func TestStandbyServesWhileTableWaits(t *testing.T) {
	s := apptest.Prepare(t, itemsOptions("", nil))
	first, second := pair(t, s, "")
	s.Exec(`CREATE TABLE extra (id int PRIMARY KEY, company int NOT NULL); ALTER TABLE extra REPLICA IDENTITY FULL; GRANT SELECT ON extra TO PUBLIC`)
	s.Exec(`ALTER PUBLICATION ` + pgx.Identifier{s.Config.Publication}.Sanitize() + ` ADD TABLE extra`)
	writer := pgtest.MustConnect(t, s.AdminURL)
	pgtest.MustExec(t, writer, `BEGIN; INSERT INTO extra VALUES (1, 1)`)
	second.configure(func(text string) string {
		return strings.Replace(text, "tables:\n", "tables:\n  extra: {table: public.extra, company: company, roles: {owner: {rows: true, columns: \"*\"}}}\n", 1)
	})
	await(t, "the table to wait", func() bool { return second.logged("wait for transactions") })
	var metrics string
	await(t, "the slot to be in the metrics", func() bool {
		response, err := http.Get("http://" + second.admin + "/metrics")
		if err != nil {
			return false
		}
		defer func() { _ = response.Body.Close() }()
		text, err := io.ReadAll(response.Body)
		metrics = string(text)
		return err == nil && !strings.Contains(metrics, "\nwalwire_slot_retained_bytes NaN\n")
	})
	for _, name := range []string{"bytes", "seconds"} {
		if !strings.Contains(metrics, "\nwalwire_replication_lag_"+name+" NaN\n") {
			t.Errorf("what stands by has a lag in %s", name)
		}
	}
	first.kill()
	second.awaitReady()
	c := apptest.Dial(t, second.ws())
	c.Authenticate(s.Owner("1"))
	c.Send(`{"type":"subscribe","id":1,"query":{"table":"extra"}}`)
	if f := c.Read(); f.Type != "error" || f.ID != 1 {
		t.Errorf("a table that waits is served: %s", f)
	}
	pgtest.MustExec(t, writer, `COMMIT`)
	await(t, "the configuration to be in force", func() bool { return second.logged("the configuration is in force") })
	if q := c.Open(2, `{"table":"extra"}`); len(q.Rows) != 1 {
		t.Errorf("%d rows", len(q.Rows))
	}
}

// pair starts two servers on one slot: the first, which has more in its configuration,
// serves.
func pair(t *testing.T, s *apptest.Server, more string) (first, second *process) {
	t.Helper()
	first, second = newProcess(t, s, more), newProcess(t, s, "")
	first.start()
	first.awaitReady()
	second.start()
	await(t, "the second server to stand by", func() bool { return second.logged("standing by") })
	return first, second
}

// configure replaces the process's configuration.
func (p *process) configure(edit func(string) string) {
	p.t.Helper()
	text, err := os.ReadFile(p.config)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(p.config+".new", []byte(edit(string(text))), 0o600); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Rename(p.config+".new", p.config); err != nil {
		p.t.Fatal(err)
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

// A configuration that the database refuses is put in force once that is mended.
func TestRefusedConfigIsTriedAgain(t *testing.T) {
	s := apptest.Prepare(t, itemsOptions("", nil))
	p := newProcess(t, s, "")
	p.start()
	p.awaitReady()
	s.Exec(`CREATE TABLE extra (id int PRIMARY KEY, company int NOT NULL); ALTER TABLE extra REPLICA IDENTITY FULL; INSERT INTO extra VALUES (1, 1)`)
	s.Exec(`ALTER PUBLICATION ` + pgx.Identifier{s.Config.Publication}.Sanitize() + ` ADD TABLE extra`)
	p.configure(func(text string) string {
		return strings.Replace(text, "tables:\n", "tables:\n  extra: {table: public.extra, company: company, roles: {owner: {rows: true, columns: \"*\"}}}\n", 1)
	})
	await(t, "the configuration to be refused", func() bool { return p.logged("can't be put in force now") })
	s.Exec(`GRANT SELECT ON extra TO PUBLIC`)
	await(t, "the configuration to be in force", func() bool { return p.logged("the configuration is in force") })
	c := apptest.Dial(t, p.ws())
	c.Authenticate(s.Owner("1"))
	if q := c.Open(1, `{"table":"extra"}`); len(q.Rows) != 1 {
		t.Errorf("%d rows", len(q.Rows))
	}
}

// A table is out of the publication for a while, while a server stands by: who comes back
// to that one is told that events may be missing.
func TestStandbyKnowsWhatTablesLost(t *testing.T) {
	s := apptest.Prepare(t, itemsOptions("", nil))
	first, second := newProcess(t, s, ""), newProcess(t, s, "")
	for _, p := range []*process{first, second} {
		p.configure(func(text string) string {
			return strings.Replace(text, `columns: "*"}}}`, `columns: "*"}}, events: [{event: item.created, on: insert}]}`, 1)
		})
	}
	first.start()
	first.awaitReady()
	second.start()
	await(t, "the second server to stand by", func() bool { return second.logged("standing by") })
	c := apptest.Dial(t, first.ws())
	c.Authenticate(s.Owner("1"))
	c.Listen(1, `{"names":["*"]}`)
	s.Exec(`UPDATE items SET v = v + 1`)
	s.Wait(c)
	c.Close()
	publication := pgx.Identifier{s.Config.Publication}.Sanitize()
	s.Exec(`ALTER PUBLICATION ` + publication + ` DROP TABLE items; INSERT INTO items VALUES (9001, 1, 1, 1); ALTER PUBLICATION ` + publication + ` ADD TABLE items`)
	await(t, "the second server to see that", func() bool {
		if !second.logged("reading the schema again") { // it may have looked for the first time since
			s.Exec(`ALTER PUBLICATION ` + publication + ` DROP TABLE items; ALTER PUBLICATION ` + publication + ` ADD TABLE items`)
			return false
		}
		return true
	})
	first.term()
	second.awaitReady()
	back := apptest.Dial(t, second.ws())
	back.Authenticate(s.Owner("1"))
	f := back.ListenFrom(1, `{"names":["*"]}`, c.Cursor)
	created := func() bool {
		return slices.ContainsFunc(f.Events, func(e apptest.Event) bool { return e.Event == "item.created" })
	}
	for id := 9002; !created() && id < 9100; id++ { // the last ALTER can make another gap, of this commit too
		s.Exec(`INSERT INTO items VALUES ($1, 1, 1, 1)`, id)
		s.Wait(back)
	}
	if !created() || f.Events[0].Event != "gap" {
		t.Errorf("told %v", f.Events)
	}
}
