package faults_test

import (
	"maps"
	"testing"
	"time"

	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/internal/pgserver"
	"github.com/walwire/walwire/internal/pgtest"
	"github.com/walwire/walwire/mapping"
)

// smallWAL is a cluster whose WAL is cut into small pieces, and removed soon.
func smallWAL(t *testing.T, settings map[string]string) *pgserver.Server {
	t.Helper()
	all := map[string]string{"min_wal_size": "4MB", "max_wal_size": "16MB", "wal_keep_size": "0"}
	maps.Copy(all, settings)
	return pgtest.Start(t, pgserver.Options{Settings: all, WALSegmentMB: 1})
}

// Tables that walwire does not map, and another database of the cluster, write many
// times what the log may keep: the slot's WAL stays bounded, whether the mapped
// tables are idle or written to now and then.
func TestRetainedWAL(t *testing.T) {
	const bound, written = 8 << 20, 20 * 8 << 20
	server := smallWAL(t, nil)
	s := apptest.Start(t, itemsOptions(server.URL(), func(c *mapping.Config) { c.Retention.WAL = bound }))
	f := newFleet(t, s.WS)
	joinItems(s, f, 4)
	other := pgtest.MustConnect(t, pgtest.DatabaseIn(t, server.URL()))
	pgtest.MustExec(t, other, `CREATE TABLE elsewhere (note text)`)
	slot := func() (written, retained int64) {
		if err := s.DB.QueryRow(t.Context(), `SELECT (pg_current_wal_lsn() - '0/0')::int8, (pg_current_wal_lsn() - restart_lsn)::int8
			FROM pg_replication_slots WHERE slot_name = $1`, s.Config.Slot).Scan(&written, &retained); err != nil {
			t.Fatal(err)
		}
		return written, retained
	}
	for _, rare := range []bool{false, true} {
		s.Exec(`UPDATE items SET v = v + 1 WHERE id < 50`) // what the log begins with
		f.mustEqual(s)
		begin, _ := slot()
		var peak, total int64
		for n := 0; total < written; n++ {
			s.Exec(`INSERT INTO elsewhere (note) SELECT repeat('x', 1000) FROM generate_series(1, 1000)`)
			pgtest.MustExec(t, other, `INSERT INTO elsewhere SELECT repeat('y', 1000) FROM generate_series(1, 1000)`)
			if rare && n%16 == 8 {
				s.Exec(`UPDATE items SET v = v + 1 WHERE id = 5`)
			}
			if n%8 == 7 { // restart_lsn moves at checkpoints, which max_wal_size brings in time
				s.Exec(`CHECKPOINT`)
				f.reach(s.LSN()) // not faster than the log can be read
			}
			now, retained := slot()
			total, peak = now-begin, max(peak, retained)
		}
		f.mustEqual(s)
		begun := time.Now()
		awaitFor(t, 90*time.Second, "the slot to let go", func() bool {
			// PostgreSQL moves restart_lsn from one checkpoint, or 15 s, to the next: the
			// burst above lies between two of them, and goes once WAL goes on at a walk.
			s.Exec(`INSERT INTO elsewhere (note) SELECT repeat('x', 1000) FROM generate_series(1, 500)`)
			s.Exec(`CHECKPOINT`)
			_, retained := slot()
			return retained <= bound+bound/2
		})
		t.Logf("rare writes %t: %d MiB written, retention.wal is %d MiB: the slot retained %.1f MiB at the peak, and was within its bound %s after the end",
			rare, total>>20, bound>>20, float64(peak)/(1<<20), time.Since(begun).Round(time.Millisecond))
		if peak > written/2 {
			t.Errorf("the slot retained %d MiB", peak>>20)
		}
	}
}
