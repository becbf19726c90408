package stream

import (
	"math/bits"
	"slices"

	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/mapping"
)

// lens is what one rule tells those who may read certain columns. Shared by all taps
// that may read the same.
type lens struct {
	rule     *mapping.Event
	readable []bool
	row      *mask // the key first
	bare     bool  // the event carries the key alone
	old      *mask // nil: nothing of the row before

	made [2]made // of the row at hand: without and with the row before
}

type made struct {
	row  uint64
	json []byte
	key  []byte
}

// changes reports whether a change shows in what may be read.
func (l *lens) changes(changed []bool) bool {
	if l.rule.Changes != nil {
		return slices.ContainsFunc(l.rule.Changes, func(i int) bool { return changed[i] && l.readable[i] })
	}
	for i, is := range changed {
		if is && l.readable[i] {
			return true
		}
	}
	return false
}

// make gives the event as it is told, made once for all who may read the same. was says
// that the receiver was shown the row before.
func (l *lens) make(t *companyTx, et *eventTable, nth uint64, index int, was bool, on mapping.EventOp) (*made, error) {
	m := &l.made[0]
	if was {
		m = &l.made[1]
	}
	if m.row == nth && m.key != nil {
		return m, nil
	}
	subject := &et.row
	if l.rule.OfOld {
		subject = &et.old
	}
	full, keyEnd, err := l.row.append(et.json[:0], subject)
	et.json = full
	if err != nil {
		return nil, err
	}
	*m = made{row: nth, key: encoding{full, keyEnd}.keyJSON()}
	if l.rule.Several > 0 {
		return m, nil
	}
	buf := et.eventHead(l.rule, t, index)
	buf = append(append(buf, `,"key":`...), m.key...)
	if !l.bare {
		buf = append(append(buf, `,"row":`...), full...)
	}
	if was && l.old != nil {
		buf = append(buf, `,"old":`...)
		if buf, _, err = l.old.append(buf, &et.old); err != nil {
			return nil, err
		}
	}
	if was && on == mapping.EventUpdate {
		buf = l.appendChanged(buf, et)
	}
	m.json = append(buf, '}')
	return m, nil
}

func (l *lens) appendChanged(buf []byte, et *eventTable) []byte {
	buf = append(buf, `,"changed":[`...)
	first := true
	for i, is := range et.changed {
		if !is || !l.readable[i] {
			continue
		}
		if !first {
			buf = append(buf, ',')
		}
		first = false
		buf = appendString(buf, et.shape.columns[i].Name)
	}
	return append(buf, ']')
}

// eventHead begins an event.
func (et *eventTable) eventHead(rule *mapping.Event, t *companyTx, index int) []byte {
	buf := append(make([]byte, 0, 512), `{"event":`...)
	buf = appendString(buf, rule.Name)
	buf = et.sealer.appendEventID(append(buf, `,"id":"`...), t.tx.Commit, index, rule.Ordinal)
	buf = appendPosition(append(buf, `","position":"`...), t.tx.End)
	buf = appendTime(append(buf, `","time":"`...), t.tx.Time)
	buf = append(buf, `","table":`...)
	return appendString(buf, et.mapping.Name)
}

// appendPosition appends a position as PostgreSQL prints it.
func appendPosition(buf []byte, at cdc.LSN) []byte {
	buf = appendHex(buf, uint32(at>>32))
	return appendHex(append(buf, '/'), uint32(at))
}

func appendHex(buf []byte, n uint32) []byte {
	const digits = "0123456789ABCDEF"
	shift := max(bits.Len32(n)-1, 0) &^ 3
	for ; shift >= 0; shift -= 4 {
		buf = append(buf, digits[n>>shift&15])
	}
	return buf
}
