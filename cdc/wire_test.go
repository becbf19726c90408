package cdc

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/jackc/pglogrepl"

	"github.com/walwire/walwire/cdc/pgoutput"
)

// wire builds the bytes of one pgoutput message.
type wire []byte

func (w wire) u16(n int) wire      { return binary.BigEndian.AppendUint16(w, uint16(n)) }
func (w wire) u32(n uint32) wire   { return binary.BigEndian.AppendUint32(w, n) }
func (w wire) u64(n uint64) wire   { return binary.BigEndian.AppendUint64(w, n) }
func (w wire) text(s string) wire  { return append(append(w, s...), 0) }
func (w wire) bytes(s string) wire { return append(w.u32(uint32(len(s))), s...) }

// tuple is a row of text; "" stands for NULL and "~" for an unchanged value.
func (w wire) tuple(kind byte, columns ...string) wire {
	w = append(w, kind).u16(len(columns))
	for _, c := range columns {
		switch c {
		case "":
			w = append(w, 'n')
		case "~":
			w = append(w, 'u')
		default:
			w = append(w, 't').bytes(c)
		}
	}
	return w
}

func wireBegin(xid uint32, commit LSN) wire {
	return wire{'B'}.u64(uint64(commit)).u64(0).u32(xid)
}

func wireCommit(commit, end LSN) wire {
	return wire{'C', 0}.u64(uint64(commit)).u64(uint64(end)).u64(0)
}

func wireRelation(oid uint32, name string, columns ...string) wire {
	w := append(wire{'R'}.u32(oid).text("public").text(name), 'f').u16(len(columns))
	for _, c := range columns {
		w = append(w, 1).text(c).u32(25).u32(0xffffffff)
	}
	return w
}

func wireInsert(oid uint32, columns ...string) wire {
	return wire{'I'}.u32(oid).tuple('N', columns...)
}

func wireTruncate(oids ...uint32) wire {
	w := append(wire{'T'}.u32(uint32(len(oids))), 0)
	for _, oid := range oids {
		w = w.u32(oid)
	}
	return w
}

func wireKeepalive(end LSN) []byte {
	return append(wire{pglogrepl.PrimaryKeepaliveMessageByteID}.u64(uint64(end)).u64(0), 0)
}

func wireData(message wire) []byte {
	return append(wire{pglogrepl.XLogDataByteID}.u64(0).u64(0).u64(0), message...)
}

// renderTuple is the inverse of wire.tuple.
func renderTuple(t pgoutput.Tuple) string {
	columns := make([]string, t.Len())
	for i := range columns {
		kind, data := t.Column(i)
		columns[i] = string(data)
		if kind == pgoutput.KindUnchanged {
			columns[i] = "~"
		}
	}
	return strings.Join(columns, ",")
}

// renderTx is a transaction in words: "I t(1,a) U t(1,a>1,b) D t(1,b>) T t".
func renderTx(tx *Transaction) string {
	var words []string
	for _, c := range tx.Changes {
		row := ""
		switch {
		case !c.Old.Absent():
			row = "(" + renderTuple(c.Old) + ">" + renderTuple(c.New) + ")"
		case !c.New.Absent():
			row = "(" + renderTuple(c.New) + ")"
		}
		words = append(words, fmt.Sprintf("%c %s%s", c.Op, c.Relation.Name, row))
	}
	return strings.Join(words, " ")
}
