package edge

import (
	"errors"
	"path"
	"strings"
)

// CheckBasePath says what is wrong with a base path; "" is one.
func CheckBasePath(base string) error {
	if base == "" {
		return nil
	}
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/"
	if !strings.HasPrefix(base, "/") || path.Clean(base) != base || base == "/" || strings.Trim(base, plain) != "" {
		return errors.New("is not a path: give one like /realtime, with a / before it and none after, of letters, digits, - . _ ~")
	}
	return nil
}
