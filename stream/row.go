package stream

import (
	"encoding/binary"

	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/cdc/pgoutput"
)

// row is a tuple of the stream seen through its table's shape.
type row struct {
	binding *binding
	tuple   pgoutput.Tuple
}

// Column implements source. A column that the stream does not carry, a generated
// one, is null.
func (r *row) Column(ordinal int) (text []byte, null bool) {
	i := r.binding.columns[ordinal]
	if i < 0 {
		return nil, true
	}
	kind, data := r.tuple.Column(i)
	return data, kind != pgoutput.KindText
}

// values is a result row of a SELECT seen by the table's ordinals.
type values struct {
	index []int // ordinal -> position in row, -1 when not selected
	row   [][]byte
}

// Column implements source.
func (v *values) Column(ordinal int) (text []byte, null bool) {
	text = v.row[v.index[ordinal]]
	return text, text == nil
}

// appendKey appends what names a row: the keys of its key columns, each but the last
// behind its length, and of a value that can be spelt in several ways its JSON too, by
// which clients know the row.
func (s *shape) appendKey(dst []byte, from source) ([]byte, error) {
	var err error
	for i, ordinal := range s.key {
		start := len(dst)
		last := i == len(s.key)-1
		if !last {
			dst = append(dst, 0, 0, 0, 0)
		}
		text, _ := from.Column(ordinal)
		if dst, err = s.columns[ordinal].Type.AppendKey(dst, text); err != nil {
			return dst, err
		}
		if s.spelt[i] {
			if dst, err = s.columns[ordinal].Type.AppendJSON(dst, text); err != nil {
				return dst, err
			}
		}
		if !last {
			binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
		}
	}
	return dst, nil
}

// rowChange is a change routed to a company. here says that the new row is the
// company's own; otherwise the change can only take a row away. was says so of the
// old row.
type rowChange struct {
	*cdc.Change
	binding   *binding
	index     int // in the transaction
	here, was bool
}

// companyTx is what one transaction means to one company.
type companyTx struct {
	tx      *cdc.Transaction
	changes []rowChange
	// reread names the tables whose rows must be read again: the transaction was
	// too large to be held.
	reread []*shape
}
