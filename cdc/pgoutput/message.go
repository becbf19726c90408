package pgoutput

import "github.com/jackc/pglogrepl"

// Message is what pg_logical_emit_message wrote.
type Message struct {
	Transactional bool          // part of a transaction, and sent at its commit
	LSN           pglogrepl.LSN // of the message
	Prefix        string
	Content       []byte // aliases the source
}

func (m *Message) decode(r *reader) {
	m.Transactional = r.flags("flags", 1) == 1
	m.LSN = pglogrepl.LSN(r.uint64("LSN"))
	m.Prefix = keep(m.Prefix, r.string("prefix"))
	m.Content = r.block("content")
}
