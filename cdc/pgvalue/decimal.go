package pgvalue

import (
	"bytes"
	"encoding/binary"
	"strconv"
)

// decimal is a scanned number: its value is 0.DIGITS x 10^exp. It aliases the
// text it was scanned from.
type decimal struct {
	class  decimalClass
	exp    int
	digits []byte // first to last significant digit; may hold the decimal point
	count  int    // of digits, without the point
}

// decimalClass orders numbers before their digits do.
type decimalClass byte

const (
	classNegativeInfinity decimalClass = iota
	classNegative
	classZero
	classPositive
	classInfinity
	classNaN
)

// PostgreSQL's bounds for numeric: digits before and after the point.
const (
	maxNumericExp   = 131072
	maxNumericScale = 16383
)

// scanDecimal reads [sign] digits [. digits] [e [sign] digits], or one of
// NaN, Infinity and -Infinity.
func scanDecimal(b []byte) (d decimal, ok bool) {
	switch string(b) {
	case "NaN":
		return decimal{class: classNaN}, true
	case "Infinity":
		return decimal{class: classInfinity}, true
	case "-Infinity":
		return decimal{class: classNegativeInfinity}, true
	}
	d.class = classPositive
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		if b[0] == '-' {
			d.class = classNegative
		}
		b = b[1:]
	}
	exp := 0
	if i := bytes.IndexAny(b, "eE"); i >= 0 {
		var err error
		if exp, err = strconv.Atoi(string(b[i+1:])); err != nil || exp > 1<<20 || exp < -1<<20 {
			return d, false
		}
		b = b[:i]
	}
	if !d.scanDigits(b) {
		return d, false
	}
	d.exp += exp
	if d.count == 0 {
		d.class, d.exp = classZero, 0
	}
	return d, true
}

// scanDigits finds the significant digits of an unsigned decimal without exponent.
func (d *decimal) scanDigits(b []byte) bool {
	first, last, point, seen := -1, -1, -1, 0
	firstSeen, lastSeen := 0, 0
	for i, c := range b {
		switch {
		case c == '.' && point < 0:
			point = seen
			continue
		case c < '0' || c > '9':
			return false
		case c != '0':
			if first < 0 {
				first, firstSeen = i, seen
			}
			last, lastSeen = i, seen
		}
		seen++
	}
	if seen == 0 {
		return false
	}
	if first < 0 {
		return true
	}
	if point < 0 {
		point = seen
	}
	d.digits = b[first : last+1]
	d.count = lastSeen - firstSeen + 1
	d.exp = point - firstSeen
	return true
}

// fitsNumeric reports whether PostgreSQL's numeric can hold the number.
func (d decimal) fitsNumeric() bool {
	return d.exp <= maxNumericExp && d.count-d.exp <= maxNumericScale
}

// appendKey appends the order-preserving form: class, exponent, then two
// digits an octet as 1..100, ended by 0; all but the class inverted for
// negative numbers.
func (d decimal) appendKey(dst []byte) []byte {
	dst = append(dst, byte(d.class))
	if d.class != classPositive && d.class != classNegative {
		return dst
	}
	start := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, uint32(int32(d.exp))^(1<<31))
	pair, half := byte(0), false
	for _, c := range d.digits {
		if c == '.' {
			continue
		}
		if half {
			dst = append(dst, pair+(c-'0')+1)
		} else {
			pair = (c - '0') * 10
		}
		half = !half
	}
	if half {
		dst = append(dst, pair+1)
	}
	dst = append(dst, 0)
	if d.class == classNegative {
		for i := start; i < len(dst); i++ {
			dst[i] = ^dst[i]
		}
	}
	return dst
}

// appendText appends the one text that all equal numbers share, such as 15e-1.
// PostgreSQL reads it as numeric.
func (d decimal) appendText(dst []byte) []byte {
	switch d.class {
	case classNaN:
		return append(dst, "NaN"...)
	case classInfinity:
		return append(dst, "Infinity"...)
	case classNegativeInfinity:
		return append(dst, "-Infinity"...)
	case classZero:
		return append(dst, '0')
	case classNegative:
		dst = append(dst, '-')
	}
	for _, c := range d.digits {
		if c != '.' {
			dst = append(dst, c)
		}
	}
	if e := d.exp - d.count; e != 0 {
		dst = append(dst, 'e')
		dst = strconv.AppendInt(dst, int64(e), 10)
	}
	return dst
}
