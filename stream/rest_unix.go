//go:build unix

package stream

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// rest waits until the client has said something or has gone. It takes a quarter of the
// stack that the library's reading does, which counts where thousands wait.
func (t *webSocket) rest() {
	tcp, ok := t.raw.(*net.TCPConn)
	if !ok || t.early.Buffered() > 0 {
		return
	}
	if raw, err := tcp.SyscallConn(); err == nil {
		_ = raw.Read(readable) // the read that follows tells
	}
}

func readable(fd uintptr) bool {
	var one [1]byte
	_, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return !errors.Is(err, unix.EAGAIN)
}
