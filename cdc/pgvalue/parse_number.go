package pgvalue

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// numberText gives the text of a number as encoding/json, a claim or CEL has it.
func numberText(v any) (string, bool) {
	switch n := v.(type) {
	case json.Number:
		return string(n), true
	case float64:
		switch {
		case math.IsInf(n, 1):
			return "Infinity", true
		case math.IsInf(n, -1):
			return "-Infinity", true
		}
		return strconv.FormatFloat(n, 'g', -1, 64), true
	case int:
		return strconv.Itoa(n), true
	case int32:
		return strconv.FormatInt(int64(n), 10), true
	case int64:
		return strconv.FormatInt(n, 10), true
	case uint64:
		return strconv.FormatUint(n, 10), true
	}
	return "", false
}

// parseInteger takes whole numbers within the type's range, also as strings: that is
// int8's form on the wire, and any key's where it is part of a path.
func (t *Type) parseInteger(v any) (string, error) {
	s, ok := numberText(v)
	if !ok {
		s, ok = v.(string)
	}
	low, high := t.integerRange()
	want := "a whole number from " + strconv.FormatInt(low, 10) + " to " + strconv.FormatInt(high, 10) + " (a number or a string)"
	if !ok {
		return "", t.mismatch(v, want)
	}
	n, ok := scanWhole(s)
	if !ok || n < low || n > high {
		return "", t.mismatch(v, want)
	}
	return strconv.FormatInt(n, 10), nil
}

func (t *Type) integerRange() (low, high int64) {
	switch {
	case t.Kind == KindOID:
		return 0, math.MaxUint32
	case t.Kind == KindInt8:
		return math.MinInt64, math.MaxInt64
	case t.Base == oidInt2:
		return math.MinInt16, math.MaxInt16
	}
	return math.MinInt32, math.MaxInt32
}

// scanWhole reads a whole number in any decimal form: 7, 7.0, 7e0.
func scanWhole(s string) (int64, bool) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, true
	}
	d, ok := scanDecimal([]byte(s))
	if !ok || d.class == classZero {
		return 0, ok
	}
	if d.class != classPositive && d.class != classNegative || d.exp > 19 || d.count > d.exp {
		return 0, false
	}
	digits := make([]byte, 0, 20)
	if d.class == classNegative {
		digits = append(digits, '-')
	}
	for _, c := range d.digits {
		if c != '.' {
			digits = append(digits, c)
		}
	}
	for zeros := d.exp - d.count; zeros > 0; zeros-- {
		digits = append(digits, '0')
	}
	n, err := strconv.ParseInt(string(digits), 10, 64)
	return n, err == nil
}

// parseFloat takes numbers and the names of the values that JSON has no number
// for. The text is that of the rounded value, which PostgreSQL reads as itself.
func (t *Type) parseFloat(v any) (string, error) {
	const want = `a number, "NaN", "Infinity" or "-Infinity"`
	s, ok := numberText(v)
	if !ok {
		if s, ok = v.(string); !ok || s != "NaN" && s != "Infinity" && s != "-Infinity" {
			return "", t.mismatch(v, want)
		}
	}
	if d, ok := scanDecimal([]byte(s)); !ok || d.class == classNaN || d.class == classInfinity || d.class == classNegativeInfinity {
		if !ok {
			return "", t.mismatch(v, want)
		}
		return s, nil
	}
	bits := 64
	if t.Kind == KindFloat4 {
		bits = 32
	}
	f, err := strconv.ParseFloat(s, bits)
	if err != nil {
		return "", t.mismatch(v, "a number within its range")
	}
	return strconv.FormatFloat(f, 'g', -1, bits), nil
}

// parseNumeric takes numbers and decimal strings.
func (t *Type) parseNumeric(v any) (string, error) {
	s, ok := numberText(v)
	if !ok {
		s, ok = v.(string)
	}
	d, scanned := scanDecimal([]byte(s))
	if !ok || !scanned {
		return "", t.mismatch(v, `a number or a decimal string such as "12.50"`)
	}
	if !d.fitsNumeric() {
		return "", t.mismatch(v, "a number within its range")
	}
	const plain = 64 // octets; longer ones, and those with an exponent, take the canonical form
	if len(s) <= plain && !strings.ContainsAny(s, "eE+") {
		return s, nil
	}
	return string(d.appendText(nil)), nil
}
