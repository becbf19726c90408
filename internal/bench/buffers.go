package bench

import (
	"bytes"
	"sync"
)

// bufferPool lends buffers for frames.
type bufferPool struct{ pool sync.Pool }

func newBufferPool() *bufferPool {
	return &bufferPool{sync.Pool{New: func() any { return bytes.NewBuffer(make([]byte, 0, 64<<10)) }}}
}

func (p *bufferPool) get() *bytes.Buffer { return p.pool.Get().(*bytes.Buffer) }

func (p *bufferPool) put(b *bytes.Buffer) {
	b.Reset()
	p.pool.Put(b)
}
