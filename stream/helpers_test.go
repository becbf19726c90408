package stream_test

import (
	"crypto/md5"
	"encoding/hex"
	"testing"

	"github.com/coder/websocket"
)

func mustClose(t *testing.T, err error, code int) {
	t.Helper()
	if got := websocket.CloseStatus(err); int(got) != code {
		t.Fatalf("closed with %d (%v), want %d", got, err, code)
	}
}

// md5Hex is what PostgreSQL's md5 gives.
func md5Hex(text string) string {
	sum := md5.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}
