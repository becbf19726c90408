package pgserver

import (
	"fmt"
	"os"
	"strings"
)

// truncateLog empties the log, and gives it to the account.
func (c *cluster) truncateLog() error {
	if err := os.WriteFile(c.dir.log(), nil, 0o600); err != nil {
		return fmt.Errorf("empty the log: %w", err)
	}
	if err := c.account.own(c.dir.log()); err != nil {
		return fmt.Errorf("give the log to user %s: %w", c.account.name, err)
	}
	return nil
}

// logTail is the end of the log in a form to be put after an error.
func (c *cluster) logTail() string {
	const lines = 12
	text, err := os.ReadFile(c.dir.log())
	if err != nil || len(text) == 0 {
		return ""
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return ":\n" + strings.Join(all[max(0, len(all)-lines):], "\n")
}
