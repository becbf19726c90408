package mapping

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// decoder reads settings from YAML nodes. A setting that can't be read is a
// finding and keeps its default, so that the rest is still looked at.
type decoder struct {
	problems
	env       Env
	dir       string // of the configuration file; other files are relative to it
	source    source
	positions positions
}

// located gives where a file lies that the configuration names.
func (d *decoder) located(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(d.dir, name)
}

// field is a key that a mapping may have.
type field struct {
	name     string
	required string // what to do when it is missing; "" when it may be
	decode   func(n ast.Node, path string)
}

// entry is a key of a mapping with its value.
type entry struct {
	name  string
	key   Position
	value ast.Node
	path  string
}

// object reads a mapping whose keys are known beforehand.
func (d *decoder) object(n ast.Node, path string, fields ...field) {
	entries, ok := d.entries(n, path)
	if !ok {
		return
	}
	names := make([]string, len(fields))
	present := make(map[string]bool, len(entries))
	for i, f := range fields {
		names[i] = f.name
	}
	for _, e := range entries {
		known := false
		for _, f := range fields {
			if f.name == e.name {
				known, present[e.name] = true, true
				f.decode(e.value, e.path)
			}
		}
		if !known {
			hint := didYouMean(e.name, names)
			if hint == "" {
				hint = "; possible here: " + strings.Join(names, ", ")
			}
			d.add(e.key, path, "unknown key %q%s", e.name, hint)
		}
	}
	for _, f := range fields {
		if f.required != "" && !present[f.name] {
			d.add(d.positions.key(path), path, "%s is missing: %s", f.name, f.required)
		}
	}
}

// entries gives the keys of a mapping in the file's order, without duplicates.
func (d *decoder) entries(n ast.Node, path string) ([]entry, bool) {
	var values []*ast.MappingValueNode
	switch v := n.(type) {
	case *ast.MappingNode:
		values = v.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{v}
	default:
		d.wrongType(n, path, "keys with values")
		return nil, false
	}
	var out []entry
	first := make(map[string]Position, len(values))
	for _, v := range values {
		e := entry{key: positionOf(v.Key), value: v.Value}
		name, ok := keyName(v.Key)
		if !ok {
			d.add(e.key, path, "this kind of key is not supported: write plain keys, without <<, ? or anchors")
			continue
		}
		if at, twice := first[name]; twice {
			d.add(e.key, path, "%q is here twice, first in line %d: keep one", name, at.Line)
			continue
		}
		first[name] = e.key
		e.name, e.path = name, join(path, name)
		d.positions.set(e.path, e.key, positionOf(e.value))
		out = append(out, e)
	}
	return out, true
}

func keyName(key ast.MapKeyNode) (string, bool) {
	switch k := key.(type) {
	case *ast.StringNode:
		return k.Value, true
	case *ast.IntegerNode, *ast.BoolNode, *ast.FloatNode, *ast.NullNode:
		return k.GetToken().Value, true
	}
	return "", false
}

// items gives the values of a list.
func (d *decoder) items(n ast.Node, path string) ([]ast.Node, bool) {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		d.wrongType(n, path, "a list")
		return nil, false
	}
	for i, v := range list.Values {
		d.positions.set(index(path, i), positionOf(v), positionOf(v))
	}
	return list.Values, true
}

// wrongType reports a node that is not what the setting expects.
func (d *decoder) wrongType(n ast.Node, path, want string) {
	hint := ""
	switch n.(type) {
	case *ast.NullNode:
		hint = ": give it a value or remove the key"
	case *ast.AliasNode, *ast.AnchorNode, *ast.TagNode:
		hint = ": write the value itself"
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		if want == "text" {
			hint = ": put it in quotes"
		}
	}
	d.add(positionOf(n), path, "expected %s, got %s%s", want, describe(n), hint)
}

func describe(n ast.Node) string {
	switch v := n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "keys with values"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	case *ast.StringNode:
		return "the text " + strconv.Quote(v.Value)
	case *ast.LiteralNode:
		return "a block of text"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "the number " + v.GetToken().Value
	case *ast.BoolNode:
		return fmt.Sprint(v.Value)
	case *ast.AliasNode, *ast.AnchorNode:
		return "an anchor or alias"
	case *ast.TagNode:
		return "a tag"
	}
	return "something else"
}
