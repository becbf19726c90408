package stream

import (
	"github.com/walwire/walwire/cdc"
)

// gap is what a listener is told where events may be missing.
type gap struct {
	table    string  // "": any
	from, to cdc.LSN // zero: not known
	since    int64   // commit times, zero: not known
	until    int64
	because  string
}

func (g gap) json() []byte {
	buf := []byte(`{"event":"gap"`)
	if g.table != "" {
		buf = appendString(append(buf, `,"table":`...), g.table)
	}
	if g.from != 0 {
		buf = append(appendPosition(append(buf, `,"from":"`...), g.from), '"')
	}
	if g.to != 0 {
		buf = append(appendPosition(append(buf, `,"to":"`...), g.to), '"')
	}
	if g.since != 0 {
		buf = append(appendTime(append(buf, `,"since":"`...), g.since), '"')
	}
	if g.until != 0 {
		buf = append(appendTime(append(buf, `,"until":"`...), g.until), '"')
	}
	return append(appendString(append(buf, `,"because":`...), g.because), '}')
}
