package pgoutput

// Type names a type that PostgreSQL does not build in, such as an enum, that a
// column of the next Relation has. Of a domain it gives the domain's own OID, but
// the name of the type that the domain is made of.
type Type struct {
	OID       uint32
	Namespace string // empty for pg_catalog
	Name      string
}

func (m *Type) decode(r *reader) {
	m.OID = r.uint32("type OID")
	m.Namespace = keep(m.Namespace, r.string("namespace"))
	m.Name = keep(m.Name, r.string("name"))
}
