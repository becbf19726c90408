package pgvalue

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
)

// AppendJSON appends the wire form of a value given in PostgreSQL's text
// format. docs/protocol.md has the table of types.
func (t *Type) AppendJSON(dst, text []byte) ([]byte, error) {
	switch t.Kind {
	case KindUUID, KindInt8, KindNumeric, KindTime, KindTimeTZ, KindInterval, KindNet:
		return appendPlainString(dst, text), nil
	case KindTimestampTZ, KindTimestamp:
		return t.appendTimestampJSON(dst, text)
	case KindBool:
		if len(text) == 1 && text[0] == 't' {
			return append(dst, "true"...), nil
		}
		return append(dst, "false"...), t.check(len(text) == 1 && text[0] == 'f', text)
	case KindInt, KindOID:
		return append(dst, text...), t.check(isInteger(text), text)
	case KindFloat4, KindFloat8:
		return t.appendFloatJSON(dst, text)
	case KindDate:
		return t.appendDateJSON(dst, text)
	case KindJSONB:
		return append(dst, text...), t.check(len(text) > 0, text)
	case KindJSON:
		return appendCompactJSON(dst, text), t.check(len(text) > 0, text)
	case KindBytea:
		return t.appendByteaJSON(dst, text)
	case KindArray:
		return t.appendArrayJSON(dst, text)
	}
	return appendJSONString(dst, text), nil
}

func isInteger(text []byte) bool {
	if len(text) > 0 && text[0] == '-' {
		text = text[1:]
	}
	for _, c := range text {
		if !isDigit(c) {
			return false
		}
	}
	return len(text) > 0
}

// appendFloatJSON passes the shortest text on: PostgreSQL's form of a finite
// float is a JSON number.
func (t *Type) appendFloatJSON(dst, text []byte) ([]byte, error) {
	switch string(text) {
	case "NaN", "Infinity", "-Infinity":
		return appendPlainString(dst, text), nil
	}
	for _, c := range text {
		if !isNumberByte(c) {
			return dst, t.unreadable(text)
		}
	}
	return append(dst, text...), t.check(len(text) > 0, text)
}

// appendTimestampJSON turns "2026-03-01 09:00:00+00" into
// "2026-03-01T09:00:00.000000Z". What is not of that shape (infinities, years
// beyond four digits, BC, another zone) takes the slow way.
func (t *Type) appendTimestampJSON(dst, text []byte) ([]byte, error) {
	zoned := t.Kind == KindTimestampTZ
	body := text
	if zoned {
		var utc bool
		if body, utc = bytes.CutSuffix(text, []byte("+00")); !utc {
			return t.appendOddTimestampJSON(dst, text)
		}
	}
	if len(body) < 19 || len(body) > 26 || len(body) == 20 || !shapedLikeTimestamp(body) {
		return t.appendOddTimestampJSON(dst, text)
	}
	dst = append(dst, '"')
	dst = append(dst, body[:10]...)
	dst = append(dst, 'T')
	dst = append(dst, body[11:]...)
	const full = "0000-00-00 00:00:00.000000"
	dst = append(dst, full[len(body):]...)
	if zoned {
		dst = append(dst, 'Z')
	}
	return append(dst, '"'), nil
}

// shapedLikeTimestamp checks 0000-00-00 00:00:00[.0...], of 19 octets or more.
func shapedLikeTimestamp(b []byte) bool {
	const shape = "0000-00-00 00:00:00.000000"
	for i, c := range b {
		if s := shape[i]; c != s && (s != '0' || !isDigit(c)) {
			return false
		}
	}
	return true
}

func (t *Type) appendOddTimestampJSON(dst, text []byte) ([]byte, error) {
	zoned := t.Kind == KindTimestampTZ
	if _, ok := scanInfinity(text); ok {
		return appendPlainString(dst, text), nil
	}
	micros, ok := scanPGTimestamp(text, zoned)
	if !ok {
		return dst, t.unreadable(text)
	}
	d, clock := splitMicros(micros)
	dst = appendISODate(append(dst, '"'), d)
	dst = appendClock(append(dst, 'T'), clock)
	if zoned {
		dst = append(dst, 'Z')
	}
	return append(dst, '"'), nil
}

func (t *Type) appendDateJSON(dst, text []byte) ([]byte, error) {
	if len(text) == 10 && text[4] == '-' && isDigit(text[0]) {
		return appendPlainString(dst, text), nil
	}
	if _, ok := scanInfinity(text); ok {
		return appendPlainString(dst, text), nil
	}
	days, ok := scanPGDate(text)
	if !ok {
		return dst, t.unreadable(text)
	}
	return append(appendISODate(append(dst, '"'), dateOf(days)), '"'), nil
}

// appendByteaJSON turns hex into base64, some octets at a time.
func (t *Type) appendByteaJSON(dst, text []byte) ([]byte, error) {
	if len(text) < 2 || text[0] != '\\' || text[1] != 'x' {
		return dst, t.unreadable(text)
	}
	dst = append(dst, '"')
	var buf [96]byte // a multiple of 3, so that only the end is padded
	for text = text[2:]; len(text) > 0; {
		n := min(len(text), 2*len(buf))
		m, err := hex.Decode(buf[:], text[:n])
		if err != nil {
			return dst, t.unreadable(text)
		}
		dst = base64.StdEncoding.AppendEncode(dst, buf[:m])
		text = text[n:]
	}
	return append(dst, '"'), nil
}

// appendArrayJSON nests as the dimensions do; lower bounds are not shown.
func (t *Type) appendArrayJSON(dst, text []byte) ([]byte, error) {
	r := t.readArray(text)
	for comma := false; ; {
		token, elem := r.next()
		if comma && token != arrayClose && token != arrayEnd {
			dst = append(dst, ',')
		}
		comma = token != arrayOpen
		switch token {
		case arrayEnd:
			return dst, nil
		case arrayBad:
			return dst, t.unreadable(text)
		case arrayOpen:
			dst = append(dst, '[')
		case arrayClose:
			dst = append(dst, ']')
		case arrayNull:
			dst = append(dst, "null"...)
		case arrayElem:
			var err error
			if dst, err = t.Elem.AppendJSON(dst, elem); err != nil {
				return dst, err
			}
		}
	}
}

// appendCompactJSON brings a json value, which keeps its author's white space,
// onto one line.
func appendCompactJSON(dst, text []byte) []byte {
	if bytes.IndexByte(text, '\n') < 0 && bytes.IndexByte(text, '\r') < 0 {
		return append(dst, text...)
	}
	for i := 0; i < len(text); {
		switch text[i] {
		case ' ', '\t', '\n', '\r':
			i++
		case '"':
			end := stringEnd(text, i+1)
			dst = append(dst, text[i:end]...)
			i = end
		default:
			dst = append(dst, text[i])
			i++
		}
	}
	return dst
}
