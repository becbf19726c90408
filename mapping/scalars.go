package mapping

import (
	"strconv"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// The functions of this file give a field's decode function for one Go type.

func (d *decoder) textField(into *string) func(ast.Node, string) {
	return func(n ast.Node, path string) {
		if s, ok := d.text(n, path); ok {
			*into = s
		}
	}
}

// pathField reads a file's name, which is relative to the configuration's folder.
func (d *decoder) pathField(into *string) func(ast.Node, string) {
	return func(n ast.Node, path string) {
		if s, ok := d.text(n, path); ok && s != "" {
			*into = d.located(s)
		}
	}
}

func (d *decoder) secretField(into *Secret) func(ast.Node, string) {
	return func(n ast.Node, path string) {
		if s, ok := d.text(n, path); ok {
			*into = NewSecret(s)
		}
	}
}

// listField reads a list of texts; one text alone is a list of one.
func (d *decoder) listField(into *[]string) func(ast.Node, string) {
	return func(n ast.Node, path string) {
		switch n.(type) {
		case *ast.StringNode, *ast.LiteralNode:
			if s, ok := d.text(n, path); ok {
				*into = []string{s}
			}
			return
		case *ast.SequenceNode:
		default:
			d.wrongType(n, path, "text or a list of texts")
			return
		}
		items, _ := d.items(n, path)
		list := make([]string, 0, len(items))
		for i, item := range items {
			if s, ok := d.text(item, index(path, i)); ok {
				list = append(list, s)
			}
		}
		*into = list
	}
}

func (d *decoder) boolField(into *bool) func(ast.Node, string) {
	return func(n ast.Node, path string) {
		if b, ok := n.(*ast.BoolNode); ok {
			*into = b.Value
			return
		}
		d.parsed(n, path, "true or false", func(s string) bool {
			*into = s == "true"
			return s == "true" || s == "false"
		})
	}
}

func (d *decoder) intField(into *int) func(ast.Node, string) {
	return func(n ast.Node, path string) {
		d.parsed(n, path, "a whole number", func(s string) bool {
			v, err := strconv.Atoi(s)
			if err == nil {
				*into = v
			}
			return err == nil
		})
	}
}

func (d *decoder) durationField(into *time.Duration) func(ast.Node, string) {
	return func(n ast.Node, path string) {
		d.parsed(n, path, "a duration with its unit, as in 500ms, 30s or 5m", func(s string) bool {
			v, err := time.ParseDuration(s)
			if err == nil {
				*into = v
			}
			return err == nil && s != "0"
		})
	}
}

func (d *decoder) sizeField(into *ByteSize) func(ast.Node, string) {
	return func(n ast.Node, path string) {
		d.parsed(n, path, "a size, as in 64KiB or 1MiB", func(s string) bool {
			v, err := ParseByteSize(s)
			if err == nil {
				*into = v
			}
			return err == nil
		})
	}
}

// text gives a text with the environment's variables in it.
func (d *decoder) text(n ast.Node, path string) (string, bool) {
	s, ok := rawText(n)
	if !ok {
		d.wrongType(n, path, "text")
		return "", false
	}
	return d.expand(n, path, s)
}

// parsed reads a scalar that is not text, which may come from the environment.
func (d *decoder) parsed(n ast.Node, path, want string, parse func(string) bool) {
	s, ok := rawText(n)
	if number, is := n.(*ast.IntegerNode); is {
		s, ok = number.GetToken().Value, true
	}
	if !ok {
		d.wrongType(n, path, want)
		return
	}
	expanded, ok := d.expand(n, path, s)
	if ok && !parse(expanded) {
		d.add(positionOf(n), path, "expected %s, got %q", want, expanded)
	}
}

func (d *decoder) expand(n ast.Node, path, s string) (string, bool) {
	expanded, err := d.env.expand(s)
	if err != nil {
		d.add(positionOf(n), path, "%v", err)
		return "", false
	}
	return expanded, true
}

func rawText(n ast.Node) (string, bool) {
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.LiteralNode:
		if v.Value != nil {
			return v.Value.Value, true
		}
	}
	return "", false
}
