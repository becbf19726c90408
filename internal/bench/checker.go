package bench

import "bytes"

// checker holds the frames of one subscriber against what it must get: each of
// its rows once, modified, with the new value. It does not decode the JSON: it
// shares the machine with what is measured, so it scans, which for the rows of
// this data set comes to the same. For one goroutine.
type checker struct {
	data  dataset
	query int
	seen  []bool // by the row's ordinal in the query

	received int // rows, each counted once
	doubled  int // rows that came again
	faults   int // frames or rows that must not be: see change
}

func newChecker(d dataset, query int) *checker {
	return &checker{data: d, query: query, seen: make([]bool, d.rowsPerQuery())}
}

// What is looked for in a frame. The values of the data set hold no brackets and
// braces, and a needle that begins with one is found fast.
const (
	rowStart     = `{"id":"` // a row begins with its key, which is text; a subscription's id is a number
	dataStart    = `{"type":"data",`
	entryStart   = `[{"id":1,`            // the frame's only subscription
	snapshotNext = `"snapshot":{"token":` // the beginning of one: what continues it has none
	modifiedNext = `"modified":[`
	nextMember   = `],"`
	idleStart    = `"subscriptions":[]`
	continued    = `,"more":true}`
	cursorNext   = `,"cursor":"` // ends a frame that is not continued
)

// rowsOf gives the number of rows in a frame.
func rowsOf(frame []byte) int { return bytes.Count(frame, []byte(rowStart)) }

// eachRow calls f for each row in a frame, from its key on.
func eachRow(frame []byte, f func(row []byte)) {
	for {
		at := bytes.Index(frame, []byte(rowStart))
		if at < 0 {
			return
		}
		frame = frame[at+len(rowStart):]
		end := bytes.Index(frame, []byte(rowStart))
		if end < 0 {
			end = len(frame)
		}
		f(frame[:end])
	}
}

// opensWith says whether a data frame's entry begins with that member.
func opensWith(frame []byte, member string) bool {
	_, entry, ok := bytes.Cut(frame, []byte(entryStart))
	return ok && bytes.HasPrefix(entry, []byte(member))
}

// change counts a data frame and says how many rows in it were not seen before.
// A fault is: a row that this subscriber must not get, a row without the new
// value, and anything but modified rows.
func (c *checker) change(frame []byte) (fresh int) {
	whole := bytes.TrimSuffix(frame, []byte(continued))
	if i := bytes.LastIndex(whole, []byte(cursorNext)); i >= 0 {
		whole = whole[:i]
	}
	rows := 0
	eachRow(whole, func(row []byte) {
		rows++
		fresh += c.row(row[:min(len(row), idLength)])
	})
	c.received += fresh
	if rows == 0 && bytes.Contains(whole, []byte(idleStart)) {
		return 0 // tells nothing but where the client is
	}
	if !opensWith(whole, modifiedNext) || bytes.Contains(whole, []byte(nextMember)) || bytes.Count(whole, []byte(changedNotes)) != rows {
		c.faults++
	}
	return fresh
}

// row counts one row by its id: 1 when it is new.
func (c *checker) row(id []byte) int {
	n, ok := appointmentNumber(id)
	if !ok || n >= c.data.rows {
		c.faults++
		return 0
	}
	query, ordinal := c.data.locate(n)
	if query != c.query || !c.data.shows(ordinal) {
		c.faults++
		return 0
	}
	if c.seen[ordinal] {
		c.doubled++
		return 0
	}
	c.seen[ordinal] = true
	return 1
}
