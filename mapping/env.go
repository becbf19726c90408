package mapping

import (
	"fmt"
	"strings"
)

// Env looks a variable of the environment up; os.LookupEnv is one.
type Env func(name string) (value string, ok bool)

// expand replaces ${NAME} and ${NAME:-default} in s. A $ that no { follows
// stands for itself and $${ gives ${. An empty variable counts as missing, as
// an unset secret in a container's environment often arrives that way.
func (env Env) expand(s string) (string, error) {
	var b strings.Builder
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			b.WriteString(s)
			return b.String(), nil
		}
		if i > 0 && s[i-1] == '$' {
			b.WriteString(s[:i-1] + "${")
			s = s[i+2:]
			continue
		}
		b.WriteString(s[:i])
		body, rest, closed := strings.Cut(s[i+2:], "}")
		if !closed {
			return "", fmt.Errorf(`the } of "${" is missing; write $${ for a literal ${`)
		}
		value, err := env.value(body)
		if err != nil {
			return "", err
		}
		b.WriteString(value)
		s = rest
	}
}

func (env Env) value(body string) (string, error) {
	name, fallback, hasFallback := strings.Cut(body, ":-")
	if !isEnvName(name) {
		return "", fmt.Errorf("%q is not a variable's name: write ${NAME} or ${NAME:-default}", name)
	}
	if env != nil {
		if value, ok := env(name); ok && value != "" {
			return value, nil
		}
	}
	if hasFallback {
		return fallback, nil
	}
	return "", fmt.Errorf("the environment variable %s is not set: set it, or give a default as in ${%s:-value}", name, name)
}

func isEnvName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c != '_' && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}
