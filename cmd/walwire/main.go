package main

import (
	"os"
	"runtime/debug"
)

// gcPercent is how much of what is in use may come on top before garbage is collected;
// GOGC of the environment says otherwise. Connections leave holes where their making has
// left garbage: at Go's 100 an idle one takes a twelfth more. Collecting twice as often
// costs nothing that was measurable (docs/performance.md).
const gcPercent = 50

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}
