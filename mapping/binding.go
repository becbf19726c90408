package mapping

import (
	"encoding/json"
	"strings"

	"cel.dev/cel-go/cel"
)

// binding is one user's attributes while rules are bound to them.
type binding struct {
	user map[string]any
	vars map[string]any // what CEL sees; made when first needed
}

// attribute gives an attribute as it came. A null one is missing.
func (b *binding) attribute(name string) (any, bool) {
	v, ok := b.user[name]
	return v, ok && v != nil
}

func (b *binding) variables() map[string]any {
	if b.vars == nil {
		user := make(map[string]any, len(b.user))
		for name, v := range b.user {
			if v != nil {
				user[name] = plain(v)
			}
		}
		b.vars = map[string]any{"user": user}
	}
	return b.vars
}

// plain replaces json.Number, which CEL would take for a string.
func plain(v any) any {
	switch v := v.(type) {
	case json.Number:
		if !strings.ContainsAny(v.String(), ".eE") {
			if n, err := v.Int64(); err == nil {
				return n
			}
		}
		if f, err := v.Float64(); err == nil {
			return f
		}
		return v.String()
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

// operand is a part of a rule that needs no row.
type operand struct {
	attribute string      // it is just this attribute of the user, else
	program   cel.Program // what computes it
}

// value computes the operand; ok is false where an attribute is missing or the
// computation fails.
func (o operand) value(b *binding) (v any, ok bool) {
	if o.program == nil {
		return b.attribute(o.attribute)
	}
	out, _, err := o.program.Eval(b.variables())
	if err != nil {
		return nil, false
	}
	return native(out)
}
