package mapping

import (
	"strconv"
	"strings"
)

// positions tells where in the file the settings stand, by their paths.
type positions struct {
	keys   map[string]Position
	values map[string]Position
}

func newPositions() positions {
	return positions{keys: map[string]Position{"": {Line: 1, Column: 1}}, values: map[string]Position{}}
}

func (p positions) set(path string, key, value Position) {
	p.keys[path], p.values[path] = key, value
}

// value gives where the value of a setting stands, or else what is nearest above it.
func (p positions) value(path string) Position {
	if at, ok := p.values[path]; ok {
		return at
	}
	return p.key(path)
}

// key gives where the setting's key stands, or else what is nearest above it.
func (p positions) key(path string) Position {
	for {
		if at, ok := p.keys[path]; ok || path == "" {
			return at
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
}

// join gives the path of a key under path.
func join(path, key string) string {
	switch {
	case !isPlainName(key):
		return path + "[" + strconv.Quote(key) + "]"
	case path == "":
		return key
	}
	return path + "." + key
}

// index gives the path of the i-th item of the list at path.
func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// isPlainName reports whether name can be written in a rule and a path as it is.
func isPlainName(name string) bool {
	return isEnvName(name)
}
