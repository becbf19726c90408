package mapping

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Load reads and validates the configuration file at path. Findings about its
// content are an Errors.
func Load(path string, env Env) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, data, env)
}

// Parse is Load of a file already read. The name stands in errors, and files
// that the configuration names are relative to its folder.
func Parse(name string, data []byte, env Env) (*Config, error) {
	c := defaults(name)
	d := &decoder{
		problems:  problems{file: name},
		env:       env,
		dir:       filepath.Dir(name),
		source:    newSource(data),
		positions: c.positions,
	}
	root, ok := d.parse(data)
	if ok {
		d.config(root, c)
	}
	if err := d.err(); err != nil {
		return nil, err
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return c, nil
}

// parse gives the one document of the file.
func (d *decoder) parse(data []byte) (ast.Node, bool) {
	start := Position{Line: 1, Column: 1}
	if !utf8.Valid(data) {
		d.add(start, "", "the file is not UTF-8")
		return nil, false
	}
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	var syntax *yaml.SyntaxError
	switch {
	case errors.As(err, &syntax):
		if tk := syntax.GetToken(); tk != nil && tk.Position != nil {
			start = Position{Line: tk.Position.Line, Column: max(tk.Position.Column, 1)}
		}
		d.add(start, "", "this is not YAML: %s", syntax.GetMessage())
		return nil, false
	case err != nil:
		d.add(start, "", "this is not YAML: %v", err)
		return nil, false
	case len(file.Docs) > 1:
		d.add(positionOf(file.Docs[1].Body), "", "a second document starts here: keep one")
		return nil, false
	case len(file.Docs) == 0 || file.Docs[0].Body == nil:
		d.add(start, "", "the file is empty: start with `version: 1`")
		return nil, false
	}
	return file.Docs[0].Body, true
}
