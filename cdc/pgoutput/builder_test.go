package pgoutput_test

import "encoding/binary"

// message builds the bytes of a message.
type message struct{ src []byte }

func newMessage(kind byte) *message { return &message{src: []byte{kind}} }

func (m *message) byte(b ...byte) *message {
	m.src = append(m.src, b...)
	return m
}

func (m *message) uint16(n int) *message {
	m.src = binary.BigEndian.AppendUint16(m.src, uint16(n))
	return m
}

func (m *message) uint32(n int64) *message {
	m.src = binary.BigEndian.AppendUint32(m.src, uint32(n))
	return m
}

func (m *message) uint64(n uint64) *message {
	m.src = binary.BigEndian.AppendUint64(m.src, n)
	return m
}

func (m *message) string(s string) *message { return m.byte([]byte(s)...).byte(0) }

func (m *message) block(s string) *message {
	return m.uint32(int64(len(s))).byte([]byte(s)...)
}

// unchanged stands for a column that is not sent.
type unchanged struct{}

// tuple adds a tuple of strings (text), []byte (binary), nil or unchanged.
func (m *message) tuple(kind byte, columns ...any) *message {
	m.byte(kind).uint16(len(columns))
	for _, c := range columns {
		switch c := c.(type) {
		case nil:
			m.byte('n')
		case unchanged:
			m.byte('u')
		case []byte:
			m.byte('b').block(string(c))
		case string:
			m.byte('t').block(c)
		}
	}
	return m
}
