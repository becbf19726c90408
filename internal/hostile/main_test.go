package hostile_test

import (
	"flag"
	"testing"

	"github.com/walwire/walwire/internal/pgtest"
)

func TestMain(m *testing.M) {
	// The slow cases wait, and need no processor each. What the command line says counts.
	_ = flag.Set("test.parallel", "32") // a flag of package testing: it is there
	pgtest.Main(m)
}
