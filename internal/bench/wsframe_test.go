package bench

import (
	"bytes"
	"testing"
)

func TestFrames(t *testing.T) {
	for _, length := range []int{0, 1, 125, 126, 65535, 65536, 1 << 20} {
		payload := bytes.Repeat([]byte("x"), length)
		frame := appendFrame(nil, payload)
		whole := append(bytes.Clone(frame), "next"...)
		opcode, got, rest, size, ok, err := cutFrame(whole)
		if !ok || err != nil || opcode != opText || !bytes.Equal(got, payload) || string(rest) != "next" || size != len(frame) {
			t.Errorf("%d octets: opcode %d, %d octets, rest %q, size %d, %t, %v", length, opcode, len(got), rest, size, ok, err)
		}
		for _, part := range []int{0, 1, 3, len(frame) - 1} {
			if part >= len(frame) {
				continue
			}
			if _, _, rest, _, ok, err := cutFrame(frame[:part]); ok || err != nil || len(rest) != part {
				t.Errorf("%d octets of %d: %t, %v", part, len(frame), ok, err)
			}
		}
	}
	masked := appendMasked(nil, opText, []byte("hello"))
	if _, _, _, _, _, err := cutFrame(masked); err == nil {
		t.Error("a masked frame is taken from a server")
	}
}
