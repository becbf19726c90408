package faults_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/walwire/walwire"
	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/internal/pgtest"
	"github.com/walwire/walwire/migrations"
)

// The one of three servers that runs the schedules is killed in the middle of a run:
// another takes over, and in the end each appointment has been reminded of once.
func TestScheduleTakenOver(t *testing.T) {
	const appointments = 200
	s := apptest.Prepare(t, apptest.Options{})
	role := pgtest.Unique("schedules")
	if err := migrations.SchedulesRole(t.Context(), s.AdminURL, role, "secret"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := s.DB.Exec(context.Background(), "DROP OWNED BY "+role+"; DROP ROLE "+role); err != nil {
			t.Error(err)
		}
	})
	config := strings.NewReplacer("\nslot: walwire\n", "\nslot: "+s.Config.Slot+"\n", "every: 1m", "every: 1s").Replace(walwire.ExampleConfig())
	var processes []*process
	for range 3 {
		p := newProcessOf(t, s, config)
		p.env = append(p.env, "WALWIRE_SCHEDULES_DATABASE_URL="+pgtest.WithUser(t, s.AdminURL, role, "secret"))
		p.start()
		processes = append(processes, p)
	}
	// running is the process that runs the schedules, -1 for none.
	running := func() int {
		found := -1
		for i, p := range processes {
			if p.cmd == nil || !p.logged("this server runs the schedules") {
				continue
			}
			if p.metric("walwire_schedules_running") == 1 {
				if found >= 0 {
					t.Fatalf("the processes %d and %d run the schedules", found, i)
				}
				found = i
			}
		}
		return found
	}
	reminded := func() (n int) {
		s.Scan(&n, "SELECT count(*) FROM notifications WHERE kind = 'reminder'")
		return n
	}
	await(t, "one to run the schedules", func() bool { return running() >= 0 })

	// They become due one after the other, over 30 s.
	s.Exec(`INSERT INTO companies (id, name) VALUES ('00000000-0000-0000-0000-000000000001', 'a')`)
	s.Exec(`INSERT INTO clients (id, company_id, user_id, name) VALUES ('00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000001', 'ada', 'Ada')`)
	s.Exec(`INSERT INTO appointments (company_id, client_id, status, starts_at, ends_at)
		SELECT '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002', 'confirmed', at, at + interval '1 h'
		FROM generate_series(1, $1) n, LATERAL (SELECT now() + interval '24 h' + n * interval '150 ms' AS at) t`, appointments)
	await(t, "some reminders", func() bool { return reminded() > appointments/10 })

	tx, err := pgtest.MustConnect(t, s.AdminURL).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pgtest.MustExec(t, tx, "LOCK TABLE notifications IN SHARE MODE") // the next run waits for it, and then is killed
	await(t, "a run to be under way", func() bool {
		var waiting bool
		s.Scan(&waiting, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE usename = $1 AND wait_event_type = 'Lock' AND query LIKE '%INSERT%')", role)
		return waiting
	})
	victim := running()
	if victim < 0 {
		t.Fatal("nobody runs the schedules")
	}
	processes[victim].kill()
	begun := time.Now()
	await(t, "another to run the schedules", func() bool { return running() >= 0 })
	took := time.Since(begun)
	killed := reminded()
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, "all reminders", func() bool { return reminded() >= appointments })
	const ok = `walwire_schedule_runs_total{result="ok",schedule="appointment_reminders"}`
	holder := processes[running()]
	done := holder.metric(ok)
	await(t, "runs that find nothing to do", func() bool { return holder.metric(ok) >= done+2 })
	t.Logf("killed after %d of %d reminders; another took over in %s", killed, appointments, took.Round(time.Millisecond))
	if killed < 1 || killed >= appointments {
		t.Errorf("%d reminders when it was killed: that is not in the middle", killed)
	}
	if took > 40*time.Second {
		t.Errorf("taken over after %s", took)
	}
	var distinct int
	s.Scan(&distinct, "SELECT count(DISTINCT data->>'appointment_id') FROM notifications WHERE kind = 'reminder'")
	if n := reminded(); n != appointments || distinct != appointments {
		t.Errorf("%d reminders of %d appointments", n, distinct)
	}
}
