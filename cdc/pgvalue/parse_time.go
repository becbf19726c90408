package pgvalue

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// parseTime parses the strings of the date and time kinds.
func (t *Type) parseTime(s string) (string, error) {
	b := []byte(s)
	if _, ok := scanInfinity(b); ok && t.Kind != KindTime && t.Kind != KindTimeTZ {
		return s, nil
	}
	var text string
	var ok, inRange bool
	switch t.Kind {
	case KindDate:
		text, ok, inRange = parseISODate(b)
	case KindTimestamp, KindTimestampTZ:
		text, ok, inRange = parseISOTimestamp(b, t.Kind == KindTimestampTZ)
	case KindTime, KindTimeTZ:
		text, ok = parseClock(b, t.Kind == KindTimeTZ)
		inRange = true
	}
	switch {
	case !ok:
		return "", t.mismatch(s, t.wants())
	case !inRange:
		return "", t.mismatch(s, "a value within PostgreSQL's range")
	}
	return text, nil
}

// scanISODate reads YYYY-MM-DD or, with astronomical years, ±YYYYYY-MM-DD.
func scanISODate(b []byte) (d date, rest []byte, ok bool) {
	sign := 1
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		if b[0] == '-' {
			sign = -1
		}
		b = b[1:]
	}
	d, rest, ok = scanDate(b)
	d.year *= sign
	return d, rest, ok && d.valid()
}

func parseISODate(b []byte) (text string, ok, inRange bool) {
	d, rest, ok := scanISODate(b)
	if !ok || len(rest) != 0 {
		return "", false, false
	}
	days := d.days()
	return string(appendEra(appendPGDate(nil, d), d)), true, days >= minDays && days < endDays
}

func parseISOTimestamp(b []byte, zoned bool) (text string, ok, inRange bool) {
	d, b, ok := scanISODate(b)
	if !ok || len(b) == 0 || b[0] != 'T' && b[0] != ' ' {
		return "", false, false
	}
	clock, b, ok := scanClock(b[1:])
	if ok && !zoned && string(b) == "Z" { // as of a column with a zone: there is none to convert to
		b = nil
	}
	east := 0
	if ok && zoned {
		east, b, ok = scanZone(b)
	}
	if !ok || len(b) != 0 {
		return "", false, false
	}
	if d.year > 300000 { // keeps the microseconds within 64 bits
		return "", true, false
	}
	text, inRange = formatTimestamp(d.days()*microsPerDay+clock-int64(east)*microsPerSecond, zoned)
	return text, true, inRange
}

// formatTimestamp gives PostgreSQL's text of an instant, and whether it is in range.
func formatTimestamp(micros int64, zoned bool) (string, bool) {
	if micros < minMicros || micros >= endMicros {
		return "", false
	}
	d, clock := splitMicros(micros)
	text := appendClock(append(appendPGDate(nil, d), ' '), clock)
	if zoned {
		text = append(text, "+00"...)
	}
	return string(appendEra(text, d)), true
}

// formatTime takes a Go time as PostgreSQL would keep it: to the microsecond.
func (t *Type) formatTime(at time.Time) (string, error) {
	seconds := at.Unix() - unixTo2000Sec
	const bound = endMicros / microsPerSecond
	if seconds > -bound && seconds < bound {
		if text, ok := formatTimestamp(seconds*microsPerSecond+int64(at.Nanosecond()/1000), true); ok {
			return text, nil
		}
	}
	return "", t.mismatch(at.Format(time.RFC3339), "a value within PostgreSQL's range")
}

func parseClock(b []byte, zoned bool) (string, bool) {
	_, rest, ok := scanClock(b)
	clock := b[:len(b)-len(rest)]
	if !ok || !zoned {
		return string(clock), ok && len(rest) == 0
	}
	east, rest, ok := scanZone(rest)
	sign := '+'
	if east < 0 {
		sign, east = '-', -east
	}
	text := fmt.Sprintf("%s%c%02d:%02d:%02d", clock, sign, east/3600, east/60%60, east%60)
	return text, ok && len(rest) == 0
}

// printable: PostgreSQL 14 reads hours into 32 bits.
func (v interval) printable() bool {
	const most = math.MaxInt32 * int64(microsPerHour)
	return v.micros <= most && v.micros >= -most
}

// formatInterval gives an ISO 8601 duration in a form that PostgreSQL reads
// without going through a double: seconds below a minute.
func formatInterval(v interval) string {
	b := strconv.AppendInt([]byte("P"), v.months, 10)
	b = strconv.AppendInt(append(b, 'M'), v.days, 10)
	b = append(b, "DT"...)
	b = strconv.AppendInt(b, v.micros/microsPerHour, 10)
	b = strconv.AppendInt(append(b, 'H'), v.micros%microsPerHour/microsPerMinute, 10)
	b = append(b, 'M')
	rest := v.micros % microsPerMinute
	if rest < 0 {
		b, rest = append(b, '-'), -rest
	}
	b = strconv.AppendInt(b, rest/microsPerSecond, 10)
	b = appendPadded(append(b, '.'), int(rest%microsPerSecond), 6)
	return string(append(b, 'S'))
}
