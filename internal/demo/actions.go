package demo

// action is one thing that happens in a company: a statement with the
// company's id as its only parameter. It changes nothing where there is
// nothing to change.
type action struct {
	name   string
	weight int // how often, relative to the others
	sql    string
}

// The most rows a company keeps of what the simulation adds.
const (
	maxAppointments  = "300"
	maxNotifications = "150"
)

// pick is a subselect for the id of one random row.
func pick(table, condition string) string {
	return `(SELECT id FROM ` + table + ` WHERE company_id = $1 AND ` + condition + ` ORDER BY random() LIMIT 1)`
}

func actions() []action {
	return append(appointmentActions(), otherActions()...)
}

func appointmentActions() []action {
	return []action{
		{"book", 6, `
			INSERT INTO appointments (company_id, branch_id, client_id, staff_id, service_type, starts_at, ends_at, notes, price)
			SELECT $1, s.branch_id, ` + pick("clients", "status IN ('active', 'vip')") + `, s.id, a.service_type, t.at,
				t.at + (a.ends_at - a.starts_at), CASE WHEN random() < 0.2 THEN 'Booked online.' END, a.price
			FROM (SELECT date_bin('15 minutes', now() + random() * interval '3 days', 'epoch') + interval '15 minutes' AS at) t,
				(SELECT * FROM staff WHERE company_id = $1 AND role = 'staff' AND active ORDER BY random() LIMIT 1) s,
				(SELECT * FROM appointments WHERE company_id = $1 ORDER BY random() LIMIT 1) a`},
		{"confirm", 8, `
			UPDATE appointments SET status = 'confirmed', updated_at = now()
			WHERE id = ` + pick("appointments", "status = 'pending' AND starts_at > now()")},
		{"check in", 5, `
			WITH a AS (
				UPDATE appointments SET status = 'checked_in', updated_at = now()
				WHERE id = ` + pick("appointments", "status = 'confirmed' AND starts_at < now() + interval '1 day'") + `
				RETURNING client_id)
			UPDATE clients c SET checked_in_at = now(), checked_out_at = NULL, updated_at = now()
			FROM a WHERE c.id = a.client_id`},
		{"start", 5, `
			WITH a AS (
				UPDATE appointments SET status = 'in_progress', updated_at = now()
				WHERE id = ` + pick("appointments", "status = 'checked_in'") + `
				RETURNING staff_id)
			UPDATE staff s SET status = 'busy', updated_at = now() FROM a WHERE s.id = a.staff_id`},
		{"complete", 5, `
			WITH a AS (
				UPDATE appointments SET status = 'completed', updated_at = now()
				WHERE id = ` + pick("appointments", "status = 'in_progress'") + `
				RETURNING staff_id, client_id),
			c AS (
				UPDATE clients SET checked_out_at = now(), updated_at = now() FROM a WHERE clients.id = a.client_id)
			UPDATE staff s SET status = 'available', updated_at = now() FROM a WHERE s.id = a.staff_id`},
		{"reschedule", 4, `
			UPDATE appointments SET starts_at = starts_at + t.by, ends_at = ends_at + t.by, updated_at = now()
			FROM (SELECT (1 + floor(random() * 8)) * interval '15 minutes' AS by) t
			WHERE id = ` + pick("appointments", "status IN ('pending', 'confirmed') AND starts_at > now()")},
		{"cancel", 2, `
			WITH a AS (
				UPDATE appointments SET status = 'cancelled', updated_at = now()
				WHERE id = ` + pick("appointments", "status IN ('pending', 'confirmed')") + `
				RETURNING id, branch_id, service_type)
			INSERT INTO notifications (company_id, branch_id, role, kind, severity, title, body, data)
			SELECT $1, branch_id, 'receptionist', 'push', 'warning', 'Appointment cancelled', 'A ' || service_type || ' was cancelled.',
				jsonb_build_object('appointment_id', id) FROM a`},
		{"no-show", 1, `
			UPDATE appointments SET status = 'no_show', updated_at = now()
			WHERE id = ` + pick("appointments", "status IN ('pending', 'confirmed') AND ends_at < now()")},
		{"forget old appointments", 2, `
			DELETE FROM appointments WHERE id IN (
				SELECT id FROM appointments WHERE company_id = $1 AND status IN ('completed', 'cancelled', 'no_show')
				ORDER BY updated_at LIMIT greatest(0, (SELECT count(*) FROM appointments WHERE company_id = $1) - ` + maxAppointments + `))`},
	}
}

func otherActions() []action {
	return []action{
		{"break", 3, `
			UPDATE staff SET status = CASE status WHEN 'on_break' THEN 'available' ELSE 'on_break' END, updated_at = now()
			WHERE id = ` + pick("staff", "status IN ('available', 'on_break') AND active")},
		{"shift", 1, `
			UPDATE staff SET status = CASE status WHEN 'off' THEN 'available' ELSE 'off' END,
				checked_in_at = CASE status WHEN 'off' THEN now() ELSE checked_in_at END,
				checked_out_at = CASE status WHEN 'off' THEN NULL ELSE now() END, updated_at = now()
			WHERE id = ` + pick("staff", "status IN ('available', 'off') AND active")},
		{"stock", 1, `
			INSERT INTO notifications (company_id, branch_id, role, kind, severity, title, body)
			SELECT $1, id, 'staff', 'inventory', 'warning', 'Low stock', 'Supplies at ' || name || ' are running low.'
			FROM branches WHERE id = ` + pick("branches", "true")},
		{"read", 3, `
			UPDATE notifications SET read_at = now(), updated_at = now()
			WHERE id = ` + pick("notifications", "read_at IS NULL")},
		{"edit client", 2, `
			UPDATE clients SET preferences = preferences || jsonb_build_object('reminders', random() < 0.5),
				tags = CASE WHEN 'regular' = ANY (tags) THEN array_remove(tags, 'regular') ELSE tags || 'regular'::text END,
				updated_at = now()
			WHERE id = ` + pick("clients", "status <> 'blocked'")},
		{"forget old notifications", 1, `
			DELETE FROM notifications WHERE id IN (
				SELECT id FROM notifications WHERE company_id = $1
					AND (dedupe_key IS NULL OR created_at < now() - interval '1 day') -- else the schedule would remind again
				ORDER BY created_at LIMIT greatest(0, (SELECT count(*) FROM notifications WHERE company_id = $1) - ` + maxNotifications + `))`},
	}
}
