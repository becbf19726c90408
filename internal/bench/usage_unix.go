//go:build unix

package bench

import (
	"fmt"
	"os"
	"runtime"
	"strings"
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
		u.Resident, u.Peak, err = residentLinux()
	}
	return u, err
}

// residentLinux gives what this process has resident, and the most since forgetPeak.
func residentLinux() (now, peak int64, err error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0, err
	}
	for _, of := range []struct {
		name string
		to   *int64
	}{{"VmRSS:", &now}, {"VmHWM:", &peak}} {
		_, rest, _ := strings.Cut(string(text), of.name)
		if _, err := fmt.Sscan(rest, of.to); err != nil {
			return 0, 0, fmt.Errorf("read %s of /proc/self/status: %w", of.name, err)
		}
		*of.to <<= 10
	}
	return now, peak, nil
}

// forgetPeak has the peak count from now on, where the system can.
func forgetPeak() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }
