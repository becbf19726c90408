//go:build unix

package bench

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"
)

// ownUsage is that of this process.
func ownUsage() (u usage, err error) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return u, fmt.Errorf("read the CPU time used: %w", err)
	}
	u.CPU = time.Duration(r.Utime.Nano() + r.Stime.Nano())
	switch runtime.GOOS {
	case "darwin":
		u.Peak = int64(r.Maxrss)
	case "linux":
		u.Peak = int64(r.Maxrss) << 10
		u.Resident, err = residentLinux()
	}
	return u, err
}

func residentLinux() (int64, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		return 0, fmt.Errorf("read /proc/self/statm: %w", err)
	}
	return resident * int64(os.Getpagesize()), nil
}
