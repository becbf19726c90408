//go:build unix

package stream

import (
	"errors"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// rest waits until the client has said something or has gone. It takes a quarter of the
// stack that the library's reading does, which counts where thousands wait. again says that it
// was a ping or a pong, which the library would read on after.
func (t *webSocket) rest() (again bool) {
	if t.socket == nil || t.begun() || t.socket.Read(readable) != nil {
		return false
	}
	p := packets.Get().(*packet)
	defer packets.Put(p)
	_ = t.socket.Read(func(fd uintptr) bool {
		t.ahead.Lock()
		again = !t.closing && t.takeControl(p, int(fd))
		t.ahead.Unlock()
		return true
	})
	if !again {
		return false
	}
	if p.buf[0] == frameWhole|opcodePing {
		t.pinged(p.buf[maskedHead:])
	} else {
		t.hear()
	}
	return true
}

// begun reports whether the library has read on already.
func (t *webSocket) begun() bool {
	t.ahead.Lock()
	defer t.ahead.Unlock()
	return t.closing || t.early.Buffered() > 0
}

func readable(fd uintptr) bool {
	var one [1]byte
	_, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return !errors.Is(err, unix.EAGAIN)
}

// said reports whether the client has said something that nobody has read. It does not
// wait for who reads.
func (t *webSocket) said() (said bool) {
	if t.socket == nil {
		return false
	}
	_ = t.socket.Control(func(fd uintptr) {
		var one [1]byte
		n, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		said = err == nil && n > 0
	})
	return said
}

// maskedHead is the length of a control frame's head from a client: with four octets of mask.
const maskedHead = 6

// takeControl reads a ping or a pong that is there whole, and unmasks it. All else is the
// library's to judge.
func (t *webSocket) takeControl(p *packet, fd int) bool {
	const longest = maskedHead + 125
	if cap(p.buf) < longest {
		p.buf = make([]byte, longest)
	}
	b := p.buf[:longest]
	n, _, err := unix.Recvfrom(fd, b, unix.MSG_PEEK|unix.MSG_DONTWAIT)
	if err != nil || n < maskedHead || b[0] != frameWhole|opcodePing && b[0] != frameWhole|opcodePong {
		return false
	}
	length := maskedHead + int(b[1]&0x7F)
	if b[1]&0x80 == 0 || length > longest || n < length {
		return false
	}
	if n, err := unix.Read(fd, b[:length]); err != nil || n != length {
		return false // gone: the library's reading tells
	}
	for i := range length - maskedHead {
		b[maskedHead+i] ^= b[2+i%4]
	}
	p.buf = b[:length]
	return true
}

var packets = sync.Pool{New: func() any {
	p := new(packet)
	p.try = func(fd uintptr) bool {
		for len(p.left) > 0 {
			n, err := unix.Write(int(fd), p.left)
			switch {
			case errors.Is(err, unix.EINTR):
			case errors.Is(err, unix.EAGAIN):
				if p.turn != nil {
					p.turn.away()
					p.turn = nil
				}
				return false
			case err != nil:
				p.err = err
				return true
			default:
				p.left = p.left[n:]
			}
		}
		return true
	}
	return p
}}

// write writes a packet whole.
func (t *webSocket) write(p *packet) error {
	if t.socket == nil {
		return t.writeBlocking(p)
	}
	if err := t.socket.Write(p.try); err != nil {
		return err
	}
	return p.err
}

// socketOf is the socket under a connection; nil: there is another layer between.
func socketOf(conn any) syscall.RawConn {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}
