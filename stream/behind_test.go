package stream_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/walwire/walwire/internal/app"
	"github.com/walwire/walwire/internal/apptest"
)

func startTuned(t *testing.T, tuning app.Tuning) *apptest.Server {
	t.Helper()
	return apptest.Start(t, apptest.Options{Schema: itemsSchema, Config: itemsConfig, Tables: []pgx.Identifier{{"public", "items"}}, Tuning: tuning})
}

// Whatever bound is exceeded, every frame shows one commit, in all queries of
// its connection at once, and nothing is missing after a wait.
func TestBank(t *testing.T) {
	for name, tc := range map[string]struct {
		tuning app.Tuning
		hit    func(*apptest.Server) float64 // that the bound was met
	}{
		"unbounded":   {app.Tuning{}, func(*apptest.Server) float64 { return 1 }},
		"chain":       {app.Tuning{ChainBytes: 1000}, func(s *apptest.Server) float64 { return testutil.ToFloat64(s.Hub().Metrics.Resets) }},
		"inbox":       {app.Tuning{InboxBytes: 3000}, func(s *apptest.Server) float64 { return testutil.ToFloat64(s.Hub().Metrics.Overflows) }},
		"transaction": {app.Tuning{MaxTransactionBytes: 10_000}, func(s *apptest.Server) float64 { return testutil.ToFloat64(s.Hub().Metrics.Rereads) }},
		"frames":      {app.Tuning{DataFrameBytes: 500}, func(*apptest.Server) float64 { return 1 }},
	} {
		t.Run(name, func(t *testing.T) {
			s := startTuned(t, tc.tuning)
			begun := time.Now()
			runBank(t, s, 100, 1, func() error { return balance(s) })
			if err := balance(s); err != nil {
				t.Error(err)
			}
			if tc.hit(s) == 0 {
				t.Error("the bound was never met")
			}
			if n := testutil.ToFloat64(s.Hub().Metrics.Mismatches); n != 0 {
				t.Errorf("two live queries disagreed about a row %v times", n)
			}
			t.Logf("%s: %v frames, %v resets, %v rereads, %v overflows", time.Since(begun), testutil.ToFloat64(s.Hub().Metrics.FramesOut),
				testutil.ToFloat64(s.Hub().Metrics.Resets), testutil.ToFloat64(s.Hub().Metrics.Rereads), testutil.ToFloat64(s.Hub().Metrics.Overflows))
		})
	}
}

// A table that is altered again and again makes its queries anew; those of one
// connection still go on together.
func TestBankAltered(t *testing.T) {
	s := startTuned(t, app.Tuning{})
	types, n := []string{"varchar(300)", "text"}, 0
	runBank(t, s, 400, 3, func() error {
		n++
		if _, err := s.DB.Exec(t.Context(), `SET lock_timeout = '2s'; ALTER TABLE items ALTER note TYPE `+types[n%2]); err != nil && !isConflict(err) {
			return err
		}
		return balance(s)
	})
}

// A client that stops reading while its rows change thousands of times costs
// nobody else anything. It gets the changes merged, or, further behind than the
// server remembers, is begun anew; either way it is exact in the end.
func TestClientThatDoesNotRead(t *testing.T) {
	for name, tc := range map[string]struct {
		chain int
		reset bool
	}{"merged": {1 << 30, false}, "reset": {64 << 10, true}} {
		t.Run(name, func(t *testing.T) {
			s := startTuned(t, app.Tuning{ChainBytes: tc.chain, WriteTimeout: 15 * time.Minute})
			slow, quick, other := s.Connect(s.Owner("1")), s.Connect(s.Owner("1")), s.Connect(s.Owner("2"))
			q := slow.Open(1, `{"table":"items"}`)
			quick.Open(1, `{"table":"items","where":[["id","==",2]]}`)
			other.Open(1, `{"table":"items","where":[["id","==",1]]}`)
			s.Exec(`UPDATE items SET note = repeat('x', 4000) WHERE company = 1`)
			commits := 0
			for range 100 { // 20 MB of rows: more than sockets hold
				s.Exec(`UPDATE items SET v = v + 1`)
				commits++
				mustFrame(t, quick.Read(), 0, 1, 0) // the wide row's first
				mustFrame(t, other.Read(), 0, 1, 0)
			}
			s.Exec(`DO $$ BEGIN FOR i IN 1..2000 LOOP UPDATE items SET v = v + 1 WHERE id = 4; COMMIT; END LOOP; END $$`)
			commits += 2000
			heap := heapInUse()
			s.Exec(`DELETE FROM items WHERE id = 6; INSERT INTO items VALUES (1000, 1, 0)`)
			lsn := s.LSN()
			slow.Send(`{"type":"wait","id":1,"lsn":%q,"timeout_ms":20000}`, lsn)
			frames := 0
			for f := slow.Read(); f.Type != "waited"; f = slow.Read() {
				frames++
			}
			mustShow(t, s, q, `SELECT id::text, v::text FROM items WHERE company = 1`)
			if frames > commits/4 {
				t.Errorf("%d frames for %d commits: nothing was merged", frames, commits)
			}
			if tc.reset != (q.Resets > 0) {
				t.Errorf("begun anew %d times", q.Resets)
			}
			if tc.reset && heap > 100<<20 {
				t.Errorf("%d MiB are in use while a client does not read", heap>>20)
			}
			t.Logf("%d commits in %d frames, %d resets, %d MiB in use", commits, frames, q.Resets, heap>>20)
		})
	}
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
