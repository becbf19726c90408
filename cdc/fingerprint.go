package cdc

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// fingerprintSQL sums up all of a table's catalogue that decides what its rows
// look like, which of them we may read, what names one, and whether their changes are in the stream. relfilenode changes with
// every rewrite, which sends no rows. The xmins change where something was altered
// and altered back: a table renamed, a partition detached, an enum's label, the
// publication; so do the ids of the publication's entries that are for a whole schema
// (since 15), which all versions have in pg_depend. A type made by a user is followed
// to what it is made of: the enum under an array, a domain, a range or a composite.
// A table that the publication does not name can be away for a while, unlogged or in another
// schema, and leaves that no trace but that it was rewritten, or altered.
var fingerprintSQL = `
WITH wanted AS (
	SELECT w.s, w.n, c.oid
	FROM unnest($1::text[], $2::text[]) AS w(s, n)
	JOIN pg_catalog.pg_namespace ns ON ns.nspname = w.s
	JOIN pg_catalog.pg_class c ON c.relnamespace = ns.oid AND c.relname = w.n
), leaves AS (
	SELECT w.s, w.n, p.oid
	FROM wanted w CROSS JOIN LATERAL ` + partitionsSQL("w.oid") + ` p
)
SELECT l.s, l.n,
	md5(string_agg(concat_ws('|', c.oid, c.xmin, c.relfilenode, c.relreplident, c.relkind, c.relrowsecurity, c.relacl, ` + readableSQL("c") + `, a.columns,
		(SELECT string_agg(h.inhrelid::text, ',' ORDER BY h.inhrelid) FROM pg_catalog.pg_inherits h WHERE h.inhparent = c.oid),
		(SELECT string_agg(concat_ws(':', i.indexrelid, i.indimmediate, i.indisvalid, i.indisreplident), ',' ORDER BY i.indexrelid)
			FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisunique)), ';' ORDER BY c.oid)),
	md5(coalesce((SELECT concat_ws('|', p.oid, p.xmin, string_agg(concat_ws(':', r.prrelid, r.xmin), ',' ORDER BY r.prrelid), (
			SELECT string_agg(d.objid::text, ',' ORDER BY d.objid)
			FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_depend s ON s.classid = d.classid AND s.objid = d.objid
			WHERE d.refclassid = 'pg_catalog.pg_publication'::regclass AND d.refobjid = p.oid
			AND s.refclassid = 'pg_catalog.pg_namespace'::regclass AND s.refobjid = ANY(array_agg(c.relnamespace))))
		FROM pg_catalog.pg_publication p
		LEFT JOIN pg_catalog.pg_publication_rel r ON r.prpubid = p.oid AND (r.prrelid = ANY(array_agg(c.oid))
			OR r.prrelid IN (SELECT above.relid FROM unnest(array_agg(c.oid)) below(relid) CROSS JOIN LATERAL pg_partition_ancestors(below.relid) above(relid)))
		WHERE p.pubname = $3 GROUP BY p.oid, p.xmin), '')),
	string_agg(concat_ws(':', c.oid, (SELECT string_agg(concat_ws('.', i.inhrelid, i.xmin), ',' ORDER BY i.inhrelid)
		FROM pg_catalog.pg_partition_ancestors(c.oid) a(relid) JOIN pg_catalog.pg_inherits i ON i.inhrelid = a.relid),
		(SELECT concat_ws('.', c.relfilenode, CASE WHEN NOT p.puballtables THEN c.xmin END) FROM pg_catalog.pg_publication p WHERE p.pubname = $3
			AND NOT EXISTS (SELECT FROM pg_catalog.pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = c.oid)
			AND NOT EXISTS (SELECT FROM pg_catalog.pg_partition_ancestors(c.oid) above(relid)
				JOIN pg_catalog.pg_publication_rel r ON r.prrelid = above.relid AND r.prpubid = p.oid))), ';' ORDER BY c.oid)
FROM leaves l
JOIN pg_catalog.pg_class c ON c.oid = l.oid
CROSS JOIN LATERAL (
	SELECT string_agg(concat_ws(':', a.attnum, a.xmin, a.attname, a.atttypid, a.atttypmod, a.attcollation, a.attnotnull, a.attgenerated,
		CASE WHEN a.atttypid >= 16384 THEN (
			WITH RECURSIVE made(oid) AS (
				SELECT a.atttypid
				UNION
				SELECT part.oid FROM made JOIN pg_catalog.pg_type t ON t.oid = made.oid CROSS JOIN LATERAL (
					SELECT t.typelem WHERE t.typelem <> 0
					UNION ALL SELECT t.typbasetype WHERE t.typbasetype <> 0
					UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid
					UNION ALL SELECT r.rngtypid FROM pg_catalog.pg_range r WHERE r.rngmultitypid = t.oid
					UNION ALL SELECT pa.atttypid FROM pg_catalog.pg_attribute pa
						WHERE t.typtype = 'c' AND pa.attrelid = t.typrelid AND pa.attnum > 0 AND NOT pa.attisdropped
				) part(oid))
			SELECT string_agg(concat_ws('/', m.oid,
				(SELECT string_agg(concat_ws('=', e.enumlabel, e.xmin), ',' ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum e WHERE e.enumtypid = m.oid),
				(SELECT string_agg(concat_ws('=', ca.attnum, ca.xmin), ',' ORDER BY ca.attnum)
					FROM pg_catalog.pg_type ct JOIN pg_catalog.pg_attribute ca ON ca.attrelid = ct.typrelid
					WHERE ct.oid = m.oid AND ct.typtype = 'c' AND ca.attnum > 0)), '+' ORDER BY m.oid) FROM made m) END), ',' ORDER BY a.attnum) AS columns
	FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
) a
GROUP BY l.s, l.n`

// Fingerprint is what a table's catalogue comes to. Two that differ mean that
// rows may have changed without a change in the stream.
type Fingerprint struct {
	Shape       string // columns, keys, storage, identity, rights, partitions
	Publication string // its place in the publication
	Leaves      string // what holds its rows: a word for each, and since when it is a part of the table
}

// Fingerprints reads those of the named tables; a table that is not there has
// the zero value.
func Fingerprints(ctx context.Context, q CatalogQuerier, publication string, names []TableName) (map[TableName]Fingerprint, error) {
	schemas, tables := make([]string, len(names)), make([]string, len(names))
	for i, n := range names {
		schemas[i], tables[i] = n.Schema, n.Name
	}
	rows, err := q.Query(ctx, fingerprintSQL, schemas, tables, publication)
	if err != nil {
		return nil, fmt.Errorf("read catalogue fingerprint: %w", err)
	}
	found := make(map[TableName]Fingerprint, len(names))
	var name TableName
	var f Fingerprint
	_, err = pgx.ForEachRow(rows, []any{&name.Schema, &name.Name, &f.Shape, &f.Publication, &f.Leaves}, func() error {
		found[name] = f
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read catalogue fingerprint: %w", err)
	}
	return found, nil
}

// Unpublished says which of the tables have changes that the publication does
// not send, and why. It is what Inspect reports, for a server that runs.
func Unpublished(ctx context.Context, q CatalogQuerier, publication string, tables []*Table) (map[TableName]error, error) {
	state, err := readPublication(ctx, q, publication)
	if err != nil {
		return nil, err
	}
	broken := make(map[TableName]error)
	for _, t := range tables {
		if why := state.unpublished(t); why != "" {
			broken[t.TableName] = fmt.Errorf("the publication %s %s (walwire check says what to do)", quoteIdent(publication), why)
		}
	}
	return broken, nil
}

func (p *publicationState) unpublished(t *Table) string {
	if p == nil {
		return "is gone"
	}
	var missing []string
	for _, op := range []struct {
		sent bool
		name string
	}{{p.Insert, "INSERT"}, {p.Update, "UPDATE"}, {p.Delete, "DELETE"}, {p.Truncate, "TRUNCATE"}} {
		if !op.sent {
			missing = append(missing, op.name)
		}
	}
	switch {
	case len(missing) > 0:
		return "does not send " + strings.Join(missing, ", ")
	case p.ViaRoot && t.Partitioned:
		return "sends partitions as their root"
	case len(p.lacking(t)) > 0:
		missing := p.lacking(t)[0]
		if p.publishes(missing.OID) {
			return fmt.Sprintf("does not name the partition %s", missing.TableName)
		}
		return fmt.Sprintf("does not send %s", missing.TableName)
	}
	for _, leaf := range t.Leaves {
		for _, m := range p.Members {
			if m.OID == leaf.OID && (m.Filtered || m.Listed) {
				return fmt.Sprintf("has a row filter or a column list for %s", leaf.TableName)
			}
		}
	}
	return ""
}
