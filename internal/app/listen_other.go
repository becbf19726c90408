//go:build !linux

package app

import "net"

// listen opens the public socket.
func listen(address string) (net.Listener, error) { return net.Listen("tcp", address) }
