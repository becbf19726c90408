package stream_test

import (
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/walwire/walwire/internal/app"
	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/mapping"
)

// hugeRows is how many rows the huge transaction has; WALWIRE_HUGE_ROWS says otherwise.
func hugeRows(t *testing.T) int {
	text := os.Getenv("WALWIRE_HUGE_ROWS")
	if text == "" {
		return 100_000
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("WALWIRE_HUGE_ROWS: %v", err)
	}
	return n
}

// hugeHeap bounds the heap of server and clients together, however many rows there
// are: what the server may hold of one transaction, of the log, and of its garbage.
const hugeHeap = 200 << 20

// peak samples the heap until stop; highest gives the most there was.
func peak() (highest func() uint64, stop func()) {
	var most atomic.Uint64
	done := make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most.Store(max(most.Load(), m.HeapAlloc))
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	})
	return most.Load, func() {
		close(done)
		ended.Wait()
	}
}

// A transaction too large to hold: queries of its company are read again and end
// exact, those of another company get their changes, and memory stays where it was.
func TestLifeHuge(t *testing.T) {
	rows := hugeRows(t)
	o := lifeOptions(tasksSchema, tasksConfig, "tasks", "calm")
	o.Tuning = app.Tuning{MaxTransactionBytes: 8 << 20, CatalogInterval: lookOften}
	o.Edit = func(c *mapping.Config) { // longer than it takes to read it
		c.Retention.Age, c.Retention.WAL = time.Hour, 64<<30
	}
	queries := []lifeQuery{
		{"owner", `{"table":"tasks","where":[["note","==","few"]]}`, []string{"id", "v"}, `SELECT id || '|' || v FROM tasks WHERE company = 1 AND note = 'few'`},
		{"owner", `{"table":"tasks","columns":["v"],"orderBy":[["v","desc"]],"limit":20}`, []string{"id", "v"},
			`SELECT id || '|' || v FROM tasks WHERE company = 1 ORDER BY v DESC, id DESC LIMIT 20`},
		tasksQueries[needsCalm],
	}
	l := startLife(t, o, queries)
	l.Exec(`UPDATE tasks SET note = 'few', v = v + 1 WHERE id % 4 = 1`)
	other := l.Connect(l.Owner("2"))
	theirs := other.Open(1, `{"table":"tasks","where":[["id","<",100]]}`)
	now := `SELECT id::text, v::text FROM tasks WHERE company = 2 AND id < 100`
	runtime.GC()
	highest, stop := peak()
	defer stop()
	begun := time.Now()
	for _, sql := range []string{
		`INSERT INTO tasks (id, company, v, note) SELECT 1000 + g, 1, g % 1000, CASE WHEN g % (` + strconv.Itoa(rows/50) + `) = 0 THEN 'few' ELSE 'many' END FROM generate_series(1, ` + strconv.Itoa(rows) + `) g`,
		`UPDATE tasks SET v = v + 1 WHERE company = 1`,
		`BEGIN; UPDATE tasks SET v = 5 WHERE id = 20; DELETE FROM tasks WHERE id > 1000; INSERT INTO tasks (id, company, v, note) VALUES (5000000, 1, 7, 'few'); COMMIT`,
	} {
		l.Exec(sql)
		l.Exec(`UPDATE tasks SET v = v + 1 WHERE company = 2; UPDATE calm SET v = v + 1`)
		waitLong(t, l.Server, other)
		mustShow(t, l.Server, theirs, now)
		l.settle(sql, false)
		t.Logf("%d rows, %s after the beginning, %d MiB of heap at most: %.60s", rows, time.Since(begun).Round(10*time.Millisecond), highest()>>20, sql)
	}
	if most := highest(); most > hugeHeap {
		t.Errorf("%d MiB of heap, want at most %d", most>>20, hugeHeap>>20)
	}
	if l.away[2].Resets > 0 || testutil.ToFloat64(l.Hub().Metrics.Rereads) == 0 {
		t.Errorf("the table that was not touched began anew %d times; nothing was read again: %t", l.away[2].Resets, testutil.ToFloat64(l.Hub().Metrics.Rereads) == 0)
	}
}

// waitLong waits for the server to have read what was written, which one wait of a
// client may be too short for.
func waitLong(t *testing.T, s *apptest.Server, c *apptest.Client) {
	t.Helper()
	lsn := s.LSN()
	for deadline := time.Now().Add(20 * time.Minute); time.Now().Before(deadline); {
		status, answer := call(t, "POST", s.URL()+"/v1/wait", s.Owner("2"), `{"lsn":"`+lsn+`","timeout_ms":15000}`)
		if status == 200 {
			c.WaitFor(lsn)
			return
		}
		if status != 504 {
			t.Fatalf("wait: HTTP %d %v", status, answer)
		}
	}
	t.Fatal("the server has not come to the end of the transaction in twenty minutes")
}
