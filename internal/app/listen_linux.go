package app

import (
	"context"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// unsent bounds what the kernel holds of a connection and has not sent yet, in octets.
// What waits there is as old as when it was written; what waits here is merged.
const unsent = 128 << 10

// listen opens the public socket. Its connections inherit the bound.
func listen(address string) (net.Listener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var set error
		err := c.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent) })
		if err == nil {
			err = set
		}
		return err
	}}
	return lc.Listen(context.Background(), "tcp", address)
}
