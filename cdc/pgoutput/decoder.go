package pgoutput

import "math"

// Decoder decodes messages into its fields. The field that belongs to the
// returned type is valid until the next Decode, and only if there was no
// error. The zero value is ready. It is for one goroutine.
type Decoder struct {
	Begin    Begin
	Commit   Commit
	Origin   Origin
	Relation Relation
	Type     Type
	Insert   Insert
	Update   Update
	Delete   Delete
	Truncate Truncate
	Message  Message

	scratch scratch
}

// scratch holds the offset tables of the current message's tuples.
type scratch struct{ old, new []uint32 }

// Decode decodes one message, which src must hold exactly, and returns its type.
// Tuples and Message.Content alias src. Every error is a *FormatError.
func (d *Decoder) Decode(src []byte) (MessageType, error) {
	r := reader{src: src}
	t := MessageType(r.byte("type"))
	if uint64(len(src)) > math.MaxUint32 { // a tuple's offsets have 32 bits
		r.pos = 0
		r.fail("message", problemOversize, int64(len(src)))
		return t, r.err
	}
	switch t {
	case TypeUpdate:
		d.Update.decode(&r, &d.scratch)
	case TypeInsert:
		d.Insert.decode(&r, &d.scratch)
	case TypeDelete:
		d.Delete.decode(&r, &d.scratch)
	default:
		d.decodeOther(t, &r)
	}
	r.end()
	if r.err != nil {
		return t, r.err
	}
	return t, nil
}

// decodeOther decodes what does not come once per row.
func (d *Decoder) decodeOther(t MessageType, r *reader) {
	switch t {
	case TypeBegin:
		d.Begin.decode(r)
	case TypeCommit:
		d.Commit.decode(r)
	case TypeOrigin:
		d.Origin.decode(r)
	case TypeRelation:
		d.Relation.decode(r)
	case TypeType:
		d.Type.decode(r)
	case TypeTruncate:
		d.Truncate.decode(r)
	case TypeMessage:
		d.Message.decode(r)
	default:
		r.pos = 0
		r.fail("type", problemUnknown, int64(t))
	}
}
