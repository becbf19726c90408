package pgvalue

// appendISODate appends a date for the wire: 2026-03-01, or with a sign and at
// least six digits where the year is not 0..9999 (ECMAScript's expanded years,
// astronomical: 44 BC is -000043).
func appendISODate(dst []byte, d date) []byte {
	switch {
	case d.year < 0:
		dst = appendPadded(append(dst, '-'), -d.year, 6)
	case d.year > 9999:
		dst = appendPadded(append(dst, '+'), d.year, 6)
	default:
		dst = appendPadded(dst, d.year, 4)
	}
	return appendMonthDay(dst, d)
}

// appendPGDate appends a date as PostgreSQL reads it, without its era.
func appendPGDate(dst []byte, d date) []byte {
	year := d.year
	if year <= 0 {
		year = 1 - year
	}
	return appendMonthDay(appendPadded(dst, year, 4), d)
}

// appendEra follows a date or timestamp made of appendPGDate.
func appendEra(dst []byte, d date) []byte {
	if d.year <= 0 {
		dst = append(dst, " BC"...)
	}
	return dst
}

func appendMonthDay(dst []byte, d date) []byte {
	dst = appendPadded(append(dst, '-'), d.month, 2)
	return appendPadded(append(dst, '-'), d.day, 2)
}

// appendClock appends HH:MM:SS.ffffff.
func appendClock(dst []byte, micros int64) []byte {
	seconds := int(micros / microsPerSecond)
	dst = appendPadded(dst, seconds/3600, 2)
	dst = appendPadded(append(dst, ':'), seconds/60%60, 2)
	dst = appendPadded(append(dst, ':'), seconds%60, 2)
	return appendPadded(append(dst, '.'), int(micros%microsPerSecond), 6)
}

// appendPadded appends a non-negative number with leading zeros.
func appendPadded(dst []byte, n, width int) []byte {
	var buf [20]byte
	i := len(buf)
	for ; n > 0 || width > 0; width-- {
		i--
		buf[i] = byte('0' + n%10)
		n /= 10
	}
	return append(dst, buf[i:]...)
}

// splitMicros parts an instant into its day and the microseconds within it.
func splitMicros(micros int64) (date, int64) {
	days := floorDiv(micros, microsPerDay)
	return dateOf(days), micros - days*microsPerDay
}
