package pgserver

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// configFile is included at the end of postgresql.conf and written anew at
// each start. ALTER SYSTEM wins over it.
const configFile = "walwire.conf"

// writeConfig writes the settings of this start.
func writeConfig(data string, settings map[string]string, port int) error {
	settings = maps.Clone(settings)
	settings["listen_addresses"] = "127.0.0.1"
	settings["unix_socket_directories"] = ""
	settings["port"] = strconv.Itoa(port)
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&text, "%s = %s\n", name, quoteSetting(settings[name]))
	}
	if err := os.WriteFile(filepath.Join(data, configFile), []byte(text.String()), 0o600); err != nil {
		return fmt.Errorf("write PostgreSQL's settings: %w", err)
	}
	return nil
}

// includeConfig makes postgresql.conf read configFile.
func includeConfig(data string) error {
	f, err := os.OpenFile(filepath.Join(data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("open postgresql.conf: %w", err)
	}
	if _, err := fmt.Fprintf(f, "\ninclude '%s'\n", configFile); err != nil {
		_ = f.Close()
		return fmt.Errorf("write postgresql.conf: %w", err)
	}
	return f.Close()
}

// quoteSetting quotes a value for postgresql.conf, which knows backslash escapes.
func quoteSetting(value string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `''`, "\n", `\n`).Replace(value) + "'"
}
