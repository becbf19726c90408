package faults_test

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/internal/wire"
)

// envCycles is how often TestCycles connects.
const envCycles = "WALWIRE_CYCLES"

// Clients connect, subscribe and vanish, by every way, also before they have been
// answered: nothing of them stays.
func TestCycles(t *testing.T) {
	cycles := 600
	if n, err := strconv.Atoi(os.Getenv(envCycles)); err == nil {
		cycles = n
	}
	s := apptest.Prepare(t, itemsOptions("", nil))
	p := newProcess(t, s, "")
	cyclesOf(t, s, p, cycles, func(n int) string { return `"query":` + window(n%groups, 3).query }, func(n int) string { return `"query":` + filter(n%groups).query })
}

// The same with events: in rooms of their own, from a time on, while rows change.
func TestEventCycles(t *testing.T) {
	cycles := 600
	if n, err := strconv.Atoi(os.Getenv(envCycles)); err == nil {
		cycles = n
	}
	rules := strings.Replace(itemsConfig, `{table: public.items, company: company, roles: {owner: {rows: true, columns: "*"}}}`, `{table: public.items, company: company, roles: {owner: {rows: true, columns: "*"}}, rooms: {grp: grp}, events: [
    {event: item.added, on: insert}, {event: item.changed, on: update, old: [v]}, {event: item.gone, on: delete}, {event: item.many, on: update, several: 2, instead_of: ["item.*"]}]}
rooms: {grp: true}`, 1)
	s := apptest.Prepare(t, itemsOptions("", nil))
	p := newProcessOf(t, s, rules+"slot: "+s.Config.Slot+`
limits: {auth_deadline: 60s, connections_per_user: 20000, connections_per_address: 20000, connection_attempts_per_second: 20000, connection_attempts_burst: 20000}
retention: {age: 5s} # the log of the writer is no part of what is left
`)
	startWriters(t, s.AdminURL, 1, 200*time.Millisecond)
	cyclesOf(t, s, p, cycles, func(n int) string {
		return `"events":{"names":["item.*"],"rooms":["row:items:` + strconv.Itoa(n) + `","grp:` + strconv.Itoa(n%groups) + `"],"since":"2001-01-01T00:00:00Z"}`
	}, func(n int) string {
		return `"events":{"names":["item.changed"],"rooms":["grp:` + strconv.Itoa(n%groups) + `"]}`
	})
}

// cyclesOf connects with two kinds of subscriptions, and looks at what is left.
func cyclesOf(t *testing.T, s *apptest.Server, p *process, cycles int, first, second func(n int) string) {
	t.Helper()
	p.start()
	p.awaitReady()
	ways := []string{wire.WebSocket, wire.SSE, wire.Poll}
	var tokens []string
	for company := range companies {
		tokens = append(tokens, s.Owner(strconv.Itoa(company+1)))
	}
	cycle := func(n int) {
		conn, err := wire.Dial(t.Context(), ways[n%3], "http://"+p.listen, tokens[n%companies], 64<<20)
		if err != nil {
			t.Errorf("cycle %d: %v", n, err)
			return
		}
		defer conn.Close()
		frames := 2 // the welcome and the rows
		switch n % 4 {
		case 0:
			frames = 1 // gone while they are read
		case 1: // gone with a window
			_, _ = conn.Read(t.Context())
			err = conn.Write(t.Context(), []byte(`{"type":"subscribe","id":2,`+first(n)+`}`))
			frames = 1
		default:
			_, _ = conn.Read(t.Context())
			err = conn.Write(t.Context(), []byte(`{"type":"subscribe","id":1,`+second(n)+`}`))
			frames = 1
		}
		for range frames {
			if _, readErr := conn.Read(t.Context()); err == nil {
				err = readErr
			}
		}
		if err != nil {
			t.Errorf("cycle %d: %v", n, err)
		}
	}
	run := func(count int) {
		var group sync.WaitGroup
		next := make(chan int)
		for range 8 {
			group.Go(func() {
				for n := range next {
					cycle(n)
				}
			})
		}
		for n := range count {
			next <- n
		}
		close(next)
		group.Wait()
	}
	run(100) // pools, connections to the database
	before := p.settled()
	run(cycles)
	after := p.settled()
	t.Logf("%d cycles: before %+v, after %+v", cycles, before, after)
	if after.views != 0 || after.companies != 0 || after.rows != 0 || after.connections != 0 {
		t.Errorf("something of clients that have gone is left: %+v", after)
	}
	most := before.goroutines + 10
	awaitFor(t, 30*time.Second, fmt.Sprintf("no more than %d goroutines", most), func() bool { // the last of them may still be on their way
		return after.goroutines <= most || p.profile("goroutine?debug=1", "goroutine profile: total ") <= most
	})
	heap := before.heap + 4<<20
	awaitFor(t, time.Minute, fmt.Sprintf("no more than %d octets of heap, there were %d and then %d", heap, before.heap, after.heap), func() bool {
		return after.heap <= heap || p.heap() <= heap // the runtime may hold timers that were stopped, and what they would do, for some seconds
	})
}

// holding is what a process holds for its clients.
type holding struct {
	goroutines, heap                    int
	views, companies, rows, connections float64
}

// settled waits until the process holds nothing for anybody (who polls may be away for 30 s),
// or does not let go of it, and collects its garbage.
func (p *process) settled() (h holding) {
	p.t.Helper()
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		h = holding{
			views: p.metric("walwire_views"), companies: p.metric("walwire_companies"), rows: p.metric("walwire_row_bytes"),
			connections: p.metric(`walwire_connections{transport="websocket"}`) + p.metric(`walwire_connections{transport="sse"}`) + p.metric(`walwire_connections{transport="poll"}`),
		}
		if h.views+h.companies+h.rows+h.connections == 0 {
			break
		}
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if n := p.profile("goroutine?debug=1", "goroutine profile: total "); h.goroutines == 0 || n < h.goroutines {
			h.goroutines = n
			continue
		}
		break
	}
	h.heap = p.heap()
	return h
}

// heap collects the process's garbage and gives what is left.
func (p *process) heap() (octets int) {
	for range 2 { // what a sync.Pool has lent goes with the second collection
		octets = p.profile("heap?debug=1&gc=1", "# HeapAlloc = ")
	}
	return octets
}

// profile gives a number of one of the process's profiles.
func (p *process) profile(path, before string) int {
	p.t.Helper()
	answer, err := http.Get("http://" + p.admin + "/debug/pprof/" + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), before); ok {
			n, err := strconv.Atoi(text)
			if err != nil {
				p.t.Fatal(err)
			}
			return n
		}
	}
	p.t.Fatalf("no %q in %s", before, path)
	return 0
}
