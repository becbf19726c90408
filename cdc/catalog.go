package cdc

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/cdc/pgvalue"
)

// CatalogQuerier is what reading the catalogue needs. *pgx.Conn, pgx.Tx and
// *pgxpool.Pool satisfy it.
type CatalogQuerier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Table is a mapped table as the catalogue describes it. Immutable.
type Table struct {
	TableName
	OID         uint32
	Kind        byte     // relkind: 'r' a table, 'p' a partitioned one
	Partitioned bool     // Kind is 'p': the rows live in Leaves
	Leaves      []Leaf   // what the WAL speaks of: the table itself, or its leaf partitions
	Columns     []Column // by attnum, without the dropped ones
	// Key holds the ordinals in Columns of the columns that name a row: the
	// primary key, else the best unique index. Empty when there is none that
	// holds at every moment; such a table can't be followed.
	Key      []int
	Identity byte // relreplident: 'd' default, 'n' nothing, 'f' full, 'i' an index
	RLS      bool // row-level security is enabled
}

// Leaf is a relation that holds rows of a mapped table. Its column order may
// differ from the table's, so columns are matched by name.
type Leaf struct {
	TableName
	OID      uint32
	Identity byte // relreplident, as in Table: a partition has its own
	// IdentityColumns names the columns that an old row carries in the WAL.
	IdentityColumns []string
}

// indexed says that an index is the leaf's replica identity: somebody's choice,
// which is left alone. One whose index was dropped has none.
func (l Leaf) indexed() bool { return l.Identity == 'i' && len(l.IdentityColumns) > 0 }

// Column is one column of a Table.
type Column struct {
	Name         string
	TypeOID      uint32
	TypeModifier int32
	// Type has NondeterministicCollation set where the column's own collation
	// is nondeterministic, whatever its type says.
	Type    *pgvalue.Type
	NotNull bool
	// Generated columns are not in the stream, unless an 18 publishes them.
	Generated bool
	// Distinct estimates the number of distinct values, from the last ANALYZE;
	// 0 is unknown.
	Distinct float64
}

// Column gives the ordinal of the column of that name.
func (t *Table) Column(name string) (int, bool) {
	i := slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == name })
	return i, i >= 0
}

// KeyNames gives the names of the key's columns, in key order.
func (t *Table) KeyNames() []string {
	names := make([]string, len(t.Key))
	for i, ordinal := range t.Key {
		names[i] = t.Columns[ordinal].Name
	}
	return names
}

// LoadTables reads the named tables from the catalogue: one statement for all
// tables, so that they are seen at one moment, and those that pgvalue.Load
// needs for their types.
//
// A name that can't be mapped gives a *TableError; several are joined. The map
// holds the other tables even then.
func LoadTables(ctx context.Context, q CatalogQuerier, names []TableName) (map[TableName]*Table, error) {
	c, err := loadCatalog(ctx, q, names)
	if err != nil {
		return nil, fmt.Errorf("read catalogue: %w", err)
	}
	return c.tables, errors.Join(c.errs...)
}

// catalog is what loadCatalog found: each name is in tables or has its error.
type catalog struct {
	names  []TableName // without duplicates
	raws   map[TableName]*rawRelation
	tables map[TableName]*Table
	errs   []error
}

func loadCatalog(ctx context.Context, q CatalogQuerier, names []TableName) (*catalog, error) {
	raws, err := readRelations(ctx, q, names)
	if err != nil {
		return nil, fmt.Errorf("read relations: %w", err)
	}
	types, err := loadColumnTypes(ctx, q, raws)
	if err != nil {
		return nil, fmt.Errorf("read types: %w", err)
	}
	c := &catalog{names: uniqueNames(names), raws: raws, tables: make(map[TableName]*Table, len(raws))}
	for _, name := range c.names {
		table, err := c.load(ctx, q, name, types)
		if err != nil {
			c.errs = append(c.errs, err)
			continue
		}
		c.tables[name] = table
	}
	return c, nil
}

func (c *catalog) load(ctx context.Context, q CatalogQuerier, name TableName, types map[uint32]*pgvalue.Type) (*Table, error) {
	raw, found := c.raws[name]
	if !found {
		near, err := nearNames(ctx, q, name)
		if err != nil {
			return nil, fmt.Errorf("look for tables named like %s: %w", name, err)
		}
		return nil, missingTable(name, near)
	}
	if err := raw.unmappable(); err != nil {
		return nil, err
	}
	return raw.table(types)
}

func uniqueNames(names []TableName) []TableName {
	seen := make(map[TableName]bool, len(names))
	var out []TableName
	for _, n := range names {
		if !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	return out
}

func loadColumnTypes(ctx context.Context, q CatalogQuerier, raws map[TableName]*rawRelation) (map[uint32]*pgvalue.Type, error) {
	var oids []uint32
	for _, raw := range raws {
		for _, c := range raw.Columns {
			oids = append(oids, c.Type)
		}
	}
	slices.Sort(oids)
	oids = slices.Compact(oids)
	if len(oids) == 0 {
		return nil, nil
	}
	return pgvalue.Load(ctx, q, oids)
}
