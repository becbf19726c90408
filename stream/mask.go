package stream

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/walwire/walwire/mapping/predicate"
)

// source gives a row's columns as PostgreSQL's text, by ordinal of the table.
// The text is valid until the next row.
type source interface {
	Column(ordinal int) (text []byte, null bool)
}

// mask is a set of visible columns of a table, key columns first: a row's JSON
// begins with its key, so a removal can be cut from the row it removes.
type mask struct {
	id       string // canonical
	verbatim bool   // values as PostgreSQL's text in JSON strings: for walwire's own reading
	columns  []maskColumn
	keys     int    // so many of columns are the key
	head     []byte // see view.head; made by the first who needs it, of one company
}

type maskColumn struct {
	predicate.Column
	ordinal int
	name    []byte // `"name":`, with the comma or brace before it
}

// newMask orders columns (ordinals) behind the key.
func newMask(table []predicate.Column, key, columns []int, verbatim bool) *mask {
	m := &mask{keys: len(key), verbatim: verbatim}
	ordinals := append([]int(nil), key...)
	seen := make(map[int]bool, len(columns))
	for _, k := range key {
		seen[k] = true
	}
	for _, c := range columns {
		if !seen[c] {
			seen[c] = true
			ordinals = append(ordinals, c)
		}
	}
	var id strings.Builder
	for i, o := range ordinals {
		before := byte(',')
		if i == 0 {
			before = '{'
		}
		name := append([]byte{before}, appendString(nil, table[o].Name)...)
		m.columns = append(m.columns, maskColumn{Column: table[o], ordinal: o, name: append(name, ':')})
		id.WriteString(strconv.Itoa(o))
		id.WriteByte(',')
	}
	if verbatim {
		id.WriteString("verbatim")
	}
	m.id = id.String()
	return m
}

// encoding is a row's JSON under one mask; its first key octets and a brace are
// the key's JSON.
type encoding struct {
	json []byte
	key  int
}

// keyJSON is the row's key alone, as a removal carries it.
func (e encoding) keyJSON() []byte {
	return append(append(make([]byte, 0, e.key+1), e.json[:e.key]...), '}')
}

// append encodes a row behind dst.
func (m *mask) append(dst []byte, row source) ([]byte, int, error) {
	start, keyEnd := len(dst), 0
	var err error
	for i := range m.columns {
		c := &m.columns[i]
		if i == m.keys {
			keyEnd = len(dst) - start
		}
		dst = append(dst, c.name...)
		text, null := row.Column(c.ordinal)
		if null {
			dst = append(dst, "null"...)
			continue
		}
		if m.verbatim {
			dst = appendString(dst, string(text))
			continue
		}
		if dst, err = c.Type.AppendJSON(dst, text); err != nil {
			return dst, 0, fmt.Errorf("encode column %s: %w", c.Name, err)
		}
	}
	if m.keys == len(m.columns) {
		keyEnd = len(dst) - start
	}
	return append(dst, '}'), keyEnd, nil
}

// appendString appends s as a JSON string.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			dst = append(dst, string(r)...)
		}
	}
	return append(dst, '"')
}
