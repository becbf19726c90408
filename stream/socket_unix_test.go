//go:build unix

package stream

import (
	"testing"

	"golang.org/x/sys/unix"
)

// A ping or pong is taken when it is there whole; of all else nothing is taken.
func TestTakeControl(t *testing.T) {
	ping := []byte{0x89, 0x83, 1, 2, 3, 4, 'a' ^ 1, 'b' ^ 2, 'c' ^ 3}
	for name, tc := range map[string]struct {
		there []byte
		taken int
	}{
		"Ping":       {ping, len(ping)},
		"Pong":       {append([]byte{0x8A}, ping[1:]...), len(ping)},
		"Followed":   {append(ping, 0x81, 0x80, 0, 0, 0, 0), len(ping)},
		"HeadOnly":   {ping[:6], 0},
		"Part":       {ping[:8], 0},
		"OneOctet":   {ping[:1], 0},
		"Text":       {append([]byte{0x81}, ping[1:]...), 0},
		"Unmasked":   {append([]byte{0x89, 0x03}, ping[2:]...), 0},
		"Fragmented": {append([]byte{0x09}, ping[1:]...), 0},
		"TooLong":    {append([]byte{0x89, 0x80 | 126}, make([]byte, 200)...), 0},
	} {
		t.Run(name, func(t *testing.T) {
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _, _ = unix.Close(pair[0]), unix.Close(pair[1]) }()
			if _, err := unix.Write(pair[1], tc.there); err != nil {
				t.Fatal(err)
			}
			p := new(packet)
			if taken := new(webSocket).takeControl(p, pair[0]); taken != (tc.taken > 0) {
				t.Errorf("taken: %t", taken)
			} else if taken && string(p.buf[maskedHead:]) != "abc" {
				t.Errorf("it carries %q", p.buf[maskedHead:])
			}
			left := make([]byte, 300)
			n, _, err := unix.Recvfrom(pair[0], left, unix.MSG_DONTWAIT)
			if err != nil && tc.taken < len(tc.there) || string(left[:max(n, 0)]) != string(tc.there[tc.taken:]) {
				t.Errorf("%x is left of %x, %v", left[:max(n, 0)], tc.there, err)
			}
		})
	}
}
