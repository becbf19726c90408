package pgserver

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

// errPortTaken: another program listens on the port.
var errPortTaken = errors.New("another program listens on that port")

// Ports are drawn below the range that systems use for outgoing connections,
// so that none of those takes the port while the server restarts.
const (
	firstPort = 15000
	lastPort  = 32000
)

// freePort draws a port on 127.0.0.1 that nobody listens on.
func freePort() (int, error) {
	for range 100 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		return port, l.Close()
	}
	return 0, errors.New("find a free port on 127.0.0.1: none of 100 was free")
}
