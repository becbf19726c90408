//go:build !unix

package pgserver

import (
	"errors"
	"os"
	"syscall"
)

// There is no guardian without /bin/sh: the sources that need one say so.

func detached(account) *syscall.SysProcAttr { return nil }

func ownedBy(os.FileInfo, int) bool { return false }

func alive(int) bool { return false }

const (
	signalFast      = syscall.SIGINT
	signalImmediate = syscall.SIGQUIT
)

func signal(int, syscall.Signal) error {
	return errors.New("PostgreSQL's binaries can't be run by walwire on this system: use Docker")
}
