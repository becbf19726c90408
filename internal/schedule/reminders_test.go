package schedule_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire"
	"github.com/walwire/walwire/internal/pgtest"
	"github.com/walwire/walwire/mapping"
	"github.com/walwire/walwire/migrations"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// reminders is the statement of walwire.example.yaml.
func reminders(t *testing.T) string {
	t.Helper()
	env := map[string]string{"WALWIRE_DATABASE_URL": "postgres://h/d", "WALWIRE_TOKEN_SECRET": strings.Repeat("s", 32)}
	cfg, err := mapping.Parse(walwire.ExampleConfigName, []byte(walwire.ExampleConfig()), func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Schedules.Enabled() || len(cfg.Schedules.Statements) != 1 {
		t.Fatalf("schedules %+v", cfg.Schedules)
	}
	return cfg.Schedules.Statements[0].SQL
}

// mustReference gives a superuser's connection to the reference schema with a company
// and a client, and one as the schedules' role.
func mustReference(t *testing.T) (admin, role *pgx.Conn) {
	t.Helper()
	url := pgtest.Database(t)
	if err := migrations.Up(t.Context(), url, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	admin = pgtest.MustConnect(t, url)
	pgtest.MustExec(t, admin, `
		INSERT INTO companies (id, name) VALUES ('00000000-0000-0000-0000-00000000000a', 'a'), ('00000000-0000-0000-0000-00000000000b', 'b');
		INSERT INTO clients (id, company_id, user_id, name) VALUES
			('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-00000000000a', 'ada', 'Ada'),
			('00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-00000000000a', NULL, 'Bo'),
			('00000000-0000-0000-0000-000000000003', '00000000-0000-0000-0000-00000000000b', 'eve', 'Eve')`)
	return admin, pgtest.MustConnect(t, mustRole(t, url))
}

// mustRole makes the schedules' role and gives its URL.
func mustRole(t *testing.T, url string) string {
	t.Helper()
	name := pgtest.Unique("schedules")
	if err := migrations.SchedulesRole(t.Context(), url, name, "secret"); err != nil {
		t.Fatal(err)
	}
	admin := pgtest.MustConnect(t, url)
	t.Cleanup(func() {
		if _, err := admin.Exec(context.Background(), "DROP OWNED BY "+name+"; DROP ROLE "+name); err != nil {
			t.Error(err)
		}
	})
	return pgtest.WithUser(t, url, name, "secret")
}

// The statement of the example, as the role that the documentation makes.
func TestReminders(t *testing.T) {
	admin, role := mustReference(t)
	sql := reminders(t)
	const ada, bo, eve = "'00000000-0000-0000-0000-000000000001'", "'00000000-0000-0000-0000-000000000002'", "'00000000-0000-0000-0000-000000000003'"
	// book makes an appointment of company a.
	book := func(t *testing.T, client, status, in string) (id string) {
		t.Helper()
		err := admin.QueryRow(t.Context(), `INSERT INTO appointments (company_id, client_id, service_type, status, starts_at, ends_at)
			VALUES ('00000000-0000-0000-0000-00000000000a', `+client+`, 'haircut', $1, now() + $2::interval, now() + $2::interval + interval '1 h') RETURNING id::text`, status, in).Scan(&id)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	run := func(t *testing.T) {
		t.Helper()
		for range 2 { // the second time it finds nothing to do
			if _, err := role.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
	}
	// sent are an appointment's lead times in the order of sending.
	sent := func(t *testing.T, id string) string {
		t.Helper()
		var leads string
		err := admin.QueryRow(t.Context(), `SELECT coalesce(string_agg(data->>'lead_time', ' ' ORDER BY created_at), '') FROM notifications
			WHERE data->>'appointment_id' = $1`, id).Scan(&leads)
		if err != nil {
			t.Fatal(err)
		}
		return leads
	}
	move := func(t *testing.T, id, in string) {
		t.Helper()
		pgtest.MustExec(t, admin, `UPDATE appointments SET starts_at = now() + $2::interval, ends_at = now() + $2::interval + interval '1 h' WHERE id = $1`, id, in)
	}
	for _, tt := range []struct{ name, client, status, in, want string }{
		{"TooEarly", ada, "confirmed", "24 h 10 s", ""},
		{"ADay", ada, "confirmed", "23 h 59 min", "24h"},
		{"LateForADay", ada, "pending", "61 min", "24h"},
		{"AnHour", ada, "confirmed", "59 min", "1h"},
		{"LateForAnHour", ada, "pending", "1 min", "1h"},
		{"Begun", ada, "confirmed", "-1 min", ""},
		{"Cancelled", ada, "cancelled", "59 min", ""},
		{"CheckedIn", ada, "checked_in", "59 min", ""},
		{"WalkIn", "NULL", "confirmed", "59 min", ""},
		{"ClientWithoutUser", bo, "confirmed", "59 min", ""},
		{"ClientOfAnotherCompany", eve, "confirmed", "59 min", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id := book(t, tt.client, tt.status, tt.in)
			run(t)
			if got := sent(t, id); got != tt.want {
				t.Errorf("sent %q, want %q", got, tt.want)
			}
		})
	}
	t.Run("Both", func(t *testing.T) {
		id := book(t, ada, "confirmed", "2 h")
		run(t)
		// The clock can't be turned, the appointment can: as the key has it, to another time.
		move(t, id, "30 min")
		run(t)
		if got := sent(t, id); got != "24h 1h" {
			t.Errorf("sent %q", got)
		}
	})
	t.Run("Rescheduled", func(t *testing.T) {
		id := book(t, ada, "confirmed", "30 min")
		run(t)
		move(t, id, "40 min")
		run(t)
		move(t, id, "20 h")
		run(t)
		if got := sent(t, id); got != "1h 1h 24h" {
			t.Errorf("sent %q", got)
		}
	})
	t.Run("Row", func(t *testing.T) {
		id := book(t, ada, "confirmed", "30 min")
		run(t)
		var ok bool
		err := admin.QueryRow(t.Context(), `SELECT n.company_id = a.company_id AND n.user_id = 'ada' AND n.role IS NULL AND n.branch_id IS NULL AND n.kind = 'reminder'
			AND n.title <> '' AND n.body = 'haircut' AND (n.data->>'starts_at')::timestamptz = a.starts_at
			FROM notifications n JOIN appointments a ON a.id::text = n.data->>'appointment_id' WHERE a.id = $1`, id).Scan(&ok)
		if err != nil || !ok {
			t.Errorf("the row is not as documented: %v", err)
		}
	})
	t.Run("SettingsOfTheSession", func(t *testing.T) { // the key does not depend on them
		id := book(t, ada, "confirmed", "30 min")
		run(t)
		pgtest.MustExec(t, role, "SET TimeZone = 'Asia/Tokyo'; SET IntervalStyle = 'iso_8601'; SET DateStyle = 'SQL'; SET extra_float_digits = 0")
		run(t)
		if got := sent(t, id); got != "1h" {
			t.Errorf("sent %q", got)
		}
	})
}
