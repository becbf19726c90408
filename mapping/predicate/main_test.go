package predicate_test

import (
	"testing"

	"github.com/walwire/walwire/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }
