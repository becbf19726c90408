//go:build !unix

package bench

import "errors"

// ownUsage is that of this process.
func ownUsage() (usage, error) {
	return usage{}, errors.New("read the CPU time used: not written for this system")
}

func forgetPeak() {}
