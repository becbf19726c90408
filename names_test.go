package walwire_test

import (
	"fmt"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/walwire/walwire/mapping"
)

// knowing are the files that may know the reference schema: what makes it, fills it,
// shows it off, or tests and measures with it.
var knowing = regexp.MustCompile(`^(migrations|internal/(board|demo|bench|torture))/|^cmd/walwire/(dev\w*|welcome)\.go$|_test\.go$`)

// No table and no event of the example is named in the code: what is served, and told as
// what, the configuration alone says.
func TestNoNamesInCode(t *testing.T) {
	names := namesIn(exampleConfig(t))
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || knowing.MatchString(filepath.ToSlash(path)) {
			return err
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, found := range named(path, source, names) {
			t.Error(found)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// namesIn finds the names of a configuration in a text: of tables where they stand alone,
// in quotes, after their schema or after a word of SQL, as some are words of English too.
func namesIn(c *mapping.Config) *regexp.Regexp {
	var tables, events []string
	for _, t := range c.Tables {
		tables = append(tables, regexp.QuoteMeta(t.Name))
	}
	for _, name := range eventNames(c) {
		entity, _, _ := strings.Cut(name, ".")
		events = append(events, regexp.QuoteMeta(name), regexp.QuoteMeta(entity)+`\.\*`)
	}
	table := `(` + strings.Join(tables, `|`) + `)`
	return regexp.MustCompile(`^` + table + `$|["'` + "`" + `]` + table + `["'` + "`" + `]|\bpublic\.` + table + `\b|` +
		`\b(?i:FROM|INTO|UPDATE|JOIN|TABLE|ONLY)\s+` + table + `\b|\b(` + strings.Join(events, `|`) + `)`)
}

// named finds the string literals of a Go file with one of the names.
func named(path string, source []byte, names *regexp.Regexp) []string {
	var found []string
	files := token.NewFileSet()
	var s scanner.Scanner
	s.Init(files.AddFile(path, -1, len(source)), source, nil, 0)
	for {
		at, kind, literal := s.Scan()
		if kind == token.EOF {
			return found
		}
		if kind != token.STRING {
			continue
		}
		text, err := strconv.Unquote(literal)
		if err != nil {
			text = literal
		}
		if m := names.FindString(text); m != "" {
			found = append(found, fmt.Sprintf("%s: names %s", files.Position(at), m))
		}
	}
}

func TestNamesFound(t *testing.T) {
	names := namesIn(exampleConfig(t))
	for literal, want := range map[string]bool{
		`"appointments"`:                              true,
		"`SELECT * FROM clients WHERE id = $1`":       true,
		`"insert\tinto staff values"`:                 true,
		`"{\"table\":\"notifications\"}"`:             true,
		`"public.appointments"`:                       true,
		`"is it appointment.created?"`:                true,
		`"appointment.*"`:                             true,
		`"clients that come back"`:                    false,
		`"an update for clients"`:                     false,
		`"row.staff_id"`:                              false,
		`"order.placed"`:                              false,
		`"x" // appointments, and FROM appointments`:  false,
		`"x" /* "appointments" */ + "appointmentsOf"`: false,
	} {
		if got := len(named("x.go", []byte("package x\nvar s = "+literal+"\n"), names)) > 0; got != want {
			t.Errorf("%s: found %v", literal, got)
		}
	}
}
