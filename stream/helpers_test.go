package stream_test

import (
	"testing"

	"github.com/coder/websocket"
)

func mustClose(t *testing.T, err error, code int) {
	t.Helper()
	if got := websocket.CloseStatus(err); int(got) != code {
		t.Fatalf("closed with %d (%v), want %d", got, err, code)
	}
}
