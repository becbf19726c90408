package predicate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// Resolve finds a column by the name that a filter uses. Its error is the
// cause of a FilterError.
type Resolve func(name string) (ordinal int, col Column, err error)

// ParseWhere parses a client's filter: a list of conditions, all of which must
// hold. A condition is ["column", "operator", value], {"and": [...]},
// {"or": [...]} or {"not": condition}. Nothing, null and [] are true of every
// row. Errors are *FilterError.
func ParseWhere(raw json.RawMessage, resolve Resolve, limits Limits) (*Node, error) {
	const root = "where"
	if len(raw) == 0 {
		return Always(), nil
	}
	v, err := decodeJSON(root, raw)
	if err != nil {
		return nil, err
	}
	if v == nil {
		return Always(), nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, invalid(root, errors.New(`needs a list of conditions such as [["status", "==", "confirmed"]]`))
	}
	p := whereParser{resolve: resolve, limits: limits}
	nodes, err := p.list(root, list, 1)
	if err != nil {
		return nil, err
	}
	return All(nodes...), nil
}

// decodeJSON decodes one JSON value, its numbers as json.Number.
func decodeJSON(path string, raw json.RawMessage) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return nil, invalid(path, fmt.Errorf("not valid JSON: %w", err))
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, invalid(path, errors.New("there is more after the end of the JSON value"))
	}
	return v, nil
}

func invalid(path string, err error) error {
	return &FilterError{Path: path, Code: FilterInvalid, Err: err}
}

func tooLarge(path, format string, args ...any) error {
	return &FilterError{Path: path, Code: FilterTooLarge, Err: fmt.Errorf(format, args...)}
}

// whereParser walks a decoded filter.
type whereParser struct {
	resolve Resolve
	limits  Limits
	nodes   int
}

func (p *whereParser) list(path string, list []any, depth int) ([]*Node, error) {
	if p.limits.Depth > 0 && depth > p.limits.Depth {
		return nil, tooLarge(path, "conditions nest more than %d deep", p.limits.Depth)
	}
	nodes := make([]*Node, 0, len(list))
	for i, v := range list {
		n, err := p.condition(path+"["+strconv.Itoa(i)+"]", v, depth)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

func (p *whereParser) condition(path string, v any, depth int) (*Node, error) {
	p.nodes++
	if p.limits.Nodes > 0 && p.nodes > p.limits.Nodes {
		return nil, tooLarge(path, "there are more than %d conditions", p.limits.Nodes)
	}
	switch c := v.(type) {
	case []any:
		return p.leaf(path, c)
	case map[string]any:
		return p.group(path, c, depth)
	}
	return nil, invalid(path, errors.New(`needs ["column", "operator", value], {"and": [...]}, {"or": [...]} or {"not": ...}`))
}

func (p *whereParser) group(path string, group map[string]any, depth int) (*Node, error) {
	if len(group) != 1 {
		return nil, invalid(path, fmt.Errorf(`needs exactly one of "and", "or" and "not", got %d keys`, len(group)))
	}
	for key, v := range group {
		switch key {
		case "not":
			nodes, err := p.negated(path+".not", v, depth+1)
			if err != nil {
				return nil, err
			}
			return Negate(nodes), nil
		case "and", "or":
			return p.joined(path+"."+key, key, v, depth+1)
		default:
			return nil, invalid(path, fmt.Errorf(`needs "and", "or" or "not", got %.40q`, key))
		}
	}
	return nil, nil
}

func (p *whereParser) negated(path string, v any, depth int) (*Node, error) {
	if p.limits.Depth > 0 && depth > p.limits.Depth {
		return nil, tooLarge(path, "conditions nest more than %d deep", p.limits.Depth)
	}
	return p.condition(path, v, depth)
}

func (p *whereParser) joined(path, key string, v any, depth int) (*Node, error) {
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		return nil, invalid(path, errors.New("needs a list of at least one condition"))
	}
	nodes, err := p.list(path, list, depth)
	if err != nil {
		return nil, err
	}
	if key == "or" {
		return Any(nodes...), nil
	}
	return All(nodes...), nil
}

// leaf parses ["column", "operator", value].
func (p *whereParser) leaf(path string, c []any) (*Node, error) {
	if len(c) != 3 {
		return nil, invalid(path, fmt.Errorf(`needs ["column", "operator", value], got %d parts`, len(c)))
	}
	name, ok := c[0].(string)
	if !ok {
		return nil, invalid(path, errors.New("the first part needs to be a column's name"))
	}
	spelling, ok := c[1].(string)
	op, known := ParseOp(spelling)
	if !ok || !known {
		return nil, invalid(path, fmt.Errorf("operator %.40q does not exist: use ==, !=, <, <=, >, >=, in, not-in, array-contains, array-contains-any, is-null or starts-with", fmt.Sprint(c[1])))
	}
	ordinal, col, err := p.resolve(name)
	if err != nil {
		return nil, &FilterError{Path: path, Code: FilterColumn, Err: err}
	}
	op, values, err := p.operands(path, op, c[2])
	if err != nil {
		return nil, err
	}
	n, err := Compare(ordinal, col, op, values...)
	if err != nil {
		return nil, invalid(path, err)
	}
	return n, nil
}

// operands gives the values of the third part, and the operator that it makes
// of is-null.
func (p *whereParser) operands(path string, op Op, v any) (Op, []any, error) {
	switch op {
	case IsNull:
		want, ok := v.(bool)
		if !ok {
			return op, nil, invalid(path, errors.New("is-null needs true or false"))
		}
		if !want {
			op = IsNotNull
		}
		return op, nil, nil
	case In, NotIn, ArrayContainsAny:
		list, ok := v.([]any)
		if !ok {
			return op, nil, invalid(path, fmt.Errorf("%s needs a list of values", op))
		}
		if p.limits.Values > 0 && len(list) > p.limits.Values {
			return op, nil, tooLarge(path, "%s has more than %d values", op, p.limits.Values)
		}
		return op, list, nil
	}
	return op, []any{v}, nil
}
