package cdc

import "errors"

// ErrSlotLost means that the slot can no longer give what follows the last
// handled position: it was dropped, advanced, invalidated or made anew by
// somebody else. Live queries can't go on from it without being read again.
var ErrSlotLost = errors.New("replication slot lost")

// ErrHistoryChanged means that this is not the WAL that was followed: the server is
// another one, was promoted, or was set back to an earlier state. No position or
// transaction id of before means anything in it, so all must begin anew.
var ErrHistoryChanged = errors.New("the database's history is another one")

// ErrSlotTaken means that another connection reads the slot that was read here, and not
// for a moment only: a server that stood by has taken over.
var ErrSlotTaken = errors.New("another server reads the slot")

// ErrShapeChanged means that a table's columns are no longer those the query
// was made for.
var ErrShapeChanged = errors.New("table changed its columns")

// errFatal marks errors that trying again can't mend: the operator must act.
type errFatal struct{ error }

func (e errFatal) Unwrap() error { return e.error }

// IsFatal reports whether reconnecting won't mend err: it needs the operator, or, where the
// slot was taken, clients must go to whoever has it. A
// Consumer that may make its slot anew does not end with ErrSlotLost.
func IsFatal(err error) bool {
	var fatal errFatal
	return errors.As(err, &fatal) || errors.Is(err, ErrSlotLost) || errors.Is(err, ErrHistoryChanged) || errors.Is(err, ErrSlotTaken)
}
