package pgserver

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// pidFile is PostgreSQL's postmaster.pid. The zero value: there is none.
type pidFile struct {
	pid   int
	port  string
	ready bool
}

// Lines of postmaster.pid, counted from zero (see miscadmin.h of PostgreSQL).
const (
	pidFileLinePid    = 0
	pidFileLinePort   = 3
	pidFileLineStatus = 7
)

// readPidFile reads the file in a data directory. It may be half written.
func readPidFile(data string) (pidFile, error) {
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if errors.Is(err, fs.ErrNotExist) {
		return pidFile{}, nil
	}
	if err != nil {
		return pidFile{}, fmt.Errorf("read postmaster.pid: %w", err)
	}
	lines := strings.Split(string(text), "\n")
	line := func(n int) string {
		if n >= len(lines) {
			return ""
		}
		return strings.TrimSpace(lines[n])
	}
	pid, _ := strconv.Atoi(line(pidFileLinePid)) // zero while the line is not written
	return pidFile{pid: pid, port: line(pidFileLinePort), ready: line(pidFileLineStatus) == "ready"}, nil
}

// answers says whether something listens on the port: the file outlives a
// crash, and its process id may be another program's by now.
func (p pidFile) answers() bool {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", p.port), time.Second)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}
