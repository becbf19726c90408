package pgoutput

// Insert adds a row.
type Insert struct {
	RelationOID uint32
	New         Tuple
}

func (m *Insert) decode(r *reader, s *scratch) {
	m.RelationOID = r.uint32("relation OID")
	r.newKind()
	m.New, _ = r.tuple("new tuple", &s.new)
	r.blame(m.RelationOID)
}
