//go:build !unix

package stream

import (
	"sync"
	"syscall"
)

func (t *webSocket) rest() (again bool) { return false }

func (t *webSocket) said() bool { return false }

var packets = sync.Pool{New: func() any { return new(packet) }}

func (t *webSocket) write(p *packet) error { return t.writeBlocking(p) }

func socketOf(any) syscall.RawConn { return nil }
