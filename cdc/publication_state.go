package cdc

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
)

// publicationSQL reads one publication. Columns that not every version has
// (prqual and prattrs since 15, pubgencols since 18) are reached through jsonb.
var publicationSQL = `
SELECT jsonb_build_object(
	'name', p.pubname, 'all_tables', p.puballtables, 'via_root', p.pubviaroot,
	'insert', p.pubinsert, 'update', p.pubupdate, 'delete', p.pubdelete, 'truncate', p.pubtruncate,
	'generated', coalesce(to_jsonb(p)->>'pubgencols', 'n'),
	'by_name', current_setting('server_version_num')::int < 150000 AND NOT p.puballtables,
	'members', (
		SELECT jsonb_agg(jsonb_build_object('schema', n.nspname, 'name', c.relname, 'oid', c.oid::bigint,
			'filtered', to_jsonb(r)->>'prqual' IS NOT NULL,
			'listed', to_jsonb(r)->>'prattrs' IS NOT NULL) ORDER BY n.nspname, c.relname)
		FROM pg_catalog.pg_publication_rel r
		JOIN pg_catalog.pg_class c ON c.oid = r.prrelid
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE r.prpubid = p.oid),
	'published', (SELECT jsonb_agg(pt.oid::bigint) FROM ` + publishedSQL + ` pt)
)::text
FROM pg_catalog.pg_publication p WHERE p.pubname = $1`

// publishedSQL is what the publication p sends the changes of, as the view
// pg_publication_tables has it. The view opens each table (since 16), and so waits for
// who holds any one of them exclusively. Members of a whole schema (since 15) are
// in pg_depend on every version.
var publishedSQL = `(
	WITH named AS (
		SELECT r.prrelid AS oid FROM pg_catalog.pg_publication_rel r WHERE r.prpubid = p.oid
		UNION
		SELECT c.oid FROM pg_catalog.pg_class c
		WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND c.oid >= 16384
		AND (p.puballtables OR c.relnamespace IN (
			SELECT s.refobjid
			FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_depend s ON s.classid = d.classid AND s.objid = d.objid
			WHERE d.refclassid = 'pg_catalog.pg_publication'::regclass AND d.refobjid = p.oid
			AND s.refclassid = 'pg_catalog.pg_namespace'::regclass)))
	SELECT t.oid FROM named CROSS JOIN LATERAL ` + partitionsSQL("named.oid") + ` t
	WHERE NOT p.pubviaroot AND t.relkind <> 'p'
	UNION
	SELECT named.oid FROM named
	WHERE p.pubviaroot AND NOT EXISTS (
		SELECT FROM pg_catalog.pg_partition_ancestors(named.oid) a JOIN named n ON n.oid = a.relid WHERE a.relid <> named.oid))`

// partitionsSQL is the relation and all partitions below it. It is pg_partition_tree
// without its locks.
func partitionsSQL(oid string) string {
	return `(
	WITH RECURSIVE tree AS (
		SELECT top.oid, top.relkind FROM pg_catalog.pg_class top WHERE top.oid = ` + oid + `
		UNION ALL
		SELECT part.oid, part.relkind
		FROM tree JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid AND NOT i.inhdetachpending
		JOIN pg_catalog.pg_class part ON part.oid = i.inhrelid
		WHERE tree.relkind = 'p')
	SELECT oid, relkind FROM tree)`
}

// publicationState is a publication as the catalogue has it.
type publicationState struct {
	Name      string
	AllTables bool `json:"all_tables"`
	ViaRoot   bool `json:"via_root"`
	// ByName: 14 must be told each partition. What it has seen as a table of its own,
	// unpublished, it leaves out also once it is attached to a table that is published.
	ByName    bool `json:"by_name"`
	Insert    bool
	Update    bool
	Delete    bool
	Truncate  bool
	Generated string              // 18: "s" publishes stored generated columns
	Members   []publicationMember // the tables it names
	Published []uint32            // the relations whose changes it sends
}

type publicationMember struct {
	Schema   string
	Name     string
	OID      uint32
	Filtered bool // has a row filter
	Listed   bool // has a column list
}

func (m *publicationMember) tableName() TableName { return TableName{m.Schema, m.Name} }

// readPublication returns nil when there is none of that name.
func readPublication(ctx context.Context, q CatalogQuerier, name string) (*publicationState, error) {
	rows, err := q.Query(ctx, publicationSQL, name)
	if err != nil {
		return nil, fmt.Errorf("read publication %s: %w", quoteIdent(name), err)
	}
	docs, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read publication %s: %w", quoteIdent(name), err)
	}
	if len(docs) == 0 {
		return nil, nil
	}
	state := new(publicationState)
	if err := json.Unmarshal([]byte(docs[0]), state); err != nil {
		return nil, fmt.Errorf("read publication %s: %w", quoteIdent(name), err)
	}
	return state, nil
}

// publishes reports whether changes of the relation are sent as its own.
func (p *publicationState) publishes(oid uint32) bool { return slices.Contains(p.Published, oid) }

// lacking returns the leaves that the publication does not send, or may not.
func (p *publicationState) lacking(t *Table) []Leaf {
	sent := make(map[uint32]bool, len(p.Published))
	for _, oid := range p.Published {
		sent[oid] = true
	}
	if p.ByName {
		named := make(map[uint32]bool, len(p.Members))
		for _, m := range p.Members {
			named[m.OID] = true
		}
		maps.DeleteFunc(sent, func(oid uint32, _ bool) bool { return !named[oid] })
	}
	var missing []Leaf
	for _, leaf := range t.Leaves {
		if !sent[leaf.OID] {
			missing = append(missing, leaf)
		}
	}
	return missing
}
