package stream

import (
	"slices"

	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/cdc/pgvalue"
	"github.com/walwire/walwire/mapping"
	"github.com/walwire/walwire/mapping/predicate"
)

// Schema is the mapping bound to the tables as they are in the database.
type Schema struct {
	Mapping *mapping.Mapping
	// Tables holds the catalogue's description by the name in the mapping.
	Tables map[string]*cdc.Table
	// Broken says which mapped tables can't be served as they are now, and why.
	Broken map[string]error
	// Unserved are the broken tables that Mapping leaves out.
	Unserved []Unserved
	// UsersUnknown is set when what says who users are can't be read: then nobody
	// is let in.
	UsersUnknown error
}

// Unserved is what is known of a table that can't be served.
type Unserved struct {
	Table  string
	Roles  []string // that have access to it
	Events []string // that it raises
}

// shape is one generation of a served table: what a change of its columns
// replaces. Immutable. Pointers identify generations.
type shape struct {
	mapping  *mapping.Table
	catalog  *cdc.Table
	columns  []predicate.Column
	key      []int
	spelt    []bool // of the key's columns: equal values may look different
	company  int
	distinct func(column int) float64
}

func newShape(m *mapping.Table, t *cdc.Table) *shape {
	s := &shape{mapping: m, catalog: t, columns: m.Columns, key: m.Key, company: m.Company}
	for _, k := range s.key {
		s.spelt = append(s.spelt, m.Columns[k].Type.Spelt())
	}
	s.distinct = func(column int) float64 {
		if i, ok := t.Column(m.Columns[column].Name); ok {
			return t.Columns[i].Distinct
		}
		return 0
	}
	return s
}

// unidentified finds a leaf whose old rows don't carry all of key and company.
func (s *shape) unidentified() (cdc.TableName, bool) {
	for _, leaf := range s.catalog.Leaves {
		for _, k := range append([]int{s.company}, s.key...) {
			if !slices.Contains(leaf.IdentityColumns, s.columns[k].Name) {
				return leaf.TableName, true
			}
		}
	}
	return cdc.TableName{}, false
}

// same reports whether two generations show the same columns of the same table, which
// the stream has or has not.
func (s *shape) same(other *shape) bool {
	return s.catalog.OID == other.catalog.OID && s.catalog.TableName == other.catalog.TableName && slices.Equal(s.key, other.key) && s.company == other.company &&
		sameColumns(s.columns, other.columns) &&
		slices.EqualFunc(s.catalog.Columns, other.catalog.Columns, func(a, b cdc.Column) bool { return a.Generated == b.Generated })
}

func sameColumns(a, b []predicate.Column) bool {
	return slices.EqualFunc(a, b, func(a, b predicate.Column) bool {
		return a.Name == b.Name && sameType(a.Type, b.Type)
	})
}

func sameType(a, b *pgvalue.Type) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.OID == b.OID && a.Name == b.Name && a.NondeterministicCollation == b.NondeterministicCollation && slices.Equal(a.Labels, b.Labels) && sameType(a.Elem, b.Elem)
}

// binding says where a relation of the stream keeps the columns of a shape. A
// relation that has other columns than the shape is stale: it belongs to a
// generation before (or after) it.
type binding struct {
	shape   *shape // nil: not a mapped table
	stale   bool
	keyless bool  // old rows don't carry the key: the replica identity leaves it out
	columns []int // by ordinal of the shape: index in the tuple
	company int   // index in the tuple
}

func bind(s *shape, rel *cdc.Relation) *binding {
	b := &binding{shape: s, columns: make([]int, len(s.columns))}
	for i, c := range s.columns {
		b.columns[i] = -1
		for j := range rel.Columns {
			if rel.Columns[j].Name == c.Name && rel.Columns[j].TypeOID == s.catalog.Columns[i].TypeOID {
				b.columns[i] = j
			}
		}
		b.stale = b.stale || b.columns[i] < 0 && !s.catalog.Columns[i].Generated
	}
	b.company = b.columns[s.company]
	if !b.stale && rel.Identity != 'f' {
		b.keyless = slices.ContainsFunc(s.key, func(k int) bool { return !rel.Columns[b.columns[k]].Key() })
	}
	return b
}
