package pgoutput

// Truncate empties tables. One message holds all tables of one TRUNCATE that are
// published, also those that CASCADE added.
type Truncate struct {
	Cascade         bool
	RestartIdentity bool
	RelationOIDs    []uint32 // valid until the next Decode
}

const (
	truncateCascade         = 1
	truncateRestartIdentity = 2
)

func (m *Truncate) decode(r *reader) {
	count := int64(r.uint32("relation count"))
	flags := r.flags("flags", truncateCascade|truncateRestartIdentity)
	m.Cascade = flags&truncateCascade != 0
	m.RestartIdentity = flags&truncateRestartIdentity != 0
	m.RelationOIDs = m.RelationOIDs[:0]
	if !r.fits(count, 4, "relations") {
		return
	}
	for range count {
		m.RelationOIDs = append(m.RelationOIDs, r.uint32("relation OID"))
	}
}
