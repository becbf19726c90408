//go:build unix

package pgserver

import (
	"errors"
	"os"
	"syscall"
)

// detached gives a process a session of its own and the account's identity.
func detached(a account) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true}
	if a.other() {
		attr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	return attr
}

func ownedBy(info os.FileInfo, uid int) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == uid
}

// alive says whether a process of that id exists, whoever owns it.
func alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// The signals by which a postmaster stops.
const (
	signalFast      = syscall.SIGINT
	signalImmediate = syscall.SIGQUIT
)

func signal(pid int, sig syscall.Signal) error { return syscall.Kill(pid, sig) }
