package bench

import (
	"bytes"
	"fmt"
	"strconv"
)

// take takes what has come, as far as it is whole, and keeps the rest.
func (s *swarm) take(c *client, b []byte) error {
	size := 0
	if c.phase == phaseUpgrading {
		head, rest, ok := bytes.Cut(b, []byte("\r\n\r\n"))
		if !ok {
			c.rest = grown(b, len(b)+4096)
			return nil
		}
		if status := statusOf(head); status != 101 {
			if s.refused == nil {
				return fmt.Errorf("the upgrade is refused: %s", b)
			}
			s.drop(c)
			s.refused(c, status)
			return nil
		}
		c.phase, b = phaseOpen, rest
		if err := s.write(c, s.protocol.opened(c)); err != nil {
			return err
		}
	}
	for len(b) > 0 {
		opcode, payload, rest, whole, ok, err := cutFrame(b)
		if err != nil {
			return err
		}
		if size = whole; !ok {
			break
		}
		b = rest
		switch opcode {
		case opText:
			if err := s.protocol.text(s, c, payload); err != nil {
				return err
			}
		case opPing:
			if err := s.write(c, appendMasked(nil, opPong, payload)); err != nil {
				return err
			}
		case opClose:
			return &goneError{fmt.Errorf("closed by the server: %q", payload)}
		}
		if c.phase != phaseOpen {
			return nil
		}
	}
	if len(b) > 0 {
		c.rest = grown(b, max(size, len(b)+512))
	}
	return nil
}

// grown copies b into memory for size octets, unless it lies in such.
func grown(b []byte, size int) []byte {
	if size > len(b) && cap(b) >= size {
		return b
	}
	return append(make([]byte, 0, size), b...)
}

func statusOf(head []byte) int {
	if len(head) < 12 {
		return 0
	}
	n, _ := strconv.Atoi(string(head[9:12])) // 0 is no status either
	return n
}
