package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/walwire/walwire/stream"
)

// versionCmd is `walwire version`.
type versionCmd struct{}

// Help explains the command.
func (versionCmd) Help() string {
	return `Prints the version of walwire and the commit it was built from, the version of Go, and the protocol it speaks with clients.`
}

// Run prints what the build recorded.
func (versionCmd) Run(c *console) error {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	_, err := fmt.Fprintf(c.out, "walwire %s\ngo %s %s/%s\nprotocol %s\n",
		version(info), runtime.Version(), runtime.GOOS, runtime.GOARCH, stream.Subprotocol)
	return err
}

// version is the module's version, and the commit where the build knows it.
func version(info *debug.BuildInfo) string {
	v := info.Main.Version
	if v == "" || v == "(devel)" {
		v = "devel"
	}
	settings := make(map[string]string)
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	if commit := settings["vcs.revision"]; commit != "" {
		v += " commit " + commit
		if settings["vcs.modified"] == "true" {
			v += " with changes"
		}
	}
	return v
}
