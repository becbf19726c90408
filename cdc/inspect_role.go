package cdc

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// roleFacts is the role that walwire serves as.
type roleFacts struct {
	Name        string
	Super       bool
	Replication bool
	BypassRLS   bool
	Connect     bool
	OwnRole     bool // a role named as walwire's own exists
}

const roleSQL = `
SELECT r.rolname::text, r.rolsuper,
	r.rolreplication OR EXISTS (SELECT FROM pg_catalog.pg_roles m
		WHERE m.rolname = ANY ($2::text[]) AND pg_catalog.pg_has_role(r.oid, m.oid, 'USAGE')),
	r.rolbypassrls, pg_catalog.has_database_privilege(r.oid, current_database(), 'CONNECT'),
	EXISTS (SELECT FROM pg_catalog.pg_roles o WHERE o.rolname = 'walwire')
FROM pg_catalog.pg_roles r WHERE r.rolname = coalesce(nullif($1, ''), current_user)`

func (in *inspection) roleRights(ctx context.Context) ([]Finding, error) {
	role, err := queryOne[roleFacts](ctx, in.q, roleSQL, in.opts.User, in.server.ReplicationRoles)
	if errors.Is(err, pgx.ErrNoRows) {
		user := quoteIdent(in.opts.User)
		return []Finding{{Severity: SeverityFatal, Code: CodeRoleMissing, Subject: user,
			Message: fmt.Sprintf("the role %s does not exist", user),
			SQL:     statements(append([]string{fmt.Sprintf("CREATE ROLE %s LOGIN REPLICATION", user)}, in.grants(user)...)...),
			Hint:    "Then give it a password (in psql: \\password)."}}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read role: %w", err)
	}
	in.role = &role
	name := quoteIdent(role.Name)
	var findings []Finding
	add := func(severity Severity, code, sql, hint, format string, args ...any) {
		findings = append(findings, Finding{Severity: severity, Code: code, Subject: name,
			Message: fmt.Sprintf(format, args...), SQL: sql, Hint: hint})
	}
	if role.Super {
		add(SeverityWarning, CodeSuperuser, in.ownRole(), "Then give walwire a password (in psql: \\password walwire) and name it in database_url.",
			"the role %s is a superuser: walwire needs to log in, to replicate and to read the mapped tables, no more", name)
	}
	if !role.Super && !role.Replication {
		add(SeverityFatal, CodeReplicationRight, in.replicationGrant(name), "",
			"the role %s may not replicate", name)
	}
	if !role.Connect {
		add(SeverityFatal, CodeConnectRight,
			statements(fmt.Sprintf("GRANT CONNECT ON DATABASE %s TO %s", quoteIdent(in.server.Database), name)), "",
			"the role %s may not connect to database %s", name, quoteIdent(in.server.Database))
	}
	if len(findings) == 0 {
		return fine(CodeRoleMissing, "the role %s may replicate, and connect to database %s", name, quoteIdent(in.server.Database)), nil
	}
	return findings, nil
}

func (in *inspection) replicationGrant(role string) string {
	if len(in.server.ReplicationRoles) > 0 {
		return statements(fmt.Sprintf("GRANT %s TO %s", quoteIdent(in.server.ReplicationRoles[0]), role))
	}
	return statements(fmt.Sprintf("ALTER ROLE %s REPLICATION", role))
}

// ownRole makes a role with the rights walwire needs.
func (in *inspection) ownRole() string {
	const name = `"walwire"`
	var list []string
	if !in.role.OwnRole {
		list = append(list, "CREATE ROLE "+name+" LOGIN")
	}
	return statements(append(list, in.grants(name)...)...) + "\n" + in.replicationGrant(name)
}

// grants are the rights to connect and to read the mapped tables.
func (in *inspection) grants(role string) []string {
	list := []string{fmt.Sprintf("GRANT CONNECT ON DATABASE %s TO %s", quoteIdent(in.server.Database), role)}
	schemas := make(map[string]bool)
	for _, t := range in.opts.Tables {
		if !schemas[t.Schema] {
			schemas[t.Schema] = true
			list = append(list, fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s", quoteIdent(t.Schema), role))
		}
	}
	for _, t := range in.opts.Tables {
		list = append(list, fmt.Sprintf("GRANT SELECT ON TABLE %s TO %s", t, role))
	}
	return list
}

const tableRightsSQL = `
SELECT c.oid, pg_catalog.has_schema_privilege(r.oid, c.relnamespace, 'USAGE'),
	pg_catalog.has_table_privilege(r.oid, c.oid, 'SELECT'),
	c.relrowsecurity AND NOT r.rolsuper AND NOT r.rolbypassrls
		AND (c.relforcerowsecurity OR NOT pg_catalog.pg_has_role(r.oid, c.relowner, 'USAGE'))
FROM pg_catalog.pg_class c CROSS JOIN pg_catalog.pg_roles r
WHERE c.oid = ANY ($1::oid[]) AND r.rolname = $2`

type tableRights struct {
	OID    uint32
	Schema bool
	Select bool
	Hidden bool // row-level security applies to the role
}

func (in *inspection) readTableRights(ctx context.Context) (map[uint32]tableRights, error) {
	var oids []uint32
	for _, t := range in.tables() {
		oids = append(oids, t.OID)
	}
	if in.role == nil || len(oids) == 0 {
		return nil, nil
	}
	list, err := queryAll[tableRights](ctx, in.q, tableRightsSQL, oids, in.role.Name)
	if err != nil {
		return nil, fmt.Errorf("read rights: %w", err)
	}
	rights := make(map[uint32]tableRights, len(list))
	for _, r := range list {
		rights[r.OID] = r
	}
	return rights, nil
}

// readableSQL is what decides whether the role of now may read a relation as a whole.
func readableSQL(c string) string {
	return fmt.Sprintf("pg_catalog.has_schema_privilege(%[1]s.relnamespace, 'USAGE'), pg_catalog.has_table_privilege(%[1]s.oid, 'SELECT'), pg_catalog.row_security_active(%[1]s.oid)", c)
}

var unreadableSQL = "SELECT c.oid, " + readableSQL("c") + " FROM pg_catalog.pg_class c WHERE c.oid = ANY ($1::oid[])"

// Unreadable says which of the tables we may not read, and why. It is what Inspect
// reports, for a server that runs.
func Unreadable(ctx context.Context, q CatalogQuerier, tables []*Table) (map[TableName]error, error) {
	oids := make([]uint32, len(tables))
	for i, t := range tables {
		oids[i] = t.OID
	}
	rights, err := queryAll[tableRights](ctx, q, unreadableSQL, oids)
	if err != nil {
		return nil, fmt.Errorf("read rights: %w", err)
	}
	broken := make(map[TableName]error)
	for _, r := range rights {
		t := tables[slices.Index(oids, r.OID)]
		switch {
		case !r.Schema || !r.Select:
			broken[t.TableName] = fmt.Errorf("table %s may not be read (walwire check says what to do)", t.TableName)
		case r.Hidden:
			broken[t.TableName] = fmt.Errorf("table %s has row-level security (walwire check says what to do)", t.TableName)
		}
	}
	return broken, nil
}

// tableRights looks for SELECT on the whole table: LOCK TABLE, which a snapshot
// needs, is not allowed by rights on columns.
func (in *inspection) tableRights(ctx context.Context) ([]Finding, error) {
	rights, err := in.readTableRights(ctx)
	if err != nil || rights == nil {
		return nil, err
	}
	role := quoteIdent(in.role.Name)
	var findings []Finding
	schemas := make(map[string]bool)
	for _, t := range in.tables() {
		r, schema := rights[t.OID], quoteIdent(t.Schema)
		if !r.Schema && !schemas[schema] {
			schemas[schema] = true
			findings = append(findings, Finding{Severity: SeverityFatal, Code: CodeSchemaRight, Subject: schema,
				Message: fmt.Sprintf("the role %s may not use schema %s", role, schema),
				SQL:     statements(fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s", schema, role))})
		}
		if !r.Select {
			findings = append(findings, Finding{Severity: SeverityFatal, Code: CodeSelectRight, Subject: t.String(),
				Message: fmt.Sprintf("the role %s may not SELECT from table %s as a whole", role, t.TableName),
				SQL:     statements(fmt.Sprintf("GRANT SELECT ON TABLE %s TO %s", t.TableName, role))})
		}
	}
	if len(findings) == 0 {
		return fine(CodeSelectRight, "the role %s may SELECT from every table found", role), nil
	}
	return findings, nil
}

func (in *inspection) rowSecurity(ctx context.Context) ([]Finding, error) {
	rights, err := in.readTableRights(ctx)
	if err != nil || rights == nil {
		return nil, err
	}
	role := quoteIdent(in.role.Name)
	var findings []Finding
	for _, t := range in.tables() {
		if !rights[t.OID].Hidden {
			continue
		}
		findings = append(findings, Finding{Severity: SeverityFatal, Code: CodeRowSecurity, Subject: t.String(),
			Message: fmt.Sprintf("table %s has row-level security, which the WAL knows nothing of: its policies would cut the snapshot "+
				"but not the changes after it, so walwire reads with row_security = off, and the role %s is then refused", t.TableName, role),
			SQL:  statements(fmt.Sprintf("ALTER ROLE %s BYPASSRLS", role)),
			Hint: "Who sees which row is then decided by the rules in walwire's config alone."})
	}
	if len(findings) == 0 {
		return fine(CodeRowSecurity, "no row-level security hides rows from the role %s", role), nil
	}
	return findings, nil
}
