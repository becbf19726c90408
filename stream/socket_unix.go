//go:build unix

package stream

import (
	"errors"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// rest waits until the client has said something or has gone. It takes a quarter of the
// stack that the library's reading does, which counts where thousands wait.
func (t *webSocket) rest() {
	if t.socket != nil && t.early.Buffered() == 0 {
		_ = t.socket.Read(readable) // the read that follows tells
	}
}

func readable(fd uintptr) bool {
	var one [1]byte
	_, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return !errors.Is(err, unix.EAGAIN)
}

var packets = sync.Pool{New: func() any {
	p := new(packet)
	p.try = func(fd uintptr) bool {
		p.n, p.err = unix.Write(int(fd), p.buf)
		return true
	}
	return p
}}

// try writes what the socket takes at once, nothing where that can't be told.
func (t *webSocket) try(p *packet) (n int, err error) {
	if t.socket == nil {
		return 0, nil
	}
	if err := t.socket.Write(p.try); err != nil {
		return 0, err
	}
	if p.err != nil {
		if errors.Is(p.err, unix.EAGAIN) || errors.Is(p.err, unix.EINTR) {
			return 0, nil
		}
		return 0, p.err
	}
	return p.n, nil
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
