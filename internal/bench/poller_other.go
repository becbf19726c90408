//go:build !linux

package bench

import (
	"errors"
	"net/netip"
	"time"
)

// poller is Linux's alone.
type poller struct{}

var errLinux = errors.New("walwire bench needs Linux: its clients are read by epoll")

func newPoller() (p poller, err error)                         { return p, errLinux }
func (p *poller) close()                                       {}
func (p *poller) wake()                                        {}
func (p *poller) wait(time.Duration, func(fd int)) error       { return errLinux }
func (p *poller) dial(netip.Addr, netip.AddrPort) (int, error) { return -1, errLinux }
func (p *poller) dialled(int) error                            { return errLinux }
func (p *poller) read(int, []byte) (int, error)                { return 0, errLinux }
func (p *poller) write(int, []byte) error                      { return errLinux }
func (p *poller) hangUp(int)                                   {}
