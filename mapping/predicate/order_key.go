package predicate

import "github.com/walwire/walwire/cdc/pgvalue"

// The octets that each term of an order key begins with.
const (
	markNullFirst = iota
	markValue
	markNullLast
)

// AppendKey appends the order key of the current row: octets that
// bytes.Compare orders as the Order does the rows. Keys are equal exactly where
// the rows are equal in all terms, and none is the beginning of another. It does
// not allocate but to let dst grow.
//
// A term is a mark that places NULL, then, of another value, its key, inverted
// where the term is descending. A key of variable length that does not show its
// end by itself is ended by a zero octet, which no text can hold.
func (o Order) AppendKey(dst []byte, row *Row) ([]byte, error) {
	for _, t := range o {
		key, null, err := row.Key(t.Column)
		switch {
		case err != nil:
			return dst, err
		case null && t.NullsLast:
			dst = append(dst, markNullLast)
			continue
		case null:
			dst = append(dst, markNullFirst)
			continue
		}
		dst = append(dst, markValue)
		start := len(dst)
		dst = append(dst, key...)
		if endless(row.columns[t.Column].Type.Kind) {
			dst = append(dst, 0)
		}
		if t.Desc {
			for i := start; i < len(dst); i++ {
				dst[i] = ^dst[i]
			}
		}
	}
	return dst, nil
}

// endless kinds have keys that can be the beginning of one another: text, and
// the digits of bytea. The others are of one length, or numeric's, which end
// themselves.
func endless(kind pgvalue.Kind) bool {
	switch kind {
	case pgvalue.KindText, pgvalue.KindBPChar, pgvalue.KindEnum, pgvalue.KindBytea:
		return true
	}
	return false
}
