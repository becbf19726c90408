package auth

import (
	"encoding/json"
	"strings"
)

// Claims are those of a verified token, as JSON: string, bool, json.Number,
// []any, map[string]any or nil.
type Claims map[string]any

// Lookup finds a claim by its path. A path is first taken for a name as it
// stands, since names may hold dots (https://example.com/roles); otherwise its
// dots lead into objects, the longest name first. A null claim is missing.
func (c Claims) Lookup(path string) (any, bool) {
	v, ok := lookup(c, path)
	return v, ok && v != nil
}

func lookup(object map[string]any, path string) (any, bool) {
	if v, ok := object[path]; ok {
		return v, true
	}
	for i := strings.LastIndexByte(path, '.'); i > 0; i = strings.LastIndexByte(path[:i], '.') {
		inner, ok := object[path[:i]].(map[string]any)
		if !ok {
			continue
		}
		if v, ok := lookup(inner, path[i+1:]); ok {
			return v, true
		}
	}
	return nil, false
}

// plain gives a claim as an attribute: numbers become int64 where they are
// whole and fit, float64 where they have a fraction or exponent, and stay a
// json.Number where neither holds all their digits.
func plain(v any) any {
	switch v := v.(type) {
	case json.Number:
		return plainNumber(v)
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = plain(item)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, item := range v {
			out[name] = plain(item)
		}
		return out
	}
	return v
}

func plainNumber(n json.Number) any {
	if !strings.ContainsAny(n.String(), ".eE") {
		if i, err := n.Int64(); err == nil {
			return i
		}
		return n
	}
	if f, err := n.Float64(); err == nil {
		return f
	}
	return n
}
