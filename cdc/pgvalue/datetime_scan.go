package pgvalue

import (
	"bytes"
	"math"
)

// The infinities of dates and timestamps, beyond every finite value.
const (
	timeInfinity         = math.MaxInt64
	timeNegativeInfinity = math.MinInt64
)

// scanInfinity reads PostgreSQL's infinite dates and timestamps.
func scanInfinity(b []byte) (v int64, ok bool) {
	switch string(b) {
	case "infinity":
		return timeInfinity, true
	case "-infinity":
		return timeNegativeInfinity, true
	}
	return 0, false
}

// scanPGDate reads PostgreSQL's ISO output of a date into days.
func scanPGDate(b []byte) (days int64, ok bool) {
	if v, ok := scanInfinity(b); ok {
		return v, true
	}
	b, bc := bytes.CutSuffix(b, []byte(" BC"))
	d, rest, ok := scanDate(b)
	if bc {
		d.year = 1 - d.year
	}
	if !ok || len(rest) != 0 || !d.valid() {
		return 0, false
	}
	return d.days(), true
}

// scanPGTimestamp reads PostgreSQL's ISO output of a timestamp, with a zone
// when zoned, into microseconds (UTC when zoned).
func scanPGTimestamp(b []byte, zoned bool) (micros int64, ok bool) {
	if v, ok := scanInfinity(b); ok {
		return v, true
	}
	b, bc := bytes.CutSuffix(b, []byte(" BC"))
	d, b, ok := scanDate(b)
	if bc {
		d.year = 1 - d.year
	}
	if !ok || len(b) == 0 || b[0] != ' ' || !d.valid() {
		return 0, false
	}
	clock, b, ok := scanClock(b[1:])
	if !ok {
		return 0, false
	}
	east := 0
	if zoned {
		if east, b, ok = scanZone(b); !ok {
			return 0, false
		}
	}
	return d.days()*microsPerDay + clock - int64(east)*microsPerSecond, len(b) == 0
}

// scanDate reads YYYY-MM-DD, the year with four digits or more.
func scanDate(b []byte) (d date, rest []byte, ok bool) {
	i := 0
	for i < len(b) && i < 8 && isDigit(b[i]) {
		d.year = d.year*10 + int(b[i]-'0')
		i++
	}
	b = b[i:]
	if i < 4 || len(b) < 6 || b[0] != '-' || b[3] != '-' {
		return d, b, false
	}
	var okMonth, okDay bool
	d.month, okMonth = twoDigits(b[1:])
	d.day, okDay = twoDigits(b[4:])
	return d, b[6:], okMonth && okDay
}

// scanClock reads HH:MM[:SS[.ffffff]] up to 24:00:00, in microseconds.
func scanClock(b []byte) (micros int64, rest []byte, ok bool) {
	if len(b) < 5 || b[2] != ':' {
		return 0, b, false
	}
	hour, okHour := twoDigits(b)
	minute, okMinute := twoDigits(b[3:])
	b = b[5:]
	second, okSecond := 0, true
	fraction := int64(0)
	if len(b) >= 3 && b[0] == ':' {
		second, okSecond = twoDigits(b[1:])
		b = b[3:]
		if len(b) > 0 && b[0] == '.' {
			var okFraction bool
			if fraction, b, okFraction = scanFraction(b[1:]); !okFraction {
				return 0, b, false
			}
		}
	}
	if !okHour || !okMinute || !okSecond || minute > 59 || second > 59 {
		return 0, b, false
	}
	micros = int64(hour)*microsPerHour + int64(minute)*microsPerMinute + int64(second)*microsPerSecond + fraction
	return micros, b, micros <= microsPerDay
}

// scanFraction reads the decimals of a second: at least one, and none beyond
// the microsecond but zeros.
func scanFraction(b []byte) (micros int64, rest []byte, ok bool) {
	i, scale := 0, int64(microsPerSecond/10)
	for ; i < len(b) && isDigit(b[i]); i++ {
		if scale == 0 && b[i] != '0' {
			return 0, b, false
		}
		micros += int64(b[i]-'0') * scale
		scale /= 10
	}
	return micros, b[i:], i > 0
}

// scanZone reads Z or ±HH[[:]MM[:SS]] into seconds east of UTC.
func scanZone(b []byte) (east int, rest []byte, ok bool) {
	if len(b) > 0 && b[0] == 'Z' {
		return 0, b[1:], true
	}
	if len(b) < 3 || b[0] != '+' && b[0] != '-' {
		return 0, b, false
	}
	sign := 1
	if b[0] == '-' {
		sign = -1
	}
	hours, ok := twoDigits(b[1:])
	east, b = hours*3600, b[3:]
	for unit := 60; ok && unit > 0 && len(b) > 0; unit /= 60 {
		if b[0] == ':' {
			b = b[1:]
		}
		var n int
		n, ok = twoDigits(b)
		if !ok || n > 59 {
			return 0, b, false
		}
		east, b = east+n*unit, b[2:]
	}
	return sign * east, b, ok && east < 16*3600
}

func isDigit(c byte) bool { return c-'0' <= 9 }

func twoDigits(b []byte) (int, bool) {
	if len(b) < 2 || !isDigit(b[0]) || !isDigit(b[1]) {
		return 0, false
	}
	return int(b[0]-'0')*10 + int(b[1]-'0'), true
}
