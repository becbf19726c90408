package mapping

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/walwire/walwire/cdc/pgvalue"
	"github.com/walwire/walwire/mapping/predicate"
)

// UserRow finds attributes of the user in a row of a mapped table. Immutable.
//
// The caller looks for rows of the user's company that satisfy Predicate. One
// row: its Attributes replace those of the same name. No row: what claims gave
// stays, unless the row is Required. More than one: the configuration does not say
// who the user is, and every attribute of the lookup is to be taken for missing.
type UserRow struct {
	Table      *Table
	Required   bool
	roles      []string // whose users are looked up; nil: all
	match      []rowMatch
	attributes []rowAttribute
	active     *Rule // nil: always
}

// Applies reports whether users with these roles, the token's, are looked up.
func (r *UserRow) Applies(roles []string) bool {
	return r.roles == nil || slices.ContainsFunc(r.roles, func(role string) bool { return slices.Contains(roles, role) })
}

// Active reports whether the row leaves its user access. user holds all attributes,
// this row's included.
func (r *UserRow) Active(row predicate.Source, user map[string]any) (bool, error) {
	if r.active == nil {
		return true, nil
	}
	eval := predicate.NewRow(r.Table.Columns)
	eval.Reset(row)
	return r.active.Bind(user).Eval(eval)
}

type rowMatch struct {
	ordinal   int
	attribute string
}

type rowAttribute struct {
	ordinal int
	name    string
}

// Predicate says which row is the user's, by the attributes known so far. It is
// False when one of them is missing.
func (r *UserRow) Predicate(user map[string]any) *predicate.Node {
	nodes := make([]*predicate.Node, len(r.match))
	for i, m := range r.match {
		node, err := compare(m.ordinal, r.Table.Columns[m.ordinal], predicate.Eq, user[m.attribute])
		if err != nil {
			return predicate.Never()
		}
		nodes[i] = node
	}
	return predicate.All(nodes...)
}

// Columns gives the ordinals of the columns that Attributes and Active read.
func (r *UserRow) Columns() []int {
	columns := make([]int, len(r.attributes))
	for i, a := range r.attributes {
		columns[i] = a.ordinal
	}
	if r.active != nil {
		columns = append(columns, r.active.columns...)
	}
	slices.Sort(columns)
	return slices.Compact(columns)
}

// Names gives the names of the attributes that the row defines.
func (r *UserRow) Names() []string {
	names := make([]string, len(r.attributes))
	for i, a := range r.attributes {
		names[i] = a.name
	}
	return names
}

// Attributes gives the attributes of a row in PostgreSQL's text format. A NULL
// is nil, which rules take for missing even where a claim has a value. Roles are a
// []string, also of one text.
func (r *UserRow) Attributes(row predicate.Source) (map[string]any, error) {
	out := make(map[string]any, len(r.attributes))
	for _, a := range r.attributes {
		column := r.Table.Columns[a.ordinal]
		text, null := row.Column(a.ordinal)
		if null {
			out[a.name] = nil
			continue
		}
		v, err := attributeValue(column.Type, text)
		if err != nil {
			return nil, fmt.Errorf("attribute %s from column %q: %w", a.name, column.Name, err)
		}
		if a.name == AttributeRoles {
			v = rolesOf(v)
		}
		out[a.name] = v
	}
	return out, nil
}

// rolesOf gives the roles of a text, or of a list of texts.
func rolesOf(v any) []string {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	var roles []string
	for _, item := range list {
		if role, ok := item.(string); ok && role != "" && !slices.Contains(roles, role) {
			roles = append(roles, role)
		}
	}
	return roles
}

// attributeValue gives a column's value as a claim of the same meaning would be,
// but with integers of every width as int64.
func attributeValue(t *pgvalue.Type, text []byte) (any, error) {
	encoded, err := t.AppendJSON(nil, text)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(encoded))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("decode %s: %w", t.Name, err)
	}
	return attributeOf(t, v), nil
}

func attributeOf(t *pgvalue.Type, v any) any {
	switch v := v.(type) {
	case string:
		if t.Kind == pgvalue.KindInt8 {
			if n, err := strconv.ParseInt(v, 10, 64); err == nil {
				return n
			}
		}
		if t.Kind == pgvalue.KindFloat4 || t.Kind == pgvalue.KindFloat8 {
			if f, err := strconv.ParseFloat(v, 64); err == nil { // NaN, Infinity
				return f
			}
		}
	case json.Number:
		if t.Kind == pgvalue.KindFloat4 || t.Kind == pgvalue.KindFloat8 {
			if f, err := v.Float64(); err == nil {
				return f
			}
		}
	case []any:
		elem := t
		if t.Kind == pgvalue.KindArray {
			elem = t.Elem
		}
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = attributeOf(elem, item)
		}
		return out
	}
	return plain(v)
}
