package pgoutput_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/walwire/walwire/cdc/pgoutput"
)

// renderer turns messages into lines that are the same for every recording of
// one script: with names for OIDs, and without positions, times and
// transaction ids.
type renderer struct {
	names map[uint32]string // of relations and of types that are not built in
}

// render returns one line a message, but none for the transactions that
// published nothing, of which PostgreSQL 14 sends the Begin and Commit.
func render(t *testing.T, messages [][]byte) []string {
	t.Helper()
	r := renderer{names: make(map[uint32]string)}
	var d pgoutput.Decoder
	var lines []string
	for _, src := range messages {
		kind := mustDecode(t, &d, src)
		if last := len(lines) - 1; kind == pgoutput.TypeCommit && lines[last] == "Begin " {
			lines = lines[:last]
			continue
		}
		lines = append(lines, kind.String()+" "+r.line(&d, kind))
	}
	return lines
}

func (r *renderer) line(d *pgoutput.Decoder, kind pgoutput.MessageType) string {
	switch kind {
	case pgoutput.TypeOrigin:
		return fmt.Sprint(d.Origin)
	case pgoutput.TypeType:
		r.names[d.Type.OID] = d.Type.Namespace + "." + d.Type.Name
		return r.names[d.Type.OID]
	case pgoutput.TypeRelation:
		r.names[d.Relation.OID] = d.Relation.Namespace + "." + d.Relation.Name
		return r.relation(&d.Relation)
	case pgoutput.TypeInsert:
		return r.names[d.Insert.RelationOID] + renderTuple(" new", d.Insert.New)
	case pgoutput.TypeUpdate:
		m := &d.Update
		return r.names[m.RelationOID] + renderTuple(" old "+string(m.OldKind), m.Old) + renderTuple(" new", m.New)
	case pgoutput.TypeDelete:
		m := &d.Delete
		return r.names[m.RelationOID] + renderTuple(" old "+string(m.OldKind), m.Old)
	case pgoutput.TypeTruncate:
		return r.truncate(&d.Truncate)
	case pgoutput.TypeMessage:
		return fmt.Sprintf("transactional %v %q %q", d.Message.Transactional, d.Message.Prefix, d.Message.Content)
	}
	return ""
}

func (r *renderer) relation(m *pgoutput.Relation) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s identity %c", r.names[m.OID], m.Identity)
	for _, c := range m.Columns {
		name, ok := r.names[c.TypeOID]
		if !ok {
			name = fmt.Sprint(c.TypeOID)
		}
		fmt.Fprintf(&b, "; %d %s %s %d", c.Flags, c.Name, name, c.TypeModifier)
	}
	return b.String()
}

func (r *renderer) truncate(m *pgoutput.Truncate) string {
	var names []string
	for _, oid := range m.RelationOIDs {
		names = append(names, r.names[oid])
	}
	return fmt.Sprintf("%v cascade %v restart identity %v", names, m.Cascade, m.RestartIdentity)
}

func renderTuple(label string, t pgoutput.Tuple) string {
	if t.Absent() {
		return ""
	}
	var b strings.Builder
	b.WriteString(label)
	for _, c := range columns(t) {
		fmt.Fprintf(&b, " %c%q", c.Kind, c.Data)
	}
	return b.String()
}
