package stream

import (
	"encoding/base32"
	"fmt"

	"github.com/walwire/walwire/mapping/predicate"
)

// ordering is an order that views of a table share: the key of a row is made
// once for all of them. Owned by the company's goroutine.
type ordering struct {
	predicate.Order
	id   string // canonical
	last bool   // the end of the order comes first: limitToLast

	nth   uint64 // the row that place is of
	place string
	buf   []byte
}

// placeOf gives the place of the row that r holds: a string that sorts as the
// view's rows do, those of limitToLast from their end. nth names the row.
func (o *ordering) placeOf(r *predicate.Row, nth uint64) (string, error) {
	if o == nil || o.nth == nth {
		return o.known(), nil
	}
	key, err := o.AppendKey(o.buf[:0], r)
	o.buf = key
	if err != nil {
		return "", fmt.Errorf("order: %w", err)
	}
	if o.last {
		invert(key)
	}
	o.nth, o.place = nth, string(key)
	return o.place, nil
}

func (o *ordering) known() string {
	if o == nil {
		return ""
	}
	return o.place
}

// copy is for another goroutine.
func (o *ordering) copy() *ordering {
	if o == nil {
		return nil
	}
	return &ordering{Order: o.Order, last: o.last}
}

// sql is the ORDER BY list of a SELECT whose LIMIT keeps the view's rows.
func (o *ordering) sql(dst []byte, columns []predicate.Column) []byte {
	if o.last {
		return o.Reverse().AppendSQL(dst, columns)
	}
	return o.AppendSQL(dst, columns)
}

// wire is a place as clients get it: ascending in the order they asked for,
// compared as a string. The alphabet of this base keeps the order of octets.
func (o *ordering) wire(place string) string {
	if o == nil {
		return ""
	}
	key := []byte(place)
	if o.last {
		invert(key)
	}
	return base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(key)
}

// invert turns an order around: no key is the beginning of another's.
func invert(key []byte) {
	for i := range key {
		key[i] = ^key[i]
	}
}
