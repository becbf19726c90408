package cdc

import (
	"context"
	"fmt"
	"unicode/utf8"
)

// A hazard is something that makes the application's own UPDATE or DELETE fail
// once a table has REPLICA IDENTITY FULL and is published. PostgreSQL accepts
// the ALTER and refuses the write later, so it must be looked for beforehand.

// listHazardSQL finds column lists: under FULL, any column list of a publication
// that sends updates or deletes makes both fail, even if it names every column.
const listHazardSQL = `
SELECT leaf.oid, p.pubname::text, n.nspname::text, c.relname::text,
	(SELECT to_jsonb(t)->>'rowfilter' FROM pg_catalog.pg_publication_tables t
	 WHERE t.pubname = p.pubname AND t.schemaname = n.nspname AND t.tablename = c.relname)
FROM unnest($1::oid[]) AS leaf(oid)
JOIN pg_catalog.pg_publication_rel r ON r.prrelid = leaf.oid
	OR r.prrelid IN (SELECT a.relid FROM pg_catalog.pg_partition_ancestors(leaf.oid) a)
JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid
JOIN pg_catalog.pg_class c ON c.oid = r.prrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE p.pubname <> $2 AND (p.pubupdate OR p.pubdelete) AND to_jsonb(r)->>'prattrs' IS NOT NULL
AND (r.prrelid = leaf.oid OR p.pubviaroot)
ORDER BY 2, 3, 4`

type listHazard struct {
	Leaf        uint32
	Publication string
	Schema      string
	Name        string
	RowFilter   *string
}

// generatedHazardSQL finds, since 18, leaves with generated columns and the
// publications that send their updates or deletes, ours among them, which is to: under
// FULL a stored one must be published, and a virtual one can't be.
var generatedHazardSQL = `
SELECT g.oid, g.stored, g.virtual, coalesce(p.pubname::text, ''), coalesce(to_jsonb(p)->>'pubgencols', 'n')
FROM (
	SELECT a.attrelid AS oid, bool_or(a.attgenerated = 's') AS stored, bool_or(a.attgenerated = 'v') AS virtual
	FROM pg_catalog.pg_attribute a
	WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> ''
	GROUP BY a.attrelid) g
LEFT JOIN pg_catalog.pg_publication p ON p.pubname = $2 OR (p.pubupdate OR p.pubdelete) AND EXISTS (
	SELECT FROM ` + publishedSQL + ` pt
	WHERE pt.oid = g.oid OR p.pubviaroot AND pt.oid IN (SELECT s.relid FROM pg_catalog.pg_partition_ancestors(g.oid) s))
WHERE current_setting('server_version_num')::int >= 180000`

type generatedHazard struct {
	Leaf            uint32
	Stored, Virtual bool
	Publication     string
	Publishes       string
}

// identityHazards finds what would make writes to the tables fail under FULL. Leaves
// with an index as identity are left out: FULL is not set on them. company
// names the company columns, for the statements that mend; nil will do.
func identityHazards(ctx context.Context, q CatalogQuerier, publication string, tables []*Table, company map[TableName]string) ([]Finding, error) {
	owners := make(map[uint32]*Table)
	leaves := make(map[uint32]Leaf)
	var oids []uint32
	for _, t := range tables {
		for _, leaf := range t.Leaves {
			if !leaf.indexed() {
				owners[leaf.OID], leaves[leaf.OID] = t, leaf
				oids = append(oids, leaf.OID)
			}
		}
	}
	lists, err := queryAll[listHazard](ctx, q, listHazardSQL, oids, publication)
	if err != nil {
		return nil, fmt.Errorf("look for column lists: %w", err)
	}
	var findings []Finding
	seen := make(map[string]bool) // a list on the root stands for all its leaves, a virtual column for all publications
	add := func(f Finding) {
		if !seen[f.Message] {
			seen[f.Message] = true
			findings = append(findings, f)
		}
	}
	for _, h := range lists {
		add(h.finding())
	}
	generated, err := queryAll[generatedHazard](ctx, q, generatedHazardSQL, oids, publication)
	if err != nil {
		return nil, fmt.Errorf("look for generated columns: %w", err)
	}
	for _, h := range generated {
		t := owners[h.Leaf]
		for _, f := range h.findings(leaves[h.Leaf], identityColumns(t, company[t.TableName])) {
			add(f)
		}
	}
	return findings, nil
}

func (h listHazard) finding() Finding {
	table, pub := TableName{h.Schema, h.Name}, quoteIdent(h.Publication)
	add := fmt.Sprintf("ALTER PUBLICATION %s ADD TABLE ONLY %s", pub, table)
	if h.RowFilter != nil {
		add += " WHERE (" + *h.RowFilter + ")"
	}
	return Finding{Severity: SeverityFatal, Code: CodeOtherColumnList, Subject: table.String(),
		Message: fmt.Sprintf("publication %s has a column list on table %s: with REPLICA IDENTITY FULL, which walwire needs there, "+
			"the application's own UPDATE and DELETE fail", pub, table),
		SQL: statements("BEGIN", fmt.Sprintf("ALTER PUBLICATION %s DROP TABLE ONLY %s", pub, table), add, "COMMIT"),
		Hint: "Its subscribers then receive every column: make sure that they have them. " +
			"Or keep the list and give the table REPLICA IDENTITY USING INDEX, with a unique index over the company column and the key, all of them in the list."}
}

func (h generatedHazard) findings(leaf Leaf, identity []string) []Finding {
	f := Finding{Severity: SeverityFatal, Code: CodeGenerated, Subject: leaf.String()}
	if h.Virtual {
		index := identityIndexName(leaf.Name)
		f.Message = fmt.Sprintf("table %s has a virtual generated column: under REPLICA IDENTITY FULL, once it is published, "+
			"the application's own UPDATE and DELETE fail", leaf)
		f.SQL = statements(fmt.Sprintf("CREATE UNIQUE INDEX %s ON %s (%s)", quoteIdent(index), leaf, quoteList(identity)),
			fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY USING INDEX %s", leaf, quoteIdent(index)))
		f.Hint = "The columns of the index must be NOT NULL. Building it blocks writes to the table meanwhile."
		return []Finding{f}
	}
	if h.Publication == "" || h.Publishes == "s" {
		return nil
	}
	f.Message = fmt.Sprintf("publication %s leaves out the generated columns of table %s: under REPLICA IDENTITY FULL "+
		"the application's own UPDATE and DELETE fail", quoteIdent(h.Publication), leaf)
	f.SQL = statements(fmt.Sprintf("ALTER PUBLICATION %s SET (publish_generated_columns = stored)", quoteIdent(h.Publication)))
	return []Finding{f}
}

// identityColumns are those that an identity index of the table must cover.
func identityColumns(t *Table, company string) []string {
	columns := t.KeyNames()
	for _, c := range columns {
		if c == company {
			return columns
		}
	}
	if company == "" {
		return columns
	}
	return append([]string{company}, columns...)
}

// identityIndexName is made so that two tables of one schema don't share it,
// and that it fits into PostgreSQL's 63 octets.
func identityIndexName(table string) string {
	const suffix = "_walwire_identity"
	for len(table)+len(suffix) > 63 {
		_, size := utf8.DecodeLastRuneInString(table)
		table = table[:len(table)-size]
	}
	return table + suffix
}
