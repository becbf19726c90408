package pgoutput

// Delete removes a row.
type Delete struct {
	RelationOID uint32
	OldKind     byte // OldKey or OldRow
	Old         Tuple
}

func (m *Delete) decode(r *reader, s *scratch) {
	m.RelationOID = r.uint32("relation OID")
	m.OldKind = r.oldKind()
	m.Old, _ = r.tuple("old tuple", &s.old)
	r.blame(m.RelationOID)
}
