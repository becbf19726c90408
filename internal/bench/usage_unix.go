//go:build unix

package bench

import (
	"fmt"
	"runtime"
	"syscall"
	"time"
)

// ownUsage is that of this process.
func ownUsage() (usage, error) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return usage{}, fmt.Errorf("read the CPU time used: %w", err)
	}
	u := usage{CPU: time.Duration(r.Utime.Nano() + r.Stime.Nano())}
	switch runtime.GOOS {
	case "darwin":
		u.Peak = int64(r.Maxrss)
	case "linux":
		u.Peak = int64(r.Maxrss) << 10
	}
	return u, nil
}
