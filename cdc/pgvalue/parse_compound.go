package pgvalue

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
)

// parseArray takes a list of the element's constants; null is a NULL element.
func (t *Type) parseArray(v any) (string, error) {
	if err := t.CheckEquality(); err != nil {
		return "", err
	}
	var list []any
	switch l := v.(type) {
	case []any:
		list = l
	case []string:
		for _, s := range l {
			list = append(list, s)
		}
	default:
		return "", t.mismatch(v, "a list")
	}
	params := make([]*Param, len(list))
	for i, e := range list {
		if e == nil {
			continue
		}
		p, err := t.Elem.Parse(e)
		if err != nil {
			return "", fmt.Errorf("element %d: %w", i, err)
		}
		params[i] = &p
	}
	return t.arrayText(params), nil
}

// ArrayText gives the text of an array, whose element type is t.Elem, of the
// given elements.
func (t *Type) ArrayText(elems []Param) string {
	refs := make([]*Param, len(elems))
	for i := range elems {
		refs[i] = &elems[i]
	}
	return t.arrayText(refs)
}

func (t *Type) arrayText(elems []*Param) string {
	delim := t.delim
	if delim == 0 {
		delim = ','
	}
	b := []byte{'{'}
	for i, p := range elems {
		if i > 0 {
			b = append(b, delim)
		}
		if p == nil {
			b = append(b, "NULL"...)
		} else {
			b = appendQuotedElement(b, p.Text)
		}
	}
	return string(append(b, '}'))
}

// parseJSONB prints a decoded JSON value as jsonb does.
func (t *Type) parseJSONB(v any) (string, error) {
	b, err := appendJSONB(nil, v)
	if err != nil {
		return "", fmt.Errorf("%s value: %w", t.Name, err)
	}
	return string(b), nil
}

func appendJSONB(dst []byte, v any) ([]byte, error) {
	switch x := v.(type) {
	case nil:
		return append(dst, "null"...), nil
	case bool:
		return fmt.Append(dst, x), nil
	case string:
		if err := checkText(x); err != nil {
			return dst, err
		}
		return appendJSONString(dst, []byte(x)), nil
	case []string:
		list := make([]any, len(x))
		for i, s := range x {
			list[i] = s
		}
		return appendJSONBList(dst, list)
	case []any:
		return appendJSONBList(dst, x)
	case map[string]any:
		return appendJSONBObject(dst, x)
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return dst, fmt.Errorf("JSON has no number %v", x)
		}
	}
	return appendJSONBNumber(dst, v)
}

func appendJSONBNumber(dst []byte, v any) ([]byte, error) {
	s, ok := numberText(v)
	if !ok {
		return dst, fmt.Errorf("can't be made of a Go %T", v)
	}
	d, ok := scanDecimal([]byte(s))
	if !ok || !json.Valid([]byte(s)) || !d.fitsNumeric() {
		return dst, fmt.Errorf("%s is not a number within PostgreSQL's range", describe(v))
	}
	return d.appendText(dst), nil
}

func appendJSONBList(dst []byte, list []any) ([]byte, error) {
	dst = append(dst, '[')
	for i, e := range list {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		var err error
		if dst, err = appendJSONB(dst, e); err != nil {
			return dst, err
		}
	}
	return append(dst, ']'), nil
}

// appendJSONBObject writes the keys in jsonb's order: by length, then octets.
func appendJSONBObject(dst []byte, object map[string]any) ([]byte, error) {
	keys := make([]string, 0, len(object))
	for k := range object {
		if err := checkText(k); err != nil {
			return dst, err
		}
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		if a < b {
			return -1
		}
		return 1
	})
	dst = append(dst, '{')
	for i, k := range keys {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = append(appendJSONString(dst, []byte(k)), ": "...)
		var err error
		if dst, err = appendJSONB(dst, object[k]); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}
