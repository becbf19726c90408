package stream

import (
	"strconv"
	"time"

	"github.com/walwire/walwire/cdc"
)

// update is what one frame says of one subscription. base is zero without a
// snapshot.
type update struct {
	id uint64
	base
	token    string
	snapshot bool
	reset    bool
	resumed  bool
	loading  bool   // its rows are still to come
	names    []byte // the member that begins a subscription to events; nil: it has begun
	pull     *pull  // events that come before entries, nil: none
	entries  []*entry
}

// frames writes data frames: everything up to one position, cut into frames of
// about maxBytes that the client applies as one.
type frames struct {
	buf      []byte
	maxBytes int
	position cdc.LSN
	time     int64
	cursor   string // of the last frame; "" for none
	emit     func(frame []byte) error
	turn     turn // nil: none

	subscriptions int // in this frame
	current       *update
	section       string // open array, "" for none
	items         int    // in the open array
	orders        []byte // the order keys of these, as the members of an array
	filled        bool   // the frame holds an item
	err           error
}

const (
	sectionRows     = "rows"
	sectionAdded    = "added"
	sectionModified = "modified"
	sectionRemoved  = "removed"
	sectionEvents   = "events"
)

var opSections = [...]string{opAdded: sectionAdded, opModified: sectionModified, opRemoved: sectionRemoved, opEvent: sectionEvents}

// write emits the frames for updates, at least one.
func (f *frames) write(updates []update) error {
	f.open()
	for i := range updates {
		f.update(&updates[i])
	}
	f.close(false)
	return f.err
}

// apart writes all commits but the last of each update in frames of their own, as one would
// without merge, and gives the rest.
func (f *frames) apart(updates []update) []update {
	end, cursor := f.position, f.cursor
	for i := range updates {
		u := &updates[i]
		for len(u.entries) > 1 {
			first := update{id: u.id, entries: u.entries[:1]}
			f.position, f.cursor = u.entries[0].position, ""
			_ = f.write([]update{first}) // f.err tells
			u.entries = u.entries[1:]
		}
	}
	f.position, f.cursor = end, cursor
	return updates
}

func (f *frames) open() {
	f.buf = append(f.buf[:0], `{"type":"data","position":"`...)
	f.buf = append(f.buf, f.position.String()...)
	f.buf = append(f.buf, '"')
	if f.time != 0 {
		f.buf = append(f.buf, `,"time":"`...)
		f.buf = appendTime(f.buf, f.time)
		f.buf = append(f.buf, '"')
	}
	f.buf = append(f.buf, `,"subscriptions":[`...)
	f.subscriptions, f.filled = 0, false
}

// close ends the frame and emits it; more says that it continues.
func (f *frames) close(more bool) {
	if f.current != nil {
		f.endSubscription()
	}
	f.buf = append(f.buf, ']')
	if more {
		f.buf = append(f.buf, `,"more":true`...)
	} else if f.cursor != "" {
		f.buf = append(f.buf, `,"cursor":"`...)
		f.buf = append(append(f.buf, f.cursor...), '"')
	}
	f.buf = append(f.buf, '}')
	if f.err == nil {
		f.err = f.emit(f.buf)
	}
}

func (f *frames) update(u *update) {
	if f.filled && len(f.buf) > f.maxBytes {
		f.close(true)
		f.open()
	}
	f.beginSubscription(u, true)
	if u.snapshot {
		f.beginSnapshot(u.token, u.head)
		for i, row := range u.rows {
			order := ""
			if u.order != nil {
				order = u.order[i]
			}
			f.item(sectionRows, row, order)
		}
		f.endSection()
	}
	if u.pull != nil && f.turn != nil {
		f.turn.away() // for the company
	}
	if u.pull != nil && !u.pull.each(func(data []byte) bool {
		f.item(sectionEvents, data, "")
		return f.err == nil
	}) && f.err == nil {
		f.err = errClosed // a frame with a cursor would say that all has been told
	}
	switch len(u.entries) {
	case 0:
	case 1:
		e := u.entries[0]
		if f.section == "" && len(f.buf)+e.least() <= f.maxBytes { // else its text would be made for nothing, and kept
			if text := e.members(); len(f.buf)+len(text) <= f.maxBytes {
				f.buf = append(f.buf, text...)
				f.filled = true
				break
			}
		}
		f.ops(e.ops)
	default:
		f.ops(merge(u.entries))
	}
	f.endSubscription()
}

func (f *frames) ops(ops []op) {
	for kind, section := range opSections {
		for i := range ops {
			if ops[i].kind == opKind(kind) {
				f.item(section, ops[i].data, ops[i].order)
			}
		}
	}
	f.endSection()
}

func (f *frames) beginSubscription(u *update, first bool) {
	if f.subscriptions > 0 {
		f.buf = append(f.buf, ',')
	}
	f.subscriptions++
	f.buf = append(f.buf, `{"id":`...)
	f.buf = strconv.AppendUint(f.buf, u.id, 10)
	if first && u.reset {
		f.buf = append(f.buf, `,"reset":true`...)
	}
	if first && u.resumed {
		f.buf = append(f.buf, `,"resumed":true`...)
	}
	if first && u.loading {
		f.buf = append(f.buf, `,"loading":true`...)
	}
	if first {
		f.buf = append(f.buf, u.names...)
	}
	f.current = u
}

func (f *frames) endSubscription() {
	f.endSection()
	f.buf = append(f.buf, '}')
	f.current = nil
}

func (f *frames) beginSnapshot(token string, head []byte) {
	f.buf = append(f.buf, `,"snapshot":{`...)
	if token != "" {
		f.buf = append(f.buf, `"token":"`...)
		f.buf = append(append(f.buf, token...), `",`...)
	}
	if len(head) > 0 {
		f.buf = append(append(f.buf, head...), ',')
	}
	f.buf = append(f.buf, `"rows":[`...)
	f.section, f.items = sectionRows, 0
}

func (f *frames) beginSection(section string) {
	if section == sectionRows {
		f.beginSnapshot("", nil)
		return
	}
	f.buf = append(f.buf, `,"`...)
	f.buf = append(f.buf, section...)
	f.buf = append(f.buf, `":[`...)
	f.section, f.items = section, 0
}

func (f *frames) endSection() {
	switch f.section {
	case "":
		return
	case sectionRows:
		f.buf = append(f.buf, ']')
		f.endOrders("order")
		f.buf = append(f.buf, '}')
	default:
		f.buf = append(f.buf, ']')
		f.endOrders(f.section + "_order")
	}
	f.section = ""
}

// endOrders writes the order keys of the section beside it.
func (f *frames) endOrders(member string) {
	if len(f.orders) == 0 {
		return
	}
	f.buf = append(f.buf, `,"`...)
	f.buf = append(f.buf, member...)
	f.buf = append(f.buf, `":[`...)
	f.buf = append(append(f.buf, f.orders...), ']')
	f.orders = f.orders[:0]
}

func (f *frames) item(section string, data []byte, order string) {
	if f.filled && len(f.buf)+len(f.orders)+len(data)+len(order) > f.maxBytes {
		u := f.current
		f.close(true)
		f.open()
		f.beginSubscription(u, false)
	}
	if f.section != section {
		f.endSection()
		f.beginSection(section)
	}
	if f.items > 0 {
		f.buf = append(f.buf, ',')
	}
	f.items++
	f.filled = true
	f.buf = append(f.buf, data...)
	if order != "" {
		if len(f.orders) > 0 {
			f.orders = append(f.orders, ',')
		}
		f.orders = append(append(append(f.orders, '"'), order...), '"')
	}
}

// least is what members can't be shorter than.
func (e *entry) least() (octets int) {
	for i := range e.ops {
		octets += len(e.ops[i].data) + len(e.ops[i].order)
	}
	return octets
}

// members gives the entry's ops as the members of a frame's subscription. Made
// once, shared by all readers.
func (e *entry) members() []byte {
	if text := e.text.Load(); text != nil {
		return *text
	}
	f := frames{maxBytes: int(^uint(0) >> 1)}
	f.ops(e.ops)
	e.text.Store(&f.buf)
	return f.buf
}

// postgresEpoch is the start of PostgreSQL's timestamps.
var postgresEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func appendTime(dst []byte, micros int64) []byte {
	return postgresEpoch.Add(time.Duration(micros)*time.Microsecond).AppendFormat(dst, "2006-01-02T15:04:05.000000Z")
}
