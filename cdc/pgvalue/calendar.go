package pgvalue

// Instants are counted as PostgreSQL does: microseconds, or days, since
// 2000-01-01 in the proleptic Gregorian calendar. Years are astronomical:
// 1 BC is year 0, 2 BC is year -1.

const (
	microsPerSecond = 1_000_000
	microsPerMinute = 60 * microsPerSecond
	microsPerHour   = 60 * microsPerMinute
	microsPerDay    = 24 * microsPerHour

	daysTo2000 = 730425 // from 0000-03-01, where the algorithm below starts its years
)

// PostgreSQL's range of dates and timestamps: from 4714-11-24 BC (Julian day 0)
// to before the end of year 5874897 (dates) and 294276 (timestamps).
const (
	minDays       = -2451545
	endDays       = 2145031949
	minMicros     = -211813488000000000
	endMicros     = 9223371331200000000
	unixTo2000Sec = 946684800
)

// date is a day of the calendar.
type date struct{ year, month, day int }

func (d date) valid() bool {
	return d.month >= 1 && d.month <= 12 && d.day >= 1 && d.day <= daysIn(d.year, d.month)
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// days counts from 2000-01-01. Years begin in March so that the leap day is
// the last of its year.
func (d date) days() int64 {
	y, m := int64(d.year), int64(d.month)
	if m <= 2 {
		y--
		m += 12
	}
	era := floorDiv(y, 400)
	yearOfEra := y - era*400
	dayOfYear := (153*(m-3)+2)/5 + int64(d.day) - 1
	return era*146097 + yearOfEra*365 + yearOfEra/4 - yearOfEra/100 + dayOfYear - daysTo2000
}

// dateOf is the inverse of days.
func dateOf(days int64) date {
	days += daysTo2000
	era := floorDiv(days, 146097)
	dayOfEra := days - era*146097
	yearOfEra := (dayOfEra - dayOfEra/1460 + dayOfEra/36524 - dayOfEra/146096) / 365
	dayOfYear := dayOfEra - (365*yearOfEra + yearOfEra/4 - yearOfEra/100)
	mp := (5*dayOfYear + 2) / 153
	d := date{year: int(yearOfEra + era*400), month: int(mp) + 3, day: int(dayOfYear-(153*mp+2)/5) + 1}
	if d.month > 12 {
		d.month -= 12
		d.year++
	}
	return d
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
