package pgoutput_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/jackc/pglogrepl"

	"github.com/walwire/walwire/cdc/pgoutput"
)

// column and the types below are a message in a form that both decoders'
// results are turned into.
type column struct {
	Kind byte
	Data string
}

type row []column

type rowMessage struct {
	Relation uint32
	OldKind  byte
	Old, New row
}

// ours returns what the decoder holds after it returned t.
func ours(d *pgoutput.Decoder, t pgoutput.MessageType) any {
	switch t {
	case pgoutput.TypeBegin:
		return []any{d.Begin.FinalLSN, d.Begin.Time().UnixNano(), d.Begin.XID}
	case pgoutput.TypeCommit:
		return []any{d.Commit.Flags, d.Commit.CommitLSN, d.Commit.EndLSN, d.Commit.Time().UnixNano()}
	case pgoutput.TypeOrigin:
		return d.Origin
	case pgoutput.TypeRelation:
		return d.Relation
	case pgoutput.TypeType:
		return d.Type
	case pgoutput.TypeInsert:
		return rowMessage{Relation: d.Insert.RelationOID, New: columns(d.Insert.New)}
	case pgoutput.TypeUpdate:
		m := &d.Update
		return rowMessage{m.RelationOID, m.OldKind, columns(m.Old), columns(m.New)}
	case pgoutput.TypeDelete:
		m := &d.Delete
		return rowMessage{Relation: m.RelationOID, OldKind: m.OldKind, Old: columns(m.Old)}
	case pgoutput.TypeTruncate:
		m := &d.Truncate
		return []any{m.Cascade, m.RestartIdentity, fmt.Sprint(m.RelationOIDs)}
	case pgoutput.TypeMessage:
		m := &d.Message
		return []any{m.Transactional, m.LSN, m.Prefix, string(m.Content)}
	}
	return nil
}

// theirs returns the same of a message of pglogrepl.
func theirs(message pglogrepl.Message) any {
	switch m := message.(type) {
	case *pglogrepl.BeginMessage:
		return []any{m.FinalLSN, m.CommitTime.UnixNano(), m.Xid}
	case *pglogrepl.CommitMessage:
		return []any{m.Flags, m.CommitLSN, m.TransactionEndLSN, m.CommitTime.UnixNano()}
	case *pglogrepl.OriginMessage:
		return pgoutput.Origin{CommitLSN: m.CommitLSN, Name: m.Name}
	case *pglogrepl.RelationMessage:
		return theirRelation(m)
	case *pglogrepl.TypeMessage:
		return pgoutput.Type{OID: m.DataType, Namespace: m.Namespace, Name: m.Name}
	case *pglogrepl.InsertMessage:
		return rowMessage{Relation: m.RelationID, New: theirColumns(m.Tuple)}
	case *pglogrepl.UpdateMessage:
		return rowMessage{m.RelationID, m.OldTupleType, theirColumns(m.OldTuple), theirColumns(m.NewTuple)}
	case *pglogrepl.DeleteMessage:
		return rowMessage{Relation: m.RelationID, OldKind: m.OldTupleType, Old: theirColumns(m.OldTuple)}
	case *pglogrepl.TruncateMessage:
		return []any{m.Option&pglogrepl.TruncateOptionCascade != 0,
			m.Option&pglogrepl.TruncateOptionRestartIdentity != 0, fmt.Sprint(m.RelationIDs)}
	case *pglogrepl.LogicalDecodingMessage:
		return []any{m.Transactional, m.LSN, m.Prefix, string(m.Content)}
	}
	return nil
}

func theirRelation(m *pglogrepl.RelationMessage) pgoutput.Relation {
	r := pgoutput.Relation{OID: m.RelationID, Namespace: m.Namespace, Name: m.RelationName, Identity: m.ReplicaIdentity}
	r.Columns = make([]pgoutput.RelationColumn, 0, len(m.Columns))
	for _, c := range m.Columns {
		r.Columns = append(r.Columns, pgoutput.RelationColumn{
			Flags: c.Flags, Name: c.Name, TypeOID: c.DataType, TypeModifier: c.TypeModifier,
		})
	}
	return r
}

// columns returns what a tuple holds: nil when it is absent.
func columns(t pgoutput.Tuple) row {
	if t.Absent() {
		return nil
	}
	r := make(row, t.Len())
	for i := range r {
		kind, data := t.Column(i)
		r[i] = column{kind, string(data)}
	}
	return r
}

func theirColumns(t *pglogrepl.TupleData) row {
	if t == nil {
		return nil
	}
	r := make(row, 0, len(t.Columns))
	for _, c := range t.Columns {
		r = append(r, column{c.DataType, string(c.Data)})
	}
	return r
}

// parse is pglogrepl.Parse with its panics as errors. It gets src without spare
// capacity: a Message's content would be read from there.
func parse(src []byte) (m pglogrepl.Message, err error) {
	defer func() {
		if p := recover(); p != nil {
			m, err = nil, fmt.Errorf("panic: %v", p)
		}
	}()
	return pglogrepl.Parse(slices.Clip(src))
}

// difference says how pglogrepl understands src otherwise than d, which has
// decoded it as t. Empty: they agree.
func difference(d *pgoutput.Decoder, t pgoutput.MessageType, src []byte) string {
	message, err := parse(src)
	if err != nil {
		if tooShortForPglogrepl(t, src) {
			return ""
		}
		return fmt.Sprintf("pglogrepl: %v", err)
	}
	got, want := ours(d, t), theirs(message)
	if !reflect.DeepEqual(got, want) {
		return fmt.Sprintf("got  %v\nwant %v", got, want)
	}
	return ""
}

// tooShortForPglogrepl reports whether src is one of two messages that pglogrepl
// takes to be too short though they are whole: an Insert into a table without
// columns, and a Truncate of nothing.
func tooShortForPglogrepl(t pgoutput.MessageType, src []byte) bool {
	return t == pgoutput.TypeInsert && len(src) == 8 || t == pgoutput.TypeTruncate && len(src) == 6
}

// quote shows bytes of a message in an error.
func quote(src []byte) string { return strings.TrimSpace(fmt.Sprintf("%.200q", src)) }
