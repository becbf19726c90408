package faults_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/walwire/walwire/internal/apptest"
)

// fleet are clients that read all the time. One whose connection ends comes back
// and resumes.
type fleet struct {
	t       testing.TB
	url     func() string // of the WebSocket, now
	ctx     context.Context
	cancel  context.CancelFunc
	group   sync.WaitGroup
	members []*member
	// liveness is how long a client waits for the answer to a ping; zero: it does not ask.
	liveness time.Duration
	// patient has clients wait longer and longer while they can't connect.
	patient bool
}

func newFleet(t testing.TB, url func() string) *fleet {
	f := &fleet{t: t, url: url}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	t.Cleanup(f.stop)
	return f
}

// stop ends all clients.
func (f *fleet) stop() {
	f.cancel()
	f.group.Wait()
}

// member is one client.
type member struct {
	fleet   *fleet
	company int
	token   string
	lives   []live

	mu       sync.Mutex // protects following
	conn     *websocket.Conn
	queries  []*apptest.Query
	cursors  []string       // of each query
	rows     int            // received, removals and those of snapshots included
	closes   map[int]int    // how connections ended: close codes, -1 without
	errors   map[string]int // error frames, by code
	answered bool           // every query has its rows, or was resumed, on this connection
	welcomes int
	told     int           // that the server stops
	after    time.Duration // to wait before the next connection
	target   string        // position waited for
	reached  string        // the last of these that was delivered
}

// join adds a client, which begins at once.
func (f *fleet) join(company int, token string, lives ...live) *member {
	m := &member{fleet: f, company: company, token: token, lives: lives, closes: make(map[int]int), errors: make(map[string]int)}
	for range lives {
		m.queries, m.cursors = append(m.queries, nil), append(m.cursors, "")
	}
	f.members = append(f.members, m)
	f.group.Go(m.run)
	return m
}

func (m *member) run() {
	for m.fleet.ctx.Err() == nil {
		m.mu.Lock()
		welcomes := m.welcomes
		m.mu.Unlock()
		if err := m.connection(m.fleet.ctx); err != nil {
			m.fleet.t.Errorf("client of company %d: %v", m.company, err)
			return
		}
		m.mu.Lock()
		switch wait := 10*time.Millisecond + rand.N(40*time.Millisecond); {
		case m.welcomes > welcomes || !m.fleet.patient:
			m.after = max(wait, m.after)
		default:
			m.after = min(2*m.after+wait, time.Second)
		}
		wait := m.after
		if m.welcomes > welcomes {
			m.after = 0
		}
		m.mu.Unlock()
		pause(m.fleet.ctx, wait)
	}
}

// connection is one connection until it ends; the error is what the server did
// against the protocol.
func (m *member) connection(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	late := time.AfterFunc(10*time.Second, cancel)
	conn, _, err := websocket.Dial(ctx, m.fleet.url(), nil)
	if err != nil || !late.Stop() {
		return nil
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(-1)
	replica := apptest.NewReplica()
	m.begin(ctx, conn, replica)
	defer m.ended()
	if m.fleet.liveness > 0 {
		go m.ping(ctx, conn)
	}
	for {
		_, message, err := conn.Read(ctx)
		if err != nil {
			m.mu.Lock()
			m.closes[int(websocket.CloseStatus(err))]++
			m.mu.Unlock()
			return nil
		}
		if err := m.receive(ctx, replica, message); err != nil {
			return err
		}
	}
}

// begin says all that a client has to say. What can't be written shows when reading.
func (m *member) begin(ctx context.Context, conn *websocket.Conn, replica *apptest.Replica) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.conn, m.answered = conn, false
	m.send(ctx, `{"type":"auth","token":%q}`, m.token)
	for i, l := range m.lives {
		id := i + 1
		if q := m.queries[i]; q != nil && q.Loaded && q.Err == nil {
			replica.Resume(id, q)
			m.send(ctx, `{"type":"subscribe","id":%d,"query":%s,"resume":{"cursor":%q,"token":%q}}`, id, l.query, m.cursors[i], q.Token)
			continue
		}
		m.queries[i] = replica.Open(id)
		m.send(ctx, `{"type":"subscribe","id":%d,"query":%s}`, id, l.query)
	}
	m.ask(ctx)
}

func (m *member) ended() {
	m.mu.Lock()
	m.conn, m.answered = nil, false
	m.mu.Unlock()
}

func (m *member) send(ctx context.Context, format string, args ...any) {
	_ = m.conn.Write(ctx, websocket.MessageText, fmt.Appendf(nil, format, args...))
}

// ask waits for the target. m.mu is held.
func (m *member) ask(ctx context.Context) {
	if m.conn != nil && m.target != m.reached {
		m.send(ctx, `{"type":"wait","id":1,"lsn":%q,"timeout_ms":30000}`, m.target)
	}
}

func (m *member) receive(ctx context.Context, replica *apptest.Replica, message []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, err := replica.Receive(message)
	if f == nil || err != nil {
		return err
	}
	switch f.Type {
	case "welcome":
		m.welcomes++
	case "reconnect":
		m.told++
		m.after = time.Duration(f.AfterMS) * time.Millisecond
	case "data":
		for i, q := range m.queries {
			if q.Loaded && !q.Waiting { // else it is still where it was on the connection before
				m.cursors[i] = replica.Cursor
			}
		}
		for _, u := range f.Subscriptions {
			m.rows += len(u.Added) + len(u.Modified) + len(u.Removed)
			if u.Snapshot != nil {
				m.rows += len(u.Snapshot.Rows)
			}
		}
		m.answered = !slices.ContainsFunc(m.queries, func(q *apptest.Query) bool { return !q.Loaded || q.Waiting })
	case "waited":
		m.reached = m.target // one at a time
	case "error":
		if f.Wait == 0 || f.Code != "deadline-exceeded" { // who waits longer asks again
			m.errors[f.Code]++
		}
		if f.Wait > 0 {
			m.ask(ctx)
		}
	}
	return nil
}

// ping ends a connection on which nothing is answered.
func (m *member) ping(ctx context.Context, conn *websocket.Conn) {
	for ctx.Err() == nil {
		late, cancel := context.WithTimeout(ctx, m.fleet.liveness)
		if conn.Ping(late) != nil {
			_ = conn.CloseNow()
		}
		cancel()
		pause(ctx, m.fleet.liveness/4)
	}
}

// all waits until ok holds for every member, under its lock.
func (f *fleet) all(what string, ok func(*member) bool) {
	f.t.Helper()
	for _, m := range f.members {
		await(f.t, what, func() bool {
			if f.t.Failed() { // a client has ended
				f.t.FailNow()
			}
			m.mu.Lock()
			defer m.mu.Unlock()
			return ok(m)
		})
	}
}

// answered waits until every client has its rows on a connection of now.
func (f *fleet) answered() {
	f.t.Helper()
	f.all("a client to have its rows", func(m *member) bool { return m.answered })
}

// reach waits until everything up to lsn was delivered to everybody.
func (f *fleet) reach(lsn string) {
	f.t.Helper()
	for _, m := range f.members {
		m.mu.Lock()
		m.target, m.reached = lsn, ""
		m.ask(f.ctx)
		m.mu.Unlock()
	}
	f.all("a client to reach "+lsn, func(m *member) bool { return m.reached == lsn && m.answered })
}

// mustEqual compares what every client shows with SELECT, once nothing is written.
func (f *fleet) mustEqual(s *apptest.Server) {
	f.t.Helper()
	f.reach(s.LSN())
	want := make(map[string]string)
	for n, m := range f.members {
		for i, l := range m.lives {
			key := fmt.Sprint(m.company, l.query)
			if _, known := want[key]; !known {
				want[key] = l.expected(s, m.company)
			}
			if got := m.shown(i); got != want[key] {
				f.t.Fatalf("client %d of company %d, %s shows\n%s\nSELECT gives\n%s", n, m.company, l.query, got, want[key])
			}
		}
	}
}

// shown is what a query of a client shows, as live.expected has it.
func (m *member) shown(i int) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	q := m.queries[i]
	rows := q.Sorted()
	if len(q.Order) == 0 {
		slices.SortFunc(rows, func(a, b apptest.Row) int { return number(a["id"]) - number(b["id"]) })
	}
	lines := make([]string, len(rows))
	for i, r := range rows {
		lines[i] = fmt.Sprint(r["id"], " ", r["grp"], " ", r["v"], " ", r["note"])
	}
	return strings.Join(lines, "\n")
}

// tally sums up over all clients.
type tally struct{ rows, resumes, resets, welcomes int }

func (f *fleet) tally() (sum tally) {
	for _, m := range f.members {
		m.mu.Lock()
		sum.rows += m.rows
		sum.welcomes += m.welcomes
		for _, q := range m.queries {
			if q != nil {
				sum.resumes, sum.resets = sum.resumes+q.Resumes, sum.resets+q.Resets
			}
		}
		m.mu.Unlock()
	}
	return sum
}

func (a tally) minus(b tally) tally {
	return tally{a.rows - b.rows, a.resumes - b.resumes, a.resets - b.resets, a.welcomes - b.welcomes}
}

func number(v any) int {
	n, _ := strconv.Atoi(fmt.Sprint(v))
	return n
}
