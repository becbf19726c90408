package main

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// awaitLimit is how long a script waits for what must come. A walwire dev that makes its
// PostgreSQL beside the other scripts takes long.
const awaitLimit = 2 * time.Minute

// awaitCommands are the scripts' commands about what is outside the script:
//
//	await FILE REGEXP [VAR]    until the file matches; VAR gets the first group
//	lines FILE N               until the file has N lines; ! where it may not have them now
//	occupy VAR                 takes a port; VAR gets host:port
//	directory VAR              makes a directory that every account can reach
func awaitCommands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"await": func(ts *testscript.TestScript, neg bool, args []string) {
			usage(ts, !neg && (len(args) == 2 || len(args) == 3), "await FILE REGEXP [VAR]")
			pattern, err := regexp.Compile(`(?m)` + args[1])
			ts.Check(err)
			var found []string
			awaitFile(ts, args[0], func(text string) bool {
				found = pattern.FindStringSubmatch(text)
				return found != nil
			})
			if len(args) == 3 {
				ts.Setenv(args[2], found[1])
			}
		},
		"lines": func(ts *testscript.TestScript, neg bool, args []string) {
			usage(ts, len(args) == 2, "lines FILE N")
			n := atoi(ts, args[1])
			if neg {
				if strings.Count(ts.ReadFile(args[0]), "\n") >= n {
					ts.Fatalf("%s has %d lines or more", args[0], n)
				}
				return
			}
			awaitFile(ts, args[0], func(text string) bool { return strings.Count(text, "\n") >= n })
		},
		"directory": func(ts *testscript.TestScript, neg bool, args []string) {
			usage(ts, !neg && len(args) == 1, "directory VAR")
			dir, err := os.MkdirTemp("", "walwire-test-")
			ts.Check(err)
			ts.Defer(func() { _ = os.RemoveAll(dir) })
			ts.Check(os.Chmod(dir, 0o755))
			ts.Setenv(args[0], filepath.Join(dir, "data"))
		},
		"occupy": func(ts *testscript.TestScript, neg bool, args []string) {
			usage(ts, !neg && len(args) == 1, "occupy VAR")
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			ts.Check(err)
			ts.Defer(func() { _ = listener.Close() })
			ts.Setenv(args[0], listener.Addr().String())
		},
	}
}

// awaitFile reads a file again and again until it is as wanted. It need not
// exist at first.
func awaitFile(ts *testscript.TestScript, name string, wanted func(text string) bool) {
	var text []byte
	if !awaited(func() bool {
		text, _ = os.ReadFile(ts.MkAbs(name))
		return wanted(string(text))
	}) {
		ts.Fatalf("%s did not come to it within %s:\n%s", name, awaitLimit, text)
	}
}

// awaited polls until ok holds; false when that takes too long.
func awaited(ok func() bool) bool {
	for deadline := time.Now().Add(awaitLimit); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return true
		}
	}
	return false
}
