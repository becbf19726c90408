package pgoutput

// Update replaces a row.
type Update struct {
	RelationOID uint32
	// OldKind says what Old is: 0 when it is absent (the replica identity
	// is not FULL and did not change), OldKey or OldRow.
	OldKind byte
	Old     Tuple
	New     Tuple
	// Unchanged is the number of columns of New whose value was not sent because
	// it is stored out of line and did not change: see Arena.CloneOver.
	Unchanged int
}

func (m *Update) decode(r *reader, s *scratch) {
	m.RelationOID = r.uint32("relation OID")
	m.OldKind, m.Old = 0, Tuple{}
	// What comes first tells whether there is an old tuple.
	switch first := r.byte("tuple"); first {
	case kindNew:
	case OldKey, OldRow:
		m.OldKind = first
		m.Old, _ = r.tuple("old tuple", &s.old)
		r.newKind()
	default:
		r.failByte("tuple", first)
	}
	m.New, m.Unchanged = r.tuple("new tuple", &s.new)
	r.blame(m.RelationOID)
}
