package bench

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// poller is the sockets of a swarm: epoll, level-triggered.
type poller struct {
	epoll, event int // event wakes a wait
	events       []unix.EpollEvent
}

func newPoller() (p poller, err error) {
	if p.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return p, fmt.Errorf("make an epoll: %w", err)
	}
	if p.event, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		_ = unix.Close(p.epoll)
		return p, fmt.Errorf("make an eventfd: %w", err)
	}
	p.events = make([]unix.EpollEvent, 1024)
	if err := p.watch(unix.EPOLL_CTL_ADD, p.event, unix.EPOLLIN); err != nil {
		p.close()
		return p, err
	}
	return p, nil
}

func (p *poller) watch(what, fd int, events uint32) error {
	if err := unix.EpollCtl(p.epoll, what, fd, &unix.EpollEvent{Fd: int32(fd), Events: events}); err != nil {
		return fmt.Errorf("watch a socket: %w", err)
	}
	return nil
}

func (p *poller) close() {
	_ = unix.Close(p.event)
	_ = unix.Close(p.epoll)
}

// wake ends a wait. Safe for concurrent use.
func (p *poller) wake() { _, _ = unix.Write(p.event, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }

// wait calls handle for each socket that is ready; it returns after that, when it is
// woken, and after timeout.
func (p *poller) wait(timeout time.Duration, handle func(fd int)) error {
	n, err := unix.EpollWait(p.epoll, p.events, int(timeout.Milliseconds()))
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("wait for sockets: %w", err)
	}
	for i := range max(n, 0) {
		if fd := int(p.events[i].Fd); fd != p.event {
			handle(fd)
			continue
		}
		var b [8]byte
		_, _ = unix.Read(p.event, b[:])
	}
	return nil
}

// dial begins a connection; wait says when dialled can tell how that went.
func (p *poller) dial(from netip.Addr, to netip.AddrPort) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	err = unix.Bind(fd, &unix.SockaddrInet4{Addr: from.As4()})
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())})
	}
	if err == nil || errors.Is(err, unix.EINPROGRESS) || errors.Is(err, unix.ECONNREFUSED) { // dialled tells the last
		err = p.watch(unix.EPOLL_CTL_ADD, fd, unix.EPOLLOUT)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func (p *poller) dialled(fd int) error {
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if code != 0 {
		return unix.Errno(code)
	}
	return p.watch(unix.EPOLL_CTL_MOD, fd, unix.EPOLLIN)
}

func (p *poller) read(fd int, b []byte) (int, error) {
	n, err := unix.Read(fd, b)
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		return 0, nil
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

func (p *poller) write(fd int, b []byte) error {
	n, err := unix.Write(fd, b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return err
}

func (p *poller) hangUp(fd int) { _ = unix.Close(fd) }
