-- Every event of walwire.example.yaml, raised by plain writes on the data of `walwire dev`:
--
--   psql "$DATABASE_URL" -f examples/catalogue.sql
--
-- while somebody listens: walwire tail --events '*'. Above each statement stand the events
-- that it raises. At the end all is about as it was: the script can be run again.

-- Many rows in one commit. appointment.bulk_updated, of as many as the listener may see.
UPDATE appointments SET notes = concat('Looked through at ', now())
WHERE staff_id = (SELECT id FROM staff WHERE user_id = 'nord-staff-2');

-- client.bulk_updated, for who may read updated_at.
UPDATE clients SET updated_at = now()
WHERE company_id = (SELECT id FROM companies WHERE name = 'Studio Nord');

-- The morning. staff.checked_in, and staff.available where that is new.
UPDATE staff SET checked_in_at = '2030-03-01 07:55Z', checked_out_at = NULL, status = 'available'
WHERE user_id = 'nord-staff-2';

-- An appointment, from its booking to its end.
-- appointment.created, availability.changed
INSERT INTO appointments (company_id, branch_id, client_id, staff_id, service_type, starts_at, ends_at, notes, internal_notes, price)
SELECT s.company_id, s.branch_id, c.id, s.id, 'massage', '2030-03-01 09:00Z', '2030-03-01 10:00Z', 'The first visit.', 'Knows the owner.', 60
FROM staff s, clients c WHERE s.user_id = 'nord-staff-2' AND c.user_id = 'nord-client-0';

-- appointment.rescheduled; availability.changed twice: the new time and the old one
UPDATE appointments SET starts_at = '2030-03-01 11:00Z', ends_at = '2030-03-01 12:00Z'
WHERE service_type = 'massage';

-- appointment.reassigned, appointment.unassigned; availability.changed twice: of both
UPDATE appointments SET staff_id = (SELECT id FROM staff WHERE user_id = 'nord-staff-3')
WHERE service_type = 'massage';

-- and back.
UPDATE appointments SET staff_id = (SELECT id FROM staff WHERE user_id = 'nord-staff-2')
WHERE service_type = 'massage';

-- One commit. appointment.status_changed, appointment.confirmed, notification.push
BEGIN;
UPDATE appointments SET status = 'confirmed' WHERE service_type = 'massage';
INSERT INTO notifications (company_id, user_id, kind, title, body, data)
SELECT a.company_id, c.user_id, 'push', 'Confirmed', 'See you on Friday at 11:00.', '{"source": "catalogue"}'
FROM appointments a JOIN clients c ON c.id = a.client_id WHERE a.service_type = 'massage';
COMMIT;

-- notification.read
UPDATE notifications SET read_at = '2030-02-20 18:00Z'
WHERE user_id = 'nord-client-0' AND kind = 'push' AND data ->> 'source' = 'catalogue';

-- appointment.reminder
INSERT INTO notifications (company_id, user_id, kind, title, body, data)
SELECT a.company_id, c.user_id, 'reminder', 'Tomorrow', 'Your massage is at 11:00.', '{"source": "catalogue"}'
FROM appointments a JOIN clients c ON c.id = a.client_id WHERE a.service_type = 'massage';

-- appointment.status_changed, appointment.checked_in, client.checked_in
BEGIN;
UPDATE appointments SET status = 'checked_in' WHERE service_type = 'massage';
UPDATE clients SET checked_in_at = '2030-03-01 10:55Z', checked_out_at = NULL WHERE user_id = 'nord-client-0';
COMMIT;

-- appointment.status_changed, appointment.started, staff.busy
BEGIN;
UPDATE appointments SET status = 'in_progress' WHERE service_type = 'massage';
UPDATE staff SET status = 'busy' WHERE user_id = 'nord-staff-2';
COMMIT;

-- appointment.status_changed, appointment.completed, client.checked_out, staff.available,
-- notification.payment, notification.to_role
BEGIN;
UPDATE appointments SET status = 'completed' WHERE service_type = 'massage';
UPDATE clients SET checked_out_at = '2030-03-01 12:05Z' WHERE user_id = 'nord-client-0';
UPDATE staff SET status = 'available' WHERE user_id = 'nord-staff-2';
INSERT INTO notifications (company_id, role, kind, title, body, data)
SELECT company_id, 'receptionist', 'payment', 'Payment received', 'The massage was paid.', '{"source": "catalogue"}'
FROM appointments WHERE service_type = 'massage';
COMMIT;

-- A commit counts by what it leaves: appointment.created, as confirmed; availability.changed
BEGIN;
INSERT INTO appointments (company_id, branch_id, client_id, staff_id, service_type, starts_at, ends_at, price)
SELECT s.company_id, s.branch_id, c.id, s.id, 'manicure', '2030-03-01 13:00Z', '2030-03-01 13:30Z', 25
FROM staff s, clients c WHERE s.user_id = 'nord-staff-4' AND c.user_id = 'nord-client-1';
UPDATE appointments SET status = 'confirmed' WHERE service_type = 'manicure';
COMMIT;

-- appointment.status_changed, appointment.cancelled, availability.changed
UPDATE appointments SET status = 'cancelled' WHERE service_type = 'manicure';

-- appointment.created, nobody's yet
INSERT INTO appointments (company_id, client_id, service_type, starts_at, ends_at)
SELECT company_id, id, 'pedicure', '2030-03-01 14:00Z', '2030-03-01 14:30Z'
FROM clients WHERE user_id = 'nord-client-0';

-- appointment.status_changed, appointment.no_show
UPDATE appointments SET status = 'no_show' WHERE service_type = 'pedicure';

-- Clients. client.registered
INSERT INTO clients (company_id, name, email, phone)
SELECT id, 'Zoe Zimmer', 'zoe@example.com', '+49 30 5550999' FROM companies WHERE name = 'Studio Nord';

-- client.profile_updated, for each with what they may read of it
UPDATE clients SET email = 'z.zimmer@example.com', tags = '{regular}' WHERE name = 'Zoe Zimmer';
UPDATE clients SET phone = '+49 30 5550998' WHERE name = 'Zoe Zimmer';
UPDATE clients SET preferences = preferences || '{"language": "fr"}' WHERE user_id = 'nord-client-0';
UPDATE clients SET preferences = preferences || '{"language": "de"}' WHERE user_id = 'nord-client-0';

-- client.status_changed
UPDATE clients SET status = 'vip' WHERE name = 'Zoe Zimmer';
UPDATE clients SET status = 'blocked' WHERE name = 'Zoe Zimmer';

-- client.deleted, for who could see the row
DELETE FROM clients WHERE name = 'Zoe Zimmer';

-- Staff. staff.busy, staff.on_break, staff.available
UPDATE staff SET status = 'busy' WHERE user_id = 'nord-staff-4';
UPDATE staff SET status = 'on_break' WHERE user_id = 'nord-staff-4';
UPDATE staff SET status = 'available' WHERE user_id = 'nord-staff-4';

-- staff.shift_changed
UPDATE staff SET shift_starts_at = '2030-03-01 08:00Z', shift_ends_at = '2030-03-01 16:00Z' WHERE user_id = 'nord-staff-4';
UPDATE staff SET shift_ends_at = '2030-03-01 17:00Z' WHERE user_id = 'nord-staff-4';

-- staff.availability_changed
UPDATE staff SET availability = availability || '{"to": "17:00"}' WHERE user_id = 'nord-staff-4';
UPDATE staff SET availability = availability || '{"to": "18:00"}' WHERE user_id = 'nord-staff-4';

-- staff.role_changed
UPDATE staff SET role = 'receptionist' WHERE user_id = 'nord-staff-4';
UPDATE staff SET role = 'staff' WHERE user_id = 'nord-staff-4';

-- staff.branch_changed, to another and back
UPDATE staff SET branch_id = (SELECT b.id FROM branches b WHERE b.company_id = staff.company_id AND b.name = 'Old Town')
WHERE user_id = 'nord-staff-4';
UPDATE staff SET branch_id = (SELECT b.id FROM branches b WHERE b.company_id = staff.company_id AND b.name = 'Harbour')
WHERE user_id = 'nord-staff-4';

-- staff.deactivated
UPDATE staff SET active = false WHERE user_id = 'nord-staff-4';
UPDATE staff SET active = true WHERE user_id = 'nord-staff-4';

-- The evening. staff.checked_out, staff.off
UPDATE staff SET checked_out_at = '2030-03-01 18:05Z', status = 'off' WHERE user_id = 'nord-staff-2';

-- Notifications. notification.broadcast
INSERT INTO notifications (company_id, kind, title, body, data)
SELECT id, 'broadcast', 'Closed on Monday', 'We are back on Tuesday.', '{"source": "catalogue"}' FROM companies WHERE name = 'Studio Nord';

-- notification.system_alert
INSERT INTO notifications (company_id, kind, severity, title, body, data)
SELECT id, 'system', 'warning', 'Maintenance', 'Tonight at 23:00.', '{"source": "catalogue"}' FROM companies WHERE name = 'Studio Nord';

-- notification.security_alert, notification.to_role
INSERT INTO notifications (company_id, role, kind, severity, title, body, data)
SELECT id, 'owner', 'security', 'critical', 'New sign-in', 'A new device signed in.', '{"source": "catalogue"}' FROM companies WHERE name = 'Studio Nord';

-- notification.inventory, notification.to_branch
INSERT INTO notifications (company_id, branch_id, kind, title, body, data)
SELECT company_id, id, 'inventory', 'Low stock', 'Towels are running low.', '{"source": "catalogue"}' FROM branches WHERE name = 'Harbour';

-- The end. appointment.deleted of each, and availability.changed of the one that took time;
-- what is cleared below raises nothing.
DELETE FROM appointments WHERE service_type = 'massage';
DELETE FROM appointments WHERE service_type = 'manicure';
DELETE FROM appointments WHERE service_type = 'pedicure';
UPDATE clients SET checked_in_at = NULL, checked_out_at = NULL WHERE user_id = 'nord-client-0';
UPDATE staff SET checked_in_at = NULL, checked_out_at = NULL WHERE user_id = 'nord-staff-2';
DELETE FROM notifications WHERE data ->> 'source' = 'catalogue';
