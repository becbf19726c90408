package cdc

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// publicationSQL reads one publication. Columns that not every version has
// (prqual and prattrs since 15, pubgencols since 18) are reached through jsonb.
const publicationSQL = `
SELECT jsonb_build_object(
	'name', p.pubname, 'all_tables', p.puballtables, 'via_root', p.pubviaroot,
	'insert', p.pubinsert, 'update', p.pubupdate, 'delete', p.pubdelete, 'truncate', p.pubtruncate,
	'generated', coalesce(to_jsonb(p)->>'pubgencols', 'n'),
	'members', (
		SELECT jsonb_agg(jsonb_build_object('schema', n.nspname, 'name', c.relname, 'oid', c.oid::bigint,
			'filtered', to_jsonb(r)->>'prqual' IS NOT NULL,
			'listed', to_jsonb(r)->>'prattrs' IS NOT NULL) ORDER BY n.nspname, c.relname)
		FROM pg_catalog.pg_publication_rel r
		JOIN pg_catalog.pg_class c ON c.oid = r.prrelid
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE r.prpubid = p.oid),
	'published', (
		SELECT jsonb_agg(c.oid::bigint)
		FROM pg_catalog.pg_publication_tables t
		JOIN pg_catalog.pg_namespace n ON n.nspname = t.schemaname
		JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
		WHERE t.pubname = p.pubname)
)::text
FROM pg_catalog.pg_publication p WHERE p.pubname = $1`

// publicationState is a publication as the catalogue has it.
type publicationState struct {
	Name      string
	AllTables bool `json:"all_tables"`
	ViaRoot   bool `json:"via_root"`
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
func (p *publicationState) publishes(oid uint32) bool {
	for _, published := range p.Published {
		if published == oid {
			return true
		}
	}
	return false
}

// lacking returns the leaves that the publication does not send.
func (p *publicationState) lacking(t *Table) []Leaf {
	var missing []Leaf
	for _, leaf := range t.Leaves {
		if !p.publishes(leaf.OID) {
			missing = append(missing, leaf)
		}
	}
	return missing
}
