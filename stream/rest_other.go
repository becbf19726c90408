//go:build !unix

package stream

func (t *webSocket) rest() {}
