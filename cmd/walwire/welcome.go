package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"text/template"
)

// welcome is what `walwire dev` prints once it is ready. Its command lines work
// as printed, in any other terminal.
type welcome struct {
	devFacts
	psql string // how to call it
}

const welcomeText = `
walwire is ready at {{.URL}}

Open that in a browser: a day board, two people side by side.

Watch a live query, in a second terminal, as the owner of a company:

  {{.Walwire}} tail --url {{.WS}} --token {{index .Tokens "owner"}} --query '{"table":"appointments","columns":["status","starts_at","service_type"],"where":[["status","==","confirmed"]]}'

Write to the database, in a third:

  {{.Psql}} {{quote .DatabaseURL}}

for example this, and see who is told of it:

  UPDATE appointments SET status = 'confirmed' WHERE status = 'pending';

Every 10 s a schedule reminds clients of appointments within 24 hours: in notifications, as the client.

The same query shows something else with each of these tokens (for 24 hours):
{{range .People}}
  {{.}}
  {{index $.Tokens .}}
{{end}}{{if .AdminURL}}
Metrics are at {{.AdminURL}}/metrics.
{{end}}
Ctrl-C stops it.
`

// print writes it to out.
func (w welcome) print(out io.Writer) error {
	page, err := template.New("welcome").Funcs(template.FuncMap{"quote": shellQuote}).Parse(welcomeText)
	if err != nil {
		return fmt.Errorf("print the welcome: %w", err)
	}
	err = page.Execute(out, map[string]any{
		"URL": w.URL, "WS": w.WS, "AdminURL": w.AdminURL, "DatabaseURL": w.DatabaseURL, "Tokens": w.Tokens,
		"Walwire": thisProgram(), "Psql": shellQuote(w.psql),
		"People": []string{"owner", "receptionist", "staff", "client", "other_company_owner"},
	})
	if err != nil {
		return fmt.Errorf("print the welcome: %w", err)
	}
	return nil
}

// thisProgram is how to call this program from any directory.
func thisProgram() string {
	path, err := os.Executable()
	if err != nil {
		return "walwire"
	}
	dir, err := os.Getwd()
	if isGoRun(path) && err == nil {
		return "go run -C " + shellQuote(dir) + " " + goRunPackage(dir)
	}
	if name := filepath.Base(path); found(name) == path {
		return name
	}
	return shellQuote(path)
}

// isGoRun reports whether the program was built by go run, which removes it at
// the end.
func isGoRun(path string) bool {
	return strings.Contains(filepath.ToSlash(path), "/go-build")
}

// goRunPackage is the package to run from dir.
func goRunPackage(dir string) string {
	if info, err := os.Stat(filepath.Join(dir, "cmd", "walwire")); err == nil && info.IsDir() {
		return "./cmd/walwire"
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Path != "" && info.Path != "command-line-arguments" {
		return info.Path
	}
	return "."
}

// found is the path that a command's name leads to, "" where it leads nowhere.
func found(name string) string {
	path, err := exec.LookPath(name)
	if err != nil {
		return ""
	}
	return path
}

// shellQuote makes one word of s for a POSIX shell.
func shellQuote(s string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:@%+=,"
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
