package main

import (
	"maps"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/walwire/walwire"
)

// TestMain makes this test binary the program, where a script calls it by its
// name.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"walwire": main})
}

// TestScripts runs testdata/script. Besides testscript's own commands there are
// those of databaseCommands, awaitCommands, frameCommands and pageCommands.
func TestScripts(t *testing.T) {
	commands := make(map[string]func(*testscript.TestScript, bool, []string))
	maps.Copy(commands, databaseCommands())
	maps.Copy(commands, awaitCommands())
	maps.Copy(commands, frameCommands())
	maps.Copy(commands, pageCommands())
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                commands,
		Setup: func(env *testscript.Env) error {
			env.Values[testingKey{}] = env.T().(testing.TB)
			for _, name := range []string{"WALWIRE_PG_BIN", "WALWIRE_TEST_DATABASE_URL"} {
				if value, ok := os.LookupEnv(name); ok {
					env.Setenv(name, value)
				}
			}
			env.Setenv("GORACE", "atexit_sleep_ms=10")        // not a second for each of the program's runs
			env.Setenv("WALWIRE_ADMIN_LISTEN", "127.0.0.1:0") // scripts run beside each other
			env.Setenv("SECRET", "a secret of the tests, with more than 32 octets")
			return os.WriteFile(env.WorkDir+"/"+walwire.ExampleConfigName, []byte(walwire.ExampleConfig()), 0o600)
		},
	})
}

// testingKey is where a script's testing.TB lies among its values.
type testingKey struct{}

func scriptTB(ts *testscript.TestScript) testing.TB { return ts.Value(testingKey{}).(testing.TB) }
