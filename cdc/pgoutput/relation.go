package pgoutput

// The replica identities of a Relation.
const (
	IdentityDefault byte = 'd' // the primary key
	IdentityNothing byte = 'n'
	IdentityFull    byte = 'f'
	IdentityIndex   byte = 'i'
)

// Relation describes a table, or a leaf partition, until the next Relation of the
// same OID. Everything in it may be kept: nothing aliases the source or is
// overwritten.
type Relation struct {
	OID       uint32
	Namespace string // empty for pg_catalog
	Name      string
	Identity  byte // replica identity
	Columns   []RelationColumn
}

// RelationColumn is one column of a Relation; tuples have theirs in the same
// order.
type RelationColumn struct {
	Flags        byte // bit 0: part of the replica identity
	Name         string
	TypeOID      uint32
	TypeModifier int32 // atttypmod; -1 for none
}

// Key reports whether the column is part of the replica identity. With
// IdentityFull every column is.
func (c *RelationColumn) Key() bool { return c.Flags&columnKey != 0 }

const (
	columnKey = 1
	// minColumnSize is what a column takes with an empty name: flags, NUL, type
	// OID and modifier.
	minColumnSize = 1 + 1 + 4 + 4
)

func (m *Relation) decode(r *reader) {
	m.OID = r.uint32("relation OID")
	m.Namespace = string(r.string("namespace"))
	m.Name = string(r.string("name"))
	m.Identity = r.identity()
	m.Columns = nil
	count := int64(r.uint16("column count"))
	if !r.fits(count, minColumnSize, "columns") {
		return
	}
	m.Columns = make([]RelationColumn, count)
	for i := range m.Columns {
		m.Columns[i].decode(r)
	}
}

func (c *RelationColumn) decode(r *reader) {
	c.Flags = r.flags("column flags", columnKey)
	c.Name = string(r.string("column name"))
	c.TypeOID = r.uint32("column type OID")
	c.TypeModifier = int32(r.uint32("column type modifier"))
}

// identity reads a replica identity. An unknown one is refused: it would leave
// open what old tuples hold.
func (r *reader) identity() byte {
	b := r.byte("replica identity")
	switch b {
	case IdentityDefault, IdentityNothing, IdentityFull, IdentityIndex:
	default:
		r.failByte("replica identity", b)
	}
	return b
}
