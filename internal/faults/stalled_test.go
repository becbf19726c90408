package faults_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/internal/pgtest"
)

// The bound that TestStalled holds: what a client that does not read costs the server is
// one frame under way, its goroutine, and what the kernel takes unsent.
const stalledBytes = 512 << 10

// stalled is a client that stops reading while its query matches every change.
type stalled struct {
	conn    *websocket.Conn
	replica *apptest.Replica
	query   *apptest.Query
}

func stall(t *testing.T, url, token string, l live) *stalled {
	t.Helper()
	// A small window, so that not the kernel reads on.
	dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 32<<10) })
	}}
	web := &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext}}
	conn, _, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{HTTPClient: web})
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(-1)
	t.Cleanup(func() { _ = conn.CloseNow() })
	s := &stalled{conn: conn, replica: apptest.NewReplica()}
	s.query = s.replica.Open(1)
	s.send(t, `{"type":"auth","token":%q}`, token)
	s.send(t, `{"type":"subscribe","id":1,"query":%s}`, l.query)
	for !s.query.Loaded {
		if _, err := s.read(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *stalled) send(t *testing.T, format string, args ...any) {
	t.Helper()
	if err := s.conn.Write(t.Context(), websocket.MessageText, fmt.Appendf(nil, format, args...)); err != nil {
		t.Fatal(err)
	}
}

func (s *stalled) read(ctx context.Context) (*apptest.Frame, error) {
	_, message, err := s.conn.Read(ctx)
	if err != nil {
		return nil, err
	}
	return s.replica.Receive(message)
}

// catchUp reads until lsn has been delivered.
func (s *stalled) catchUp(ctx context.Context, lsn string) error {
	if err := s.conn.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"type":"wait","id":1,"lsn":%q,"timeout_ms":30000}`, lsn)); err != nil {
		return err
	}
	for {
		f, err := s.read(ctx)
		if err != nil {
			return err
		}
		if f != nil && f.Type == "waited" {
			return nil
		}
		if f != nil && f.Type == "error" {
			if f.Code == "deadline-exceeded" { // so many at once take longer
				return s.catchUp(ctx, lsn)
			}
			return fmt.Errorf("got %s", f)
		}
	}
}

// stream writes so many changes a second in a company, each row with the time at which
// its statement began.
func (w *writers) stream(t *testing.T, url string, company, perSecond int) {
	t.Helper()
	conn := pgtest.MustConnect(t, url)
	const commits = 20
	w.group.Go(func() {
		tick := time.NewTicker(time.Second / commits)
		defer tick.Stop()
		for n := 0; w.ctx.Err() == nil; n++ {
			if err := update(conn, company, n, perSecond/commits); err != nil {
				t.Errorf("write: %v", err)
				return
			}
			w.commits.Add(1)
			select {
			case <-w.ctx.Done():
			case <-tick.C:
			}
		}
	})
}

func update(conn *pgx.Conn, company, n, rows int) error {
	_, err := conn.Exec(context.Background(), `UPDATE items SET v = $1, note = $2 WHERE company = $3 AND grp BETWEEN $4 AND $4 + $5 - 1`,
		n, strconv.FormatInt(time.Now().UnixMicro(), 10), company, n%5*(rows/20), rows/20) // 20 rows a group
	return err
}

// watcher is a client that reads, and notes how old rows are when they come.
type watcher struct {
	mu   sync.Mutex // protects following
	ages []time.Duration
}

func watch(t *testing.T, ctx context.Context, group *sync.WaitGroup, url, token string) *watcher {
	t.Helper()
	s := stall(t, url, token, everything()) // no other than that it reads
	w := &watcher{}
	group.Go(func() {
		for ctx.Err() == nil {
			f, err := s.read(ctx)
			if err != nil || f == nil {
				continue
			}
			for _, u := range f.Subscriptions {
				if len(u.Modified) > 0 {
					w.note(fmt.Sprint(u.Modified[0]["note"]))
				}
			}
		}
	})
	return w
}

func (w *watcher) note(text string) {
	if at, err := strconv.ParseInt(text, 10, 64); err == nil {
		w.mu.Lock()
		w.ages = append(w.ages, time.Since(time.UnixMicro(at)))
		w.mu.Unlock()
	}
}

// take gives the p99 of what was noted since the last time, and how many that were.
func take(all []*watcher) (p99 time.Duration, n int) {
	var ages []time.Duration
	for _, w := range all {
		w.mu.Lock()
		ages = append(ages, w.ages...)
		w.ages = nil
		w.mu.Unlock()
	}
	if len(ages) == 0 {
		return 0, 0
	}
	slices.Sort(ages)
	return ages[len(ages)*99/100], len(ages)
}

// resident is the memory of a process, in octets.
func (p *process) resident() int64 {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// Clients whose queries match every change stop reading: the server holds no more for
// them than a bound, others notice nothing, and each is exact again when it reads on.
func TestStalled(t *testing.T) {
	clients, seconds := 40, 4
	if n, err := strconv.Atoi(os.Getenv(envClients)); err == nil {
		clients, seconds = n, 60
	}
	s := apptest.Prepare(t, itemsOptions("", nil))
	p := newProcess(t, s, "")
	p.start()
	p.awaitReady()
	owner := s.Owner("1")
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	var watchers []*watcher
	for range 10 {
		watchers = append(watchers, watch(t, ctx, &group, p.ws(), owner))
	}
	w := startWriters(t, s.AdminURL, 0, 0)
	w.stream(t, s.AdminURL, 1, 2000)
	w.more(t, 20)
	take(watchers)
	w.more(t, int64(20*seconds/2))
	before, _ := take(watchers)
	all := make([]*stalled, clients)
	for i := range all {
		all[i] = stall(t, p.ws(), owner, everything())
	}
	base := p.resident()
	peak := base
	// Until the kernel holds as much for them as it will: then they cost no frames.
	await(t, "the clients to have stopped", func() bool {
		frames := p.metric("walwire_frames_out_total")
		w.more(t, 10)
		peak = max(peak, p.resident())
		return p.metric("walwire_frames_out_total")-frames < float64(12*len(watchers)*2)
	})
	take(watchers)
	for end := time.Now().Add(time.Duration(seconds) * time.Second); time.Now().Before(end); {
		w.more(t, 5)
		peak = max(peak, p.resident())
	}
	during, n := take(watchers)
	w.stop()
	lsn := s.LSN()
	late, done := context.WithTimeout(t.Context(), 4*time.Minute)
	defer done()
	want := everything().expected(s, 1)
	resets := 0
	var catching sync.WaitGroup
	for i, c := range all {
		catching.Go(func() {
			if err := c.catchUp(late, lsn); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	catching.Wait()
	for i, c := range all {
		m := &member{queries: []*apptest.Query{c.query}}
		if got := m.shown(0); got != want {
			t.Fatalf("client %d does not show what SELECT gives", i)
		}
		resets += c.query.Resets
	}
	t.Logf("%d clients stopped reading for %d s under 2,000 changes/s: %.1f MiB over %.1f MiB at the most, %.0f KiB a client (bound %d KiB); the others' p99 %s before, %s meanwhile (%d frames); %d resets, all exact again; %v merged frames",
		clients, seconds, float64(peak-base)/(1<<20), float64(base)/(1<<20), float64(peak-base)/1024/float64(clients), stalledBytes>>10,
		before.Round(100*time.Microsecond), during.Round(100*time.Microsecond), n, resets, p.metric("walwire_merges_total"))
	if over := peak - base; over > int64(clients)*stalledBytes+slack {
		t.Errorf("%d octets over the baseline", over)
	}
	if n == 0 {
		t.Error("the others saw nothing")
	}
}
