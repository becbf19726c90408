package walwire_test

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/walwire/walwire"
	"github.com/walwire/walwire/mapping"
)

// exampleConfig is the reference configuration.
func exampleConfig(t *testing.T) *mapping.Config {
	t.Helper()
	c, err := mapping.Parse(walwire.ExampleConfigName, []byte(walwire.ExampleConfig()), func(name string) (string, bool) {
		switch name {
		case "WALWIRE_DATABASE_URL":
			return "postgres://", true
		case "WALWIRE_TOKEN_SECRET":
			return "a secret for tests only, of 32 octets or more", true
		}
		return "", false
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The catalogue in docs/events.md has a row for each event of the example, and no other.
func TestEventsDocumented(t *testing.T) {
	text, err := os.ReadFile("docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+\\.[a-z_]+)` \\|").FindAllStringSubmatch(string(text), -1) {
		rows = append(rows, m[1])
	}
	slices.Sort(rows)
	if want := eventNames(exampleConfig(t)); !slices.Equal(rows, want) {
		t.Errorf("docs/events.md has rows for\n%v, the example has\n%v", rows, want)
	}
}
