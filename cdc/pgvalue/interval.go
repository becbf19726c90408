package pgvalue

import (
	"encoding/binary"
	"math"
)

// interval is PostgreSQL's: months and days have no fixed length, but the
// comparison takes a month for 30 days and a day for 24 hours.
type interval struct {
	months, days, micros int64
}

// scanInterval reads an interval in IntervalStyle iso_8601, such as
// P1Y2M3DT4H5M6.789S, every part with its own sign.
func scanInterval(b []byte) (v interval, ok bool) {
	if len(b) < 3 || b[0] != 'P' {
		return v, false
	}
	b = b[1:]
	inTime := false
	for len(b) > 0 {
		if b[0] == 'T' && !inTime {
			if inTime, b = true, b[1:]; len(b) == 0 {
				return v, false
			}
		}
		n, fraction, unit, rest, ok := scanIntervalPart(b)
		if !ok || !v.add(n, fraction, unit, inTime) {
			return v, false
		}
		b = rest
	}
	return v, true
}

// scanIntervalPart reads a signed number and its unit. The fraction is in
// microseconds of a second and has the number's sign.
func scanIntervalPart(b []byte) (n, fraction int64, unit byte, rest []byte, ok bool) {
	sign := int64(1)
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		if b[0] == '-' {
			sign = -1
		}
		b = b[1:]
	}
	i := 0
	for ; i < len(b) && isDigit(b[i]); i++ {
		if i == 18 {
			return 0, 0, 0, nil, false
		}
		n = n*10 + int64(b[i]-'0')
	}
	if b = b[i:]; i == 0 || len(b) == 0 {
		return 0, 0, 0, nil, false
	}
	if b[0] == '.' {
		if fraction, b, ok = scanFraction(b[1:]); !ok || len(b) == 0 || b[0] != 'S' {
			return 0, 0, 0, nil, false
		}
	}
	return sign * n, sign * fraction, b[0], b[1:], true
}

// add adds one part; false for an unknown unit or one out of PostgreSQL's range.
func (v *interval) add(n, fraction int64, unit byte, inTime bool) bool {
	if inTime {
		scale := int64(0)
		switch unit {
		case 'H':
			scale = microsPerHour
		case 'M':
			scale = microsPerMinute
		case 'S':
			scale = microsPerSecond
		default:
			return false
		}
		return addMicros(&v.micros, n, scale, fraction)
	}
	switch unit {
	case 'Y':
		return addInt32(&v.months, n, 12)
	case 'M':
		return addInt32(&v.months, n, 1)
	case 'W':
		return addInt32(&v.days, n, 7)
	case 'D':
		return addInt32(&v.days, n, 1)
	}
	return false
}

// addMicros adds n*scale+fraction and refuses what is beyond 64 bits.
func addMicros(to *int64, n, scale, fraction int64) bool {
	part := n * scale
	if part/scale != n {
		return false
	}
	return addInt64(to, part) && addInt64(to, fraction)
}

func addInt64(to *int64, n int64) bool {
	sum := *to + n
	if (sum > *to) != (n > 0) && n != 0 {
		return false
	}
	*to = sum
	return true
}

// addInt32 adds n*scale to a count that PostgreSQL keeps in 32 bits.
func addInt32(to *int64, n, scale int64) bool {
	if n > math.MaxInt32 || n < math.MinInt32 {
		return false
	}
	*to += n * scale
	return *to <= math.MaxInt32 && *to >= math.MinInt32
}

// appendKey appends the span as days and the microseconds of the last day.
func (v interval) appendKey(dst []byte) []byte {
	days := floorDiv(v.micros, microsPerDay)
	rest := v.micros - days*microsPerDay
	return appendSpanKey(dst, v.months*30+v.days+days, rest)
}

func appendSpanKey(dst []byte, days, micros int64) []byte {
	dst = appendInt64Key(dst, days)
	return binary.BigEndian.AppendUint64(dst, uint64(micros))
}
