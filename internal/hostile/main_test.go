package hostile_test

import (
	"flag"
	"runtime"
	"testing"

	"github.com/walwire/walwire/internal/pgtest"
)

func TestMain(m *testing.M) {
	// The slow cases wait, and need no processor each. What the command line says counts.
	_ = flag.Set("test.parallel", "4") // a flag of package testing: it is there
	// The hostile and the honest are in the servers' process. For none to wait for another's
	// time slice, as none would on machines of their own, the kernel shares the processors out.
	runtime.GOMAXPROCS(8)
	pgtest.Main(m)
}
