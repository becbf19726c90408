//go:build !unix

package stream

import (
	"sync"
	"syscall"
)

func (t *webSocket) rest() {}

var packets = sync.Pool{New: func() any { return new(packet) }}

func (t *webSocket) try(*packet) (n int, err error) { return 0, nil }

func socketOf(any) syscall.RawConn { return nil }
