package cdc

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// publicationOperations is what our publication must send: with less, a live
// query would keep rows that are gone.
const publicationOperations = "insert, update, delete, truncate"

// faults are the properties of our own publication that would make the stream
// differ from the tables.
func (p *publicationState) faults(tables []*Table) []Finding {
	var findings []Finding
	add := func(severity Severity, code, sql, hint, format string, args ...any) {
		findings = append(findings, Finding{Severity: severity, Code: code, Subject: quoteIdent(p.Name),
			Message: fmt.Sprintf(format, args...), SQL: sql, Hint: hint})
	}
	name := quoteIdent(p.Name)
	if !p.Insert || !p.Update || !p.Delete || !p.Truncate {
		add(SeverityFatal, CodePublicationOperations,
			statements(fmt.Sprintf("ALTER PUBLICATION %s SET (publish = '%s')", name, publicationOperations)), "",
			"publication %s leaves out operations: walwire needs %s, else live queries would keep stale rows", name, publicationOperations)
	}
	if p.ViaRoot {
		severity := SeverityWarning
		for _, t := range tables {
			if t.Partitioned {
				severity = SeverityFatal
			}
		}
		add(severity, CodePublicationViaRoot,
			statements(fmt.Sprintf("ALTER PUBLICATION %s SET (publish_via_partition_root = false)", name)),
			"Then publish each leaf partition.",
			"publication %s sends partitions as their root: the TRUNCATE of a partition would never be sent, and a partition's own replica identity would go unseen", name)
	}
	ours := relationsOf(tables)
	for _, m := range p.Members {
		if !ours[m.OID] || !m.Filtered && !m.Listed {
			continue
		}
		code, what := CodePublicationFilter, "a row filter"
		if m.Listed {
			code, what = CodePublicationColumns, "a column list"
		}
		add(SeverityFatal, code, statements("BEGIN",
			fmt.Sprintf("ALTER PUBLICATION %s DROP TABLE ONLY %s", name, m.tableName()),
			fmt.Sprintf("ALTER PUBLICATION %s ADD TABLE ONLY %s", name, m.tableName()), "COMMIT"), "",
			"publication %s has %s on table %s: rows would change without walwire seeing it", name, what, m.tableName())
	}
	return findings
}

func relationsOf(tables []*Table) map[uint32]bool {
	oids := make(map[uint32]bool)
	for _, t := range tables {
		oids[t.OID] = true
		for _, leaf := range t.Leaves {
			oids[leaf.OID] = true
		}
	}
	return oids
}

// noIdentitySQL finds the tables whose UPDATE and DELETE fail once published.
const noIdentitySQL = `
SELECT n.nspname::text, c.relname::text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence = 'p'
AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\_toast%'
AND (c.relreplident = 'n' OR c.relreplident = 'd' AND NOT EXISTS (
	SELECT FROM pg_catalog.pg_index x
	WHERE x.indrelid = c.oid AND x.indisprimary AND x.indimmediate AND x.indisvalid))
ORDER BY 1, 2`

// allTablesFindings judges a publication FOR ALL TABLES: it covers what walwire
// needs, but makes writes fail on every table without an identity.
func allTablesFindings(ctx context.Context, q CatalogQuerier, p *publicationState) ([]Finding, error) {
	if !p.AllTables {
		return nil, nil
	}
	f := Finding{Severity: SeverityWarning, Code: CodePublicationAllTables, Subject: quoteIdent(p.Name),
		Message: fmt.Sprintf("publication %s is FOR ALL TABLES: walwire receives and drops the changes of tables it does not map, "+
			"and UPDATE or DELETE will fail on any new table that has no primary key", quoteIdent(p.Name)),
		Hint: "Prefer a publication that names the mapped tables."}
	rows, err := q.Query(ctx, noIdentitySQL)
	if err != nil {
		return nil, fmt.Errorf("look for tables without replica identity: %w", err)
	}
	broken, err := pgx.CollectRows(rows, pgx.RowToStructByPos[TableName])
	if err != nil {
		return nil, fmt.Errorf("look for tables without replica identity: %w", err)
	}
	if len(broken) == 0 {
		return []Finding{f}, nil
	}
	var names, mend []string
	for _, t := range broken {
		names = append(names, t.String())
		mend = append(mend, fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY FULL", t))
	}
	f.Severity = SeverityFatal
	f.Message = fmt.Sprintf("publication %s is FOR ALL TABLES, and UPDATE and DELETE fail on the tables that have no replica identity: %s",
		quoteIdent(p.Name), strings.Join(names, ", "))
	f.SQL = statements(mend...)
	return []Finding{f}, nil
}
