package app_test

import (
	"bytes"
	"context"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/walwire/walwire/internal/app"
	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/internal/pgtest"
	"github.com/walwire/walwire/mapping"
)

const runsSchema = notesSchema + `; CREATE TABLE runs (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, pid int DEFAULT pg_backend_pid(), at timestamptz DEFAULT now());
	CREATE TABLE secrets (text text PRIMARY KEY); INSERT INTO secrets VALUES ('a value of a row')`

// scheduled are options of a server that runs statements.
func scheduled(t *testing.T, log *slog.Logger, statements ...mapping.ScheduleConfig) apptest.Options {
	url := pgtest.Database(t)
	o := notes(func(c *mapping.Config) {
		c.Schedules = mapping.Schedules{DatabaseURL: mapping.NewSecret(url), Statements: statements}
	})
	o.Schema, o.AdminURL, o.Log = runsSchema, url, log
	return o
}

// everySecond is a statement that may take 10 s.
func everySecond(name, sql string) mapping.ScheduleConfig {
	return mapping.ScheduleConfig{Name: name, Every: time.Second, Timeout: 10 * time.Second, SQL: sql}
}

// record is a log that can be read while it is written.
type record struct {
	mu   sync.Mutex // protects text
	text bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// metric reads one of a server's metrics, with its labels.
func metric(t *testing.T, adminURL, name string) float64 {
	t.Helper()
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(get(t, adminURL+"/metrics"))
	if found == nil {
		t.Fatalf("there is no metric %s", name)
	}
	value, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// runs awaits so many runs from now on.
func runs(t *testing.T, s *apptest.Server, more int) {
	t.Helper()
	var before, now int
	s.Scan(&before, "SELECT count(*) FROM runs")
	await(t, "runs", func() bool {
		s.Scan(&now, "SELECT count(*) FROM runs")
		return now >= before+more
	})
}

const insertRun = "INSERT INTO runs DEFAULT VALUES"

// Of two servers one runs the statements, whichever of them serves; when its connection
// is lost, one of them goes on; when it stops, the other does.
func TestSchedulesOnOne(t *testing.T) {
	s := apptest.Start(t, scheduled(t, nil, everySecond("insert", insertRun)))
	runs(t, s, 1)
	other, err := app.New(s.Config, apptest.Logger(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() {
		if err := other.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	stop := func() { cancel(); group.Wait() }
	t.Cleanup(stop)
	running := func(a *app.App) bool { return metric(t, a.AdminURL(), "walwire_schedules_running") == 1 }
	last := func() (pid int) {
		s.Scan(&pid, "SELECT pid FROM runs ORDER BY id DESC LIMIT 1")
		return pid
	}
	var pids, pid int
	await(t, "the other to ask for the lock", func() bool {
		s.Scan(&pids, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'walwire schedules'")
		return pids == 2
	})
	runs(t, s, 3)
	if s.Scan(&pids, "SELECT count(DISTINCT pid) FROM runs"); pids != 1 || !running(s.App) || running(other) {
		t.Errorf("%d sessions have run the statement; running: %v and %v", pids, running(s.App), running(other))
	}
	for range 3 {
		pid = last()
		s.Exec("SELECT pg_terminate_backend($1)", pid)
		await(t, "another session", func() bool { return last() != pid })
	}
	await(t, "one server to say that it runs them", func() bool { return running(s.App) != running(other) })
	pid = last()
	if running(other) {
		stop()
		await(t, "the first to take over", func() bool { return running(s.App) })
	} else {
		s.Stop()
		await(t, "the second to take over", func() bool { return running(other) })
	}
	await(t, "a run of the one that took over", func() bool { return last() != pid })
}

// A statement that fails is told of, without values of rows, and stops nothing else.
func TestSchedulesFailing(t *testing.T) {
	log := &record{}
	slow := everySecond("slow", "WITH r AS (INSERT INTO runs (pid) VALUES (0) RETURNING 1) SELECT pg_sleep(60) FROM r")
	slow.Timeout = 100 * time.Millisecond
	s := apptest.Start(t, scheduled(t, slog.New(slog.NewTextHandler(log, nil)),
		everySecond("missing", "DELETE FROM missing"), everySecond("value", "SELECT text::int FROM secrets"), everySecond("two", insertRun+"; "+insertRun),
		everySecond("unique", "INSERT INTO secrets VALUES ('a value of a row')"), slow, everySecond("insert", insertRun+";"),
	))
	count := func(name, labels string) float64 { return metric(t, s.App.AdminURL(), name+"{"+labels+"}") }
	await(t, "three runs of each", func() bool {
		for _, name := range []string{"missing", "value", "two", "unique", "slow"} {
			if count("walwire_schedule_runs_total", `result="error",schedule="`+name+`"`) < 3 {
				return false
			}
		}
		return count("walwire_schedule_runs_total", `result="ok",schedule="insert"`) >= 3
	})
	for _, want := range []string{
		`schedule=missing error="ERROR: relation \"missing\" does not exist`, `schedule=value error="a value does not fit`,
		`schedule=two error="give one statement, nothing after a semicolon: `, `schedule=unique error="ERROR: duplicate key`, `schedule=slow error="ERROR: canceling statement due to statement timeout`,
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s", want)
		}
	}
	if strings.Contains(log.String(), "a value of a row") || strings.Contains(log.String(), "schedule=insert") {
		t.Errorf("the log holds a value of a row, or an error of the statement that is right:\n%s", log)
	}
	for _, failing := range []string{"missing", "slow"} {
		if count("walwire_schedule_rows_total", `schedule="`+failing+`"`) != 0 || count("walwire_schedule_last_success_timestamp_seconds", `schedule="`+failing+`"`) != 0 {
			t.Errorf("%s has rows, or a success", failing)
		}
	}
	if at := count("walwire_schedule_last_success_timestamp_seconds", `schedule="insert"`); time.Since(time.Unix(int64(at), 0)) > time.Minute {
		t.Errorf("the last success was at %v", at)
	}
	var left int
	if s.Scan(&left, "SELECT count(*) FROM runs WHERE pid = 0"); left != 0 {
		t.Errorf("%d rows are of runs that failed", left)
	}
}

// Runs that were missed are not made up for.
func TestSchedulesLate(t *testing.T) {
	s := apptest.Start(t, scheduled(t, nil, everySecond("insert", insertRun)))
	runs(t, s, 1)
	tx, err := s.DB.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pgtest.MustExec(t, tx, "LOCK TABLE runs IN SHARE MODE")
	pgtest.MustExec(t, tx, "SELECT pg_sleep(5.5)") // the fault itself: a run that takes so long
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	runs(t, s, 3)
	// One a second in five seconds and a half, where runs are made up for.
	var made, seconds float64
	if s.Scan(&made, "SELECT count(*) - 1 FROM runs"); made < 2 {
		t.Fatalf("%v runs", made+1)
	}
	if s.Scan(&seconds, "SELECT extract(epoch FROM max(at) - min(at))::float8 FROM runs"); made > seconds-2 {
		t.Errorf("%v runs after the first in %v s", made, seconds)
	}
}

// Without a database the schedules are off, and without schedules nothing is connected.
func TestSchedulesOff(t *testing.T) {
	log := &record{}
	o := scheduled(t, slog.New(slog.NewTextHandler(log, nil)), everySecond("insert", insertRun))
	on := o.Edit
	o.Edit = func(c *mapping.Config) {
		on(c)
		c.Schedules.DatabaseURL = mapping.Secret{}
	}
	s := apptest.Start(t, o)
	if n := strings.Count(log.String(), "the schedules are off"); n != 1 {
		t.Errorf("said %d times", n)
	}
	if strings.Contains(get(t, s.App.AdminURL()+"/metrics"), "walwire_schedule") {
		t.Error("there are metrics of schedules")
	}
	var sessions int
	if s.Scan(&sessions, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'walwire schedules' AND datname = current_database()"); sessions != 0 {
		t.Errorf("%d sessions", sessions)
	}
}
