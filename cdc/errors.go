package cdc

import "errors"

// ErrSlotLost means that the slot can no longer give what follows the last
// handled position: it was dropped, advanced, invalidated or made anew by
// somebody else. Live queries can't go on from it without being read again.
var ErrSlotLost = errors.New("replication slot lost")

// ErrShapeChanged means that a table's columns are no longer those the query
// was made for.
var ErrShapeChanged = errors.New("table changed its columns")

// errFatal marks errors that trying again can't mend: the operator must act.
type errFatal struct{ error }

func (e errFatal) Unwrap() error { return e.error }

// IsFatal reports whether err needs the operator: reconnecting won't mend it.
func IsFatal(err error) bool {
	var fatal errFatal
	return errors.As(err, &fatal) || errors.Is(err, ErrSlotLost)
}
