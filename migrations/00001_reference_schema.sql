-- +goose Up

CREATE TABLE companies (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name       text NOT NULL CHECK (name <> ''),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE branches (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    company_id uuid NOT NULL REFERENCES companies ON DELETE CASCADE,
    name       text NOT NULL CHECK (name <> ''),
    time_zone  text NOT NULL DEFAULT 'UTC',
    created_at timestamptz NOT NULL DEFAULT now()
);

-- user_id is the subject of the user's token: text, as identity providers give
-- strings of any form. updated_at is the application's to keep: no triggers.
CREATE TABLE staff (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    company_id      uuid NOT NULL REFERENCES companies ON DELETE CASCADE,
    branch_id       uuid REFERENCES branches ON DELETE SET NULL,
    user_id         text,
    name            text NOT NULL,
    role            text NOT NULL DEFAULT 'staff'
                    CHECK (role IN ('owner', 'manager', 'receptionist', 'staff')),
    status          text NOT NULL DEFAULT 'off'
                    CHECK (status IN ('available', 'busy', 'on_break', 'off')),
    checked_in_at   timestamptz,
    checked_out_at  timestamptz,
    shift_starts_at timestamptz,
    shift_ends_at   timestamptz,
    availability    jsonb NOT NULL DEFAULT '{}',
    active          boolean NOT NULL DEFAULT true,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CHECK (shift_ends_at > shift_starts_at)
);

CREATE TABLE clients (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    company_id     uuid NOT NULL REFERENCES companies ON DELETE CASCADE,
    user_id        text,
    name           text NOT NULL,
    email          text,
    phone          text,
    status         text NOT NULL DEFAULT 'active'
                   CHECK (status IN ('active', 'inactive', 'vip', 'blocked')),
    checked_in_at  timestamptz,
    checked_out_at timestamptz,
    tags           text[] NOT NULL DEFAULT '{}',
    preferences    jsonb NOT NULL DEFAULT '{}',
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now()
);

-- The foreign keys name one column, not (company_id, id): a row may move to
-- another company by an UPDATE of company_id alone.
CREATE TABLE appointments (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    company_id     uuid NOT NULL REFERENCES companies ON DELETE CASCADE,
    branch_id      uuid REFERENCES branches ON DELETE SET NULL,
    client_id      uuid REFERENCES clients ON DELETE SET NULL, -- null: a walk-in
    staff_id       uuid REFERENCES staff ON DELETE SET NULL,   -- null: not assigned yet
    service_type   text NOT NULL DEFAULT 'general',
    status         text NOT NULL DEFAULT 'pending'
                   CHECK (status IN ('pending', 'confirmed', 'checked_in', 'in_progress',
                                     'completed', 'cancelled', 'no_show')),
    starts_at      timestamptz NOT NULL,
    ends_at        timestamptz NOT NULL,
    notes          text,
    internal_notes text,
    price          numeric(12,2) CHECK (price >= 0),
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    CHECK (ends_at > starts_at)
);

-- A notification is for a user, or for a role, or for a branch, or for all of
-- the company when all three are null.
CREATE TABLE notifications (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    company_id uuid NOT NULL REFERENCES companies ON DELETE CASCADE,
    branch_id  uuid REFERENCES branches ON DELETE CASCADE,
    user_id    text,
    role       text,
    kind       text NOT NULL DEFAULT 'system'
               CHECK (kind IN ('push', 'broadcast', 'system', 'security', 'payment', 'inventory', 'reminder')),
    severity   text NOT NULL DEFAULT 'info' CHECK (severity IN ('info', 'warning', 'critical')),
    title      text NOT NULL,
    body       text NOT NULL DEFAULT '',
    data       jsonb NOT NULL DEFAULT '{}',
    read_at    timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- What live queries look up: the company and one equality, then the usual
-- order. Where the equality is a foreign key it comes first, so that deleting
-- the row it points at finds its index too; the company is an equality as
-- well, so their order makes no difference to a live query. Equality on text
-- needs the column's own collation; order on text is that of bytes.
CREATE INDEX ON branches (company_id);

CREATE INDEX ON staff (company_id, status);
CREATE INDEX ON staff (company_id, role);
CREATE INDEX ON staff (company_id, user_id);
CREATE INDEX ON staff (branch_id, company_id);
CREATE INDEX ON staff (company_id, name);
CREATE INDEX staff_company_id_name_bytes_idx ON staff (company_id, name COLLATE "C");

CREATE INDEX ON clients (company_id, status);
CREATE INDEX ON clients (company_id, user_id);
CREATE INDEX ON clients (company_id, email);
CREATE INDEX ON clients (company_id, phone);
CREATE INDEX ON clients (company_id, name);
CREATE INDEX clients_company_id_name_bytes_idx ON clients (company_id, name COLLATE "C");
CREATE INDEX clients_company_id_email_bytes_idx ON clients (company_id, email COLLATE "C");
CREATE INDEX ON clients USING gin (tags);

CREATE INDEX ON appointments (company_id, starts_at);
CREATE INDEX ON appointments (company_id, status, starts_at);
CREATE INDEX ON appointments (company_id, service_type, starts_at);
CREATE INDEX ON appointments (branch_id, company_id, starts_at);
CREATE INDEX ON appointments (client_id, company_id, starts_at);
CREATE INDEX ON appointments (staff_id, company_id, starts_at);

CREATE INDEX ON notifications (company_id, created_at);
CREATE INDEX ON notifications (company_id, user_id, created_at);
CREATE INDEX ON notifications (company_id, role, created_at);
CREATE INDEX ON notifications (company_id, kind, created_at);
CREATE INDEX ON notifications (company_id, severity, created_at);
CREATE INDEX ON notifications (branch_id, company_id, created_at);

-- A delete must carry the row's company, an update its old row.
ALTER TABLE staff REPLICA IDENTITY FULL;
ALTER TABLE clients REPLICA IDENTITY FULL;
ALTER TABLE appointments REPLICA IDENTITY FULL;
ALTER TABLE notifications REPLICA IDENTITY FULL;

-- Since PostgreSQL 18 stored generated columns have to be sent, else UPDATE and DELETE of a
-- table that has one and REPLICA IDENTITY FULL fail: it may join later.
-- +goose StatementBegin
DO $$
BEGIN
    CREATE PUBLICATION walwire FOR TABLE appointments, clients, staff, notifications;
    IF current_setting('server_version_num')::int >= 180000 THEN
        ALTER PUBLICATION walwire SET (publish_generated_columns = stored);
    END IF;
END $$;
-- +goose StatementEnd

-- +goose Down
DROP PUBLICATION walwire;
DROP TABLE notifications, appointments, clients, staff, branches, companies;
