package pgvalue

import (
	"bytes"
	"encoding/binary"
)

// arrayToken is what an arrayReader finds.
type arrayToken byte

const (
	arrayEnd arrayToken = iota
	arrayBad
	arrayOpen
	arrayClose
	arrayNull
	arrayElem
)

// arrayReader walks PostgreSQL's text of an array, such as {1,NULL,"a\"b"}.
type arrayReader struct {
	rest    []byte
	bounds  []byte // "[0:1]" of "[0:1]={a,b}"; empty when every lower bound is 1
	delim   byte
	depth   int
	last    arrayToken // zero at the start
	scratch []byte     // holds an element that had escapes; nil before the first
}

func (t *Type) readArray(text []byte) arrayReader {
	r := arrayReader{rest: text, delim: t.delim}
	if r.delim == 0 {
		r.delim = ','
	}
	if len(text) > 0 && text[0] == '[' {
		if i := bytes.IndexByte(text, '='); i > 0 {
			r.bounds, r.rest = text[:i], text[i+1:]
		}
	}
	return r
}

// next gives the next token and, for arrayElem, its text, valid until the
// following call.
func (r *arrayReader) next() (arrayToken, []byte) {
	if r.depth == 0 && r.last != 0 {
		if len(r.rest) == 0 {
			return arrayEnd, nil
		}
		return arrayBad, nil
	}
	token, elem := r.scan()
	switch token {
	case arrayOpen:
		r.depth++
	case arrayClose:
		r.depth--
	default:
		if r.depth == 0 {
			return arrayBad, nil
		}
	}
	r.last = token
	return token, elem
}

// scan takes the delimiter that must stand between two values, and the token.
func (r *arrayReader) scan() (arrayToken, []byte) {
	if len(r.rest) == 0 {
		return arrayBad, nil
	}
	first := r.last == 0 || r.last == arrayOpen
	if r.rest[0] == '}' && r.last != 0 {
		r.rest = r.rest[1:]
		return arrayClose, nil
	}
	if !first {
		if r.rest[0] != r.delim || len(r.rest) == 1 {
			return arrayBad, nil
		}
		r.rest = r.rest[1:]
	}
	switch r.rest[0] {
	case '{':
		r.rest = r.rest[1:]
		return arrayOpen, nil
	case '"':
		return r.quoted()
	}
	return r.bare()
}

func (r *arrayReader) bare() (arrayToken, []byte) {
	i := 0
	for i < len(r.rest) && r.rest[i] != r.delim && r.rest[i] != '}' {
		i++
	}
	elem := r.rest[:i]
	r.rest = r.rest[i:]
	switch {
	case i == 0 || len(r.rest) == 0:
		return arrayBad, nil
	case string(elem) == "NULL":
		return arrayNull, nil
	}
	return arrayElem, elem
}

func (r *arrayReader) quoted() (arrayToken, []byte) {
	body := r.rest[1:]
	i := bytes.IndexAny(body, `"\`)
	if i >= 0 && body[i] == '"' {
		r.rest = body[i+1:]
		return arrayElem, body[:i]
	}
	r.scratch = r.scratch[:0]
	for i = 0; i < len(body); i++ {
		switch body[i] {
		case '"':
			r.rest = body[i+1:]
			return arrayElem, r.scratch
		case '\\':
			if i++; i == len(body) {
				return arrayBad, nil
			}
		}
		r.scratch = append(r.scratch, body[i])
	}
	return arrayBad, nil
}

// appendArrayKey appends the lower bounds where they are not 1, the nesting and
// the elements, each with its length: two arrays are equal when all of these are.
func (t *Type) appendArrayKey(dst, text []byte) ([]byte, error) {
	r := t.readArray(text)
	dst = append(dst, r.bounds...)
	for {
		token, elem := r.next()
		switch token {
		case arrayEnd:
			return dst, nil
		case arrayBad:
			return dst, t.unreadable(text)
		}
		dst = append(dst, byte(token))
		if token != arrayElem {
			continue
		}
		start := len(dst)
		dst = append(dst, 0, 0, 0, 0)
		var err error
		if dst, err = t.Elem.AppendKey(dst, elem); err != nil {
			return dst, err
		}
		binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	}
}

// AppendElementKeys appends the key of every element of an array's text to
// keys, in order and across dimensions, without the NULL elements. The keys lie
// one after another in buf; both are scratch, perhaps grown, for the next call.
func (t *Type) AppendElementKeys(keys [][]byte, buf, text []byte) ([][]byte, []byte, error) {
	if t.Kind != KindArray {
		return keys, buf, t.CheckContains()
	}
	for r := t.readArray(text); ; {
		token, elem := r.next()
		switch token {
		case arrayEnd:
			return keys, buf, nil
		case arrayBad:
			return keys, buf, t.unreadable(text)
		case arrayElem:
			start := len(buf)
			var err error
			if buf, err = t.Elem.AppendKey(buf, elem); err != nil {
				return keys, buf, err
			}
			keys = append(keys, buf[start:len(buf):len(buf)])
		}
	}
}

// appendQuotedElement appends a value as an element of an array's text.
func appendQuotedElement(dst []byte, text string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(text); i++ {
		if text[i] == '"' || text[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, text[i])
	}
	return append(dst, '"')
}
