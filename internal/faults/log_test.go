package faults_test

import (
	"bytes"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// serverLog is a server's log that can be looked at; the test's shows it too.
type serverLog struct {
	logger *slog.Logger
	out    io.Writer

	mu   sync.Mutex // protects following
	text bytes.Buffer
}

func newLog(t *testing.T) *serverLog {
	l := &serverLog{out: t.Output()}
	l.logger = slog.New(slog.NewTextHandler(l, nil))
	return l
}

// Write implements io.Writer.
func (l *serverLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	l.text.Write(p)
	l.mu.Unlock()
	return l.out.Write(p)
}

// contains reports whether a line has all the words.
func (l *serverLog) contains(words ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
lines:
	for line := range strings.Lines(l.text.String()) {
		for _, word := range words {
			if !strings.Contains(line, word) {
				continue lines
			}
		}
		return true
	}
	return false
}
