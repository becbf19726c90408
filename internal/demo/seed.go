package demo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

// Seed writes the companies that are not there yet, each in one transaction.
// What was changed or deleted in an existing one stays so.
func Seed(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("seed the demo: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for n, c := range companies() {
		// Other dice for each company, the same in each run.
		s := seeder{company: c, now: time.Now().UTC(), dice: rand.New(rand.NewPCG(uint64(n), 1))}
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return s.seed(ctx, tx) })
		if err != nil {
			return fmt.Errorf("seed the demo company %s: %w", c.name, err)
		}
	}
	return nil
}

// seeder writes one company.
type seeder struct {
	company company
	now     time.Time
	dice    *rand.Rand
}

func (s *seeder) seed(ctx context.Context, tx pgx.Tx) error {
	tag, err := tx.Exec(ctx, `INSERT INTO companies (id, name) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING`,
		s.company.id(), s.company.name)
	if err != nil || tag.RowsAffected() == 0 {
		return err
	}
	var batch pgx.Batch
	s.branches(&batch)
	s.staff(&batch)
	s.clients(&batch)
	s.appointments(&batch)
	s.notifications(&batch)
	return tx.SendBatch(ctx, &batch).Close()
}

// day is midnight, a number of days from today.
func (s *seeder) day(offset int) time.Time {
	return s.now.Truncate(24*time.Hour).AddDate(0, 0, offset)
}

func (s *seeder) branches(batch *pgx.Batch) {
	for n, name := range s.company.branches {
		batch.Queue(`INSERT INTO branches (id, company_id, name, time_zone) VALUES ($1, $2, $3, 'Europe/Berlin')`,
			s.company.branchID(n), s.company.id(), name)
	}
}

func (s *seeder) staff(batch *pgx.Batch) {
	statuses := []string{"available", "available", "busy", "on_break"}
	for n := range staffCount {
		batch.Queue(`INSERT INTO staff (id, company_id, branch_id, user_id, name, role, status,
				checked_in_at, shift_starts_at, shift_ends_at, availability)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, $10)`,
			s.company.staffID(n), s.company.id(), s.company.branchOf(n), s.company.staffUser(n),
			personName(n), staffRole(n), statuses[n%len(statuses)],
			s.day(0).Add(8*time.Hour), s.day(0).Add(18*time.Hour),
			map[string]any{"weekdays": []string{"mon", "tue", "wed", "thu", "fri"}, "from": "08:00", "to": "18:00"})
	}
}

func (s *seeder) clients(batch *pgx.Batch) {
	statuses := []string{"active", "active", "active", "vip", "active", "active", "inactive", "active"}
	tags := [][]string{{}, {"regular"}, {"regular", "newsletter"}, {"allergy"}, {"new"}}
	for n := range clientCount {
		batch.Queue(`INSERT INTO clients (id, company_id, user_id, name, email, phone, status, tags, preferences)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
			s.company.clientID(n), s.company.id(), s.company.clientUser(n), personName(n+staffCount),
			fmt.Sprintf("%s@example.com", s.company.clientUser(n)), fmt.Sprintf("+49 30 5550%03d", n),
			statuses[n%len(statuses)], tags[n%len(tags)],
			map[string]any{"language": []string{"de", "en"}[n%2], "reminders": n%3 != 0})
	}
}

// appointments gives each of the staff who treat clients three appointments on
// each of the seven days around today, no two at the same time.
func (s *seeder) appointments(batch *pgx.Batch) {
	hours := []int{9, 12, 15}
	n := 0
	for day := -3; day <= 3; day++ {
		for staff := managingStaff; staff < staffCount; staff++ {
			for _, hour := range hours {
				starts := s.day(day).Add(time.Duration(hour)*time.Hour + time.Duration(s.dice.IntN(4))*15*time.Minute)
				s.appointment(batch, n, staff, starts)
				n++
			}
		}
	}
}

func (s *seeder) appointment(batch *pgx.Batch, n, staff int, starts time.Time) {
	what := s.company.services[s.dice.IntN(len(s.company.services))]
	ends := starts.Add(time.Duration(what.minutes) * time.Minute)
	// Every eighth is for the client with a token, who would rarely come up else.
	client := demoClient
	if n%8 != 0 {
		client = s.dice.IntN(clientCount)
	}
	var notes, internal *string
	if n%3 == 0 {
		notes = new("Please call on arrival.")
	}
	if n%4 == 0 {
		internal = new("Prefers the same staff each time.")
	}
	batch.Queue(`INSERT INTO appointments (id, company_id, branch_id, client_id, staff_id, service_type, status,
			starts_at, ends_at, notes, internal_notes, price)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::text::numeric)`,
		id(s.company.slug, "appointment", n), s.company.id(), s.company.branchOf(staff), s.company.clientID(client),
		s.company.staffID(staff), what.name, s.status(starts, ends), starts, ends, notes, internal, what.price)
}

// status is one that fits the appointment's time.
func (s *seeder) status(starts, ends time.Time) string {
	dice := s.dice.IntN(100)
	switch {
	case ends.Before(s.now) && dice < 85:
		return "completed"
	case ends.Before(s.now) && dice < 93:
		return "no_show"
	case starts.Before(s.now) && ends.After(s.now):
		return "in_progress"
	case starts.After(s.now) && starts.Before(s.now.Add(30*time.Minute)):
		return "checked_in"
	case dice < 60 && ends.After(s.now):
		return "confirmed"
	case dice < 93:
		return "pending"
	}
	return "cancelled"
}

// notifications go to everybody, to roles, to branches and to the people with tokens.
func (s *seeder) notifications(batch *pgx.Batch) {
	for n, m := range messages(s.company) {
		batch.Queue(`INSERT INTO notifications (id, company_id, branch_id, user_id, role, kind, severity, title, body, data,
				created_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)`,
			id(s.company.slug, "notification", n), s.company.id(), m.branch, m.user, m.role,
			m.kind, m.severity, m.title, m.body, map[string]any{"source": "demo", "number": n},
			s.now.Add(-time.Duration(n+1)*7*time.Minute))
	}
}
