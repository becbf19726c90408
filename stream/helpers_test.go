package stream_test

import (
	"crypto/md5"
	"encoding/hex"
)

// md5Hex is what PostgreSQL's md5 gives.
func md5Hex(text string) string {
	sum := md5.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}
