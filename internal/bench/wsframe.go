package bench

import (
	"encoding/binary"
	"errors"
)

// Opcodes of WebSocket frames (RFC 6455).
const (
	opText  = 0x1
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xA
)

const finalBit = 0x80

// cutFrame cuts the first WebSocket frame off what a server has sent; ok is false
// where it is not whole yet, which size says the length of where that is known.
func cutFrame(b []byte) (opcode byte, payload, rest []byte, size int, ok bool, err error) {
	if len(b) < 2 {
		return 0, nil, b, 0, false, nil
	}
	if b[0]&finalBit == 0 || b[1]&0x80 != 0 {
		return 0, nil, nil, 0, false, errors.New("a fragmented or masked frame from a server")
	}
	head, length := 2, int(b[1])
	switch length {
	case 126:
		if head = 4; len(b) >= head {
			length = int(binary.BigEndian.Uint16(b[2:]))
		}
	case 127:
		if head = 10; len(b) >= head {
			length = int(binary.BigEndian.Uint64(b[2:]))
		}
	}
	if len(b) < head {
		return 0, nil, b, 0, false, nil
	}
	size = head + length
	if len(b) < size {
		return 0, nil, b, size, false, nil
	}
	return b[0] & 0xF, b[head:size], b[size:], size, true, nil
}

// appendFrame appends a frame as a server sends it.
func appendFrame(dst, payload []byte) []byte {
	return append(appendHead(dst, opText, len(payload), 0), payload...)
}

// appendMasked appends a frame as a client sends it. The mask is zero: it is there
// against proxies, of which there are none here.
func appendMasked(dst []byte, opcode byte, payload []byte) []byte {
	dst = append(appendHead(dst, opcode, len(payload), 0x80), 0, 0, 0, 0)
	return append(dst, payload...)
}

func appendHead(dst []byte, opcode byte, length int, mask byte) []byte {
	dst = append(dst, finalBit|opcode)
	switch {
	case length < 126:
		return append(dst, mask|byte(length))
	case length < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, mask|126), uint16(length))
	}
	return binary.BigEndian.AppendUint64(append(dst, mask|127), uint64(length))
}
