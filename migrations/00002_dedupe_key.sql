-- +goose Up

-- dedupe_key names what a notification tells of, where it is to be told once: whoever
-- writes it again has a conflict.
ALTER TABLE notifications ADD COLUMN dedupe_key text;
CREATE UNIQUE INDEX ON notifications (company_id, dedupe_key) WHERE dedupe_key IS NOT NULL;

-- The appointments to come, of all companies: what reminders are made from.
CREATE INDEX ON appointments (starts_at) WHERE status IN ('pending', 'confirmed');

-- +goose Down
DROP INDEX appointments_starts_at_idx;
ALTER TABLE notifications DROP COLUMN dedupe_key;
