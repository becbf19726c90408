package bench

import (
	"bytes"
	"strconv"
)

// A mark is what a change writes into a row's notes: which change it is, and when it was
// made, in microseconds since 1970 by PostgreSQL's clock. No other value of the data set
// holds a number sign.
const (
	markSQL     = `'#' || $1::int || ' ' || (extract(epoch FROM clock_timestamp()) * 1000000)::bigint || ';'`
	forgetMarks = "UPDATE appointments SET notes = '' WHERE notes LIKE '#%'"
	markUpdate  = "UPDATE appointments SET notes = " + markSQL + ", updated_at = now() WHERE id = $2"
)

// marks calls f for each mark in b. It gives what may be the beginning of one at the end
// of b.
func marks(b []byte, f func(change int, micros int64)) (rest []byte) {
	for {
		at := bytes.IndexByte(b, '#')
		if at < 0 {
			return nil
		}
		b = b[at:]
		end := bytes.IndexByte(b[:min(len(b), 40)], ';')
		if end < 0 {
			if len(b) < 40 {
				return b
			}
			b = b[1:]
			continue
		}
		number, micros, ok := bytes.Cut(b[1:end], []byte(" "))
		n, err := strconv.Atoi(string(number))
		m, err2 := strconv.ParseInt(string(micros), 10, 64)
		if ok && err == nil && err2 == nil {
			f(n, m)
		}
		b = b[end:]
	}
}
