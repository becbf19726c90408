package cdc

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/cdc/pgvalue"
)

// relationSQL reads everything about the wanted relations in one statement,
// hence in one snapshot. The parts that are lists come as JSON. Everything is
// readable by any role; pg_stats shows only what the role may select. Since 18 a
// NOT NULL can be NOT VALID: attnotnull is set, and there can be NULLs.
var relationSQL = `
SELECT jsonb_build_object(
	'schema', n.nspname, 'name', c.relname, 'oid', c.oid::bigint,
	'kind', c.relkind::text, 'persistence', c.relpersistence::text,
	'identity', c.relreplident::text, 'rls', c.relrowsecurity, 'tuples', c.reltuples,
	'inherited', c.relkind <> 'p' AND EXISTS (
		SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid),
	'columns', (
		SELECT jsonb_agg(jsonb_build_object(
			'num', a.attnum, 'name', a.attname, 'type', a.atttypid::bigint,
			'mod', a.atttypmod, 'generated', a.attgenerated <> '',
			'not_null', a.attnotnull AND NOT EXISTS (
				SELECT FROM pg_catalog.pg_constraint k
				WHERE k.conrelid = a.attrelid AND k.contype = 'n' AND NOT k.convalidated AND a.attnum = ANY (k.conkey)),
			'nondeterministic', NOT coalesce(co.collisdeterministic, true),
			'distinct', s.n_distinct) ORDER BY a.attnum)
		FROM pg_catalog.pg_attribute a
		LEFT JOIN pg_catalog.pg_collation co ON co.oid = a.attcollation
		LEFT JOIN pg_catalog.pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname
			AND s.attname = a.attname AND s.inherited = (c.relkind = 'p')
		WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
	'indexes', (
		SELECT jsonb_agg(jsonb_build_object(
			'name', i.relname, 'primary', x.indisprimary, 'identity', x.indisreplident,
			'immediate', x.indimmediate, 'valid', x.indisvalid AND x.indisready,
			'partial', x.indpred IS NOT NULL, 'expressions', x.indexprs IS NOT NULL,
			'columns', (SELECT jsonb_agg(k.num ORDER BY k.ord)
				FROM unnest(x.indkey) WITH ORDINALITY AS k(num, ord) WHERE k.ord <= x.indnkeyatts))
			ORDER BY i.relname)
		FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
		WHERE x.indrelid = c.oid AND x.indisunique),
	'leaves', (
		SELECT jsonb_agg(jsonb_build_object(
			'schema', ln.nspname, 'name', l.relname, 'oid', l.oid::bigint, 'kind', l.relkind::text,
			'persistence', l.relpersistence::text, 'identity', l.relreplident::text,
			'identity_columns', (
				SELECT jsonb_agg(a.attname ORDER BY k.ord)
				FROM pg_catalog.pg_index x
				CROSS JOIN unnest(x.indkey) WITH ORDINALITY AS k(num, ord)
				JOIN pg_catalog.pg_attribute a ON a.attrelid = l.oid AND a.attnum = k.num
				WHERE x.indrelid = l.oid AND k.ord <= x.indnkeyatts AND x.indisvalid AND x.indimmediate
				AND ((l.relreplident = 'd' AND x.indisprimary) OR (l.relreplident = 'i' AND x.indisreplident))))
			ORDER BY ln.nspname, l.relname)
		FROM pg_catalog.pg_class l JOIN pg_catalog.pg_namespace ln ON ln.oid = l.relnamespace
		WHERE l.oid IN (
			SELECT p.oid FROM ` + partitionsSQL("c.oid") + ` p WHERE p.relkind <> 'p'))
)::text
FROM unnest($1::text[], $2::text[]) AS wanted(schema, name)
JOIN pg_catalog.pg_namespace n ON n.nspname = wanted.schema
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name`

// rawRelation is a relation of any kind as relationSQL returns it.
type rawRelation struct {
	Schema      string
	Name        string
	OID         uint32
	Kind        string
	Persistence string
	Identity    string
	RLS         bool
	Tuples      float64 // estimated rows; -1 was never counted
	Inherited   bool    // has children by classic inheritance
	Columns     []rawColumn
	Indexes     []rawIndex // the unique ones
	Leaves      []rawLeaf
}

type rawColumn struct {
	Num              int16
	Name             string
	Type             uint32
	Mod              int32
	NotNull          bool `json:"not_null"`
	Generated        bool
	Nondeterministic bool
	Distinct         *float64 // as in pg_stats: negative is a share of the rows
}

type rawIndex struct {
	Name        string
	Primary     bool
	Identity    bool // is the REPLICA IDENTITY index
	Immediate   bool // checked at each row, not deferrable
	Valid       bool
	Partial     bool
	Expressions bool
	Columns     []int16 // attnums in key order, 0 for an expression
}

type rawLeaf struct {
	Schema          string
	Name            string
	OID             uint32
	Kind            string
	Persistence     string
	Identity        string
	IdentityColumns []string `json:"identity_columns"`
}

func readRelations(ctx context.Context, q CatalogQuerier, names []TableName) (map[TableName]*rawRelation, error) {
	schemas, tables := make([]string, len(names)), make([]string, len(names))
	for i, n := range names {
		schemas[i], tables[i] = n.Schema, n.Name
	}
	rows, err := q.Query(ctx, relationSQL, schemas, tables)
	if err != nil {
		return nil, err
	}
	docs, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	raws := make(map[TableName]*rawRelation, len(docs))
	for _, doc := range docs {
		raw := new(rawRelation)
		if err := json.Unmarshal([]byte(doc), raw); err != nil {
			return nil, fmt.Errorf("decode relation: %w", err)
		}
		raws[raw.tableName()] = raw
	}
	return raws, nil
}

func (r *rawRelation) tableName() TableName { return TableName{r.Schema, r.Name} }

// table builds the Table of a relation that is mappable.
func (r *rawRelation) table(types map[uint32]*pgvalue.Type) (*Table, error) {
	t := &Table{
		TableName: r.tableName(), OID: r.OID, Kind: r.Kind[0], Partitioned: r.Kind == "p",
		Identity: r.Identity[0], RLS: r.RLS, Key: r.key(),
	}
	for _, c := range r.Columns {
		typ, ok := types[c.Type]
		if !ok {
			return nil, fmt.Errorf("column %s of %s: no type with OID %d", quoteIdent(c.Name), t.TableName, c.Type)
		}
		t.Columns = append(t.Columns, Column{
			Name: c.Name, TypeOID: c.Type, TypeModifier: c.Mod, Type: collated(typ, c.Nondeterministic),
			NotNull: c.NotNull, Generated: c.Generated, Distinct: r.distinct(c),
		})
	}
	for _, l := range r.Leaves {
		leaf := Leaf{
			TableName: TableName{l.Schema, l.Name}, OID: l.OID,
			Identity: l.Identity[0], IdentityColumns: l.IdentityColumns,
		}
		if leaf.Identity == 'f' {
			leaf.IdentityColumns = t.streamedColumns()
		}
		t.Leaves = append(t.Leaves, leaf)
	}
	return t, nil
}

func (t *Table) streamedColumns() []string {
	var names []string
	for _, c := range t.Columns {
		if !c.Generated {
			names = append(names, c.Name)
		}
	}
	return names
}

// distinct turns the estimate of pg_stats into a number of values.
func (r *rawRelation) distinct(c rawColumn) float64 {
	switch {
	case c.Distinct == nil:
		return 0
	case *c.Distinct >= 0:
		return *c.Distinct
	default:
		return max(0, -*c.Distinct*r.Tuples)
	}
}

// collated gives the type as a column with that collation has it.
func collated(t *pgvalue.Type, nondeterministic bool) *pgvalue.Type {
	if !nondeterministic || t.NondeterministicCollation {
		return t
	}
	own := *t
	own.NondeterministicCollation = true
	if own.Elem != nil {
		own.Elem = collated(own.Elem, true)
	}
	return &own
}
