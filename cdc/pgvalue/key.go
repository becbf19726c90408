package pgvalue

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"unsafe"
)

// AppendKey appends the canonical key of a value given in PostgreSQL's text
// format. Keys of one type are equal exactly where PostgreSQL's = is true, and
// bytes.Compare orders them as PostgreSQL orders the values (text: under
// COLLATE "C"). Keys of different types don't compare.
func (t *Type) AppendKey(dst, text []byte) ([]byte, error) {
	switch t.Kind {
	case KindText, KindEnum, KindUUID, KindBytea, KindBPChar:
		key, err := t.textKey(text)
		return append(dst, key...), err
	case KindJSONB:
		dst, ok := appendJSONBKey(dst, text)
		return dst, t.check(ok, text)
	case KindArray:
		return t.appendArrayKey(dst, text)
	case KindNet:
		return t.appendNetKey(dst, text)
	case KindDate, KindTimestamp, KindTimestampTZ, KindTime, KindTimeTZ, KindInterval:
		return t.appendTimeKey(dst, text)
	}
	return t.appendNumberKey(dst, text)
}

// Spelt reports whether equal values may be printed in several ways: 1.0 and 1.00.
func (t *Type) Spelt() bool {
	switch t.Kind {
	case KindFloat4, KindFloat8, KindNumeric, KindInterval, KindJSONB, KindArray, KindBPChar:
		return true
	}
	return false
}

// Key is AppendKey without the copy where the key is the text itself or a part
// of it. The key aliases text or buf; buf is scratch, perhaps grown, for the
// next call.
func (t *Type) Key(scratch, text []byte) (key, buf []byte, err error) {
	switch t.Kind {
	case KindText, KindEnum, KindUUID, KindBytea, KindBPChar:
		key, err = t.textKey(text)
		return key, scratch, err
	}
	buf, err = t.AppendKey(scratch[:0], text)
	return buf, buf, err
}

// textKey gives the key of the kinds whose text compares as it is: the digits
// of uuid and bytea are lower-case and of fixed places.
func (t *Type) textKey(text []byte) ([]byte, error) {
	switch t.Kind {
	case KindBPChar:
		return bytes.TrimRight(text, " "), nil
	case KindBytea:
		if len(text) < 2 || len(text)%2 != 0 || text[0] != '\\' || text[1] != 'x' {
			return nil, t.unreadable(text)
		}
		return text[2:], nil
	case KindUUID:
		if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
			return nil, t.unreadable(text)
		}
	}
	return text, nil
}

func (t *Type) appendNumberKey(dst, text []byte) ([]byte, error) {
	switch t.Kind {
	case KindBool:
		ok := len(text) == 1 && (text[0] == 't' || text[0] == 'f')
		if ok && text[0] == 't' {
			return append(dst, 1), nil
		}
		return append(dst, 0), t.check(ok, text)
	case KindInt, KindInt8, KindOID:
		v, err := strconv.ParseInt(viewString(text), 10, 64)
		return appendInt64Key(dst, v), t.check(err == nil, text)
	case KindFloat4:
		v, err := strconv.ParseFloat(viewString(text), 32)
		return appendFloat4Key(dst, float32(v)), t.check(err == nil, text)
	case KindFloat8:
		v, err := strconv.ParseFloat(viewString(text), 64)
		return appendFloat8Key(dst, v), t.check(err == nil, text)
	case KindNumeric:
		d, ok := scanDecimal(text)
		return d.appendKey(dst), t.check(ok, text)
	}
	return dst, t.CheckEquality()
}

func (t *Type) appendTimeKey(dst, text []byte) ([]byte, error) {
	var v int64
	var ok bool
	switch t.Kind {
	case KindDate:
		v, ok = scanPGDate(text)
	case KindTimestamp:
		v, ok = scanPGTimestamp(text, false)
	case KindTimestampTZ:
		v, ok = scanPGTimestamp(text, true)
	case KindTime:
		var rest []byte
		v, rest, ok = scanClock(text)
		ok = ok && len(rest) == 0
	case KindTimeTZ:
		return t.appendTimeTZKey(dst, text)
	case KindInterval:
		return t.appendIntervalKey(dst, text)
	}
	return appendInt64Key(dst, v), t.check(ok, text)
}

// appendTimeTZKey orders by the instant, then by the zone, west last.
func (t *Type) appendTimeTZKey(dst, text []byte) ([]byte, error) {
	v, rest, ok := scanClock(text)
	if !ok {
		return dst, t.unreadable(text)
	}
	east, rest, ok := scanZone(rest)
	dst = appendInt64Key(dst, v-int64(east)*microsPerSecond)
	return appendInt64Key(dst, int64(-east)), t.check(ok && len(rest) == 0, text)
}

func (t *Type) appendIntervalKey(dst, text []byte) ([]byte, error) {
	if v, ok := scanInfinity(text); ok { // PostgreSQL 17 and later
		return appendSpanKey(dst, v, 0), nil
	}
	v, ok := scanInterval(text)
	return v.appendKey(dst), t.check(ok, text)
}

// appendNetKey appends family, address and mask; a MAC address is its own key.
func (t *Type) appendNetKey(dst, text []byte) ([]byte, error) {
	if t.Base == oidMacaddr || t.Base == oidMacaddr8 {
		return append(dst, text...), nil
	}
	addr, bits, ok := scanNet(viewString(text))
	if !ok {
		return dst, t.unreadable(text)
	}
	dst = append(dst, byte(addr.BitLen()/8), byte(bits))
	a := addr.As16()
	return append(dst, a[:]...), nil
}

func scanNet(s string) (addr netip.Addr, bits int, ok bool) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Addr(), p.Bits(), true
	}
	a, err := netip.ParseAddr(s)
	return a, a.BitLen(), err == nil && a.Zone() == ""
}

func appendInt64Key(dst []byte, v int64) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(v)^(1<<63))
}

// appendFloat8Key takes -0 for 0 and every NaN for the greatest value.
func appendFloat8Key(dst []byte, v float64) []byte {
	if math.IsNaN(v) {
		return binary.BigEndian.AppendUint64(dst, math.MaxUint64)
	}
	bits := math.Float64bits(v + 0) // -0 + 0 = 0
	if bits>>63 != 0 {
		bits = ^bits
	} else {
		bits |= 1 << 63
	}
	return binary.BigEndian.AppendUint64(dst, bits)
}

func appendFloat4Key(dst []byte, v float32) []byte {
	if v != v {
		return binary.BigEndian.AppendUint32(dst, math.MaxUint32)
	}
	bits := math.Float32bits(v + 0)
	if bits>>31 != 0 {
		bits = ^bits
	} else {
		bits |= 1 << 31
	}
	return binary.BigEndian.AppendUint32(dst, bits)
}

// check is nil when ok, else the error of unreadable text.
func (t *Type) check(ok bool, text []byte) error {
	if ok {
		return nil
	}
	return t.unreadable(text)
}

// unreadable is the error for text that is not PostgreSQL's output of the
// type: a session with other settings, or a type that changed.
func (t *Type) unreadable(text []byte) error {
	const most = 40
	if len(text) > most {
		return fmt.Errorf("read %s value %q...: not in PostgreSQL's text format", t.Name, text[:most])
	}
	return fmt.Errorf("read %s value %q: not in PostgreSQL's text format", t.Name, text)
}

// viewString lends b to a parser that keeps nothing of a string; its error,
// which may, is dropped by the callers here.
func viewString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
