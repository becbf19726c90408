package mapping

import (
	"maps"
	"slices"

	"github.com/goccy/go-yaml/ast"
)

// The attributes every user has. They come from the token alone: what says who
// somebody is and where they belong must not depend on a row they may reach.
const (
	AttributeID      = "id"
	AttributeCompany = "company"
	AttributeRoles   = "roles"
)

func isRequiredAttribute(name string) bool {
	return name == AttributeID || name == AttributeCompany || name == AttributeRoles
}

// User says where the attributes of `user` in the rules come from.
type User struct {
	// Claims maps an attribute to a claim's path; dots lead into objects.
	Claims map[string]string
	// Rows are looked up in this order; what one finds wins over a claim and
	// over the rows before it.
	Rows []UserRowConfig
}

// UserRowConfig finds attributes in a row of a mapped table.
type UserRowConfig struct {
	Table string
	// Match says which row: each column equals the attribute.
	Match []ColumnAttribute
	// Attributes says what the row's columns become.
	Attributes []ColumnAttribute
}

// ColumnAttribute pairs a column with an attribute.
type ColumnAttribute struct{ Column, Attribute string }

func (d *decoder) user(n ast.Node, path string, u *User) {
	d.object(n, path,
		field{"claims", "map id, company and roles to claims, as in `id: sub`", func(n ast.Node, path string) {
			entries, _ := d.entries(n, path)
			u.Claims = make(map[string]string, len(entries))
			for _, e := range entries {
				if claim, ok := d.text(e.value, e.path); ok {
					u.Claims[e.name] = claim
				}
			}
		}},
		field{"rows", "", func(n ast.Node, path string) {
			items, _ := d.items(n, path)
			u.Rows = make([]UserRowConfig, len(items))
			for i, item := range items {
				d.userRow(item, index(path, i), &u.Rows[i])
			}
		}},
	)
}

func (d *decoder) userRow(n ast.Node, path string, r *UserRowConfig) {
	d.object(n, path,
		field{"table", "give the public name of a mapped table", d.textField(&r.Table)},
		field{"match", "say which row is the user's, as in `{user_id: id}`", func(n ast.Node, path string) {
			entries, _ := d.entries(n, path)
			for _, e := range entries {
				if attribute, ok := d.text(e.value, e.path); ok {
					r.Match = append(r.Match, ColumnAttribute{Column: e.name, Attribute: attribute})
				}
			}
		}},
		field{"attributes", "say which columns become attributes, as in `{staff_id: id}`", func(n ast.Node, path string) {
			entries, _ := d.entries(n, path)
			for _, e := range entries {
				if column, ok := d.text(e.value, e.path); ok {
					r.Attributes = append(r.Attributes, ColumnAttribute{Column: column, Attribute: e.name})
				}
			}
		}},
	)
}

func (v *validator) user(c *Config) {
	known := make([]string, 0, len(c.User.Claims))
	for _, name := range []string{AttributeID, AttributeCompany, AttributeRoles} {
		if _, ok := c.User.Claims[name]; !ok {
			v.reportKey("user.claims", "%s is missing: say which claim holds it", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.User.Claims)) {
		claim := c.User.Claims[name]
		path := join("user.claims", name)
		v.attributeName(path, name)
		if claim == "" {
			v.report(path, "is empty: give the name of a claim")
		}
		known = append(known, name)
	}
	for i, row := range c.User.Rows {
		known = v.userRow(c, index("user.rows", i), row, known)
	}
}

// userRow checks one lookup and gives the attributes known after it.
func (v *validator) userRow(c *Config, path string, row UserRowConfig, known []string) []string {
	if _, ok := c.Table(row.Table); !ok && row.Table != "" {
		v.report(path+".table", "no table is mapped as %q%s", row.Table, didYouMean(row.Table, c.tableNames()))
	}
	if len(row.Match) == 0 {
		v.report(path+".match", "is empty: say which row is the user's, as in {user_id: id}")
	}
	if len(row.Attributes) == 0 {
		v.report(path+".attributes", "is empty: say which columns become attributes, as in {staff_id: id}")
	}
	for _, m := range row.Match {
		at := join(path+".match", m.Column)
		switch {
		case m.Attribute == AttributeRoles:
			v.report(at, "roles is a list: match the column against one value, such as id")
		case !slices.Contains(known, m.Attribute):
			v.report(at, "there is no attribute %q before this row%s; known here: %s", m.Attribute, didYouMean(m.Attribute, known), listOf(known))
		}
	}
	for _, a := range row.Attributes {
		at := join(path+".attributes", a.Attribute)
		v.attributeName(at, a.Attribute)
		if isRequiredAttribute(a.Attribute) {
			v.report(at, "%s can't come from a row: it is always the token's; choose another name", a.Attribute)
		}
		known = append(known, a.Attribute)
	}
	return known
}

func (v *validator) attributeName(path, name string) {
	if !isPlainName(name) || isReserved(name) {
		v.report(path, "%q can't be an attribute's name in rules: use letters, digits and underscores, and no word that CEL reserves", name)
	}
}

// isReserved tells the words that CEL does not take as names.
func isReserved(name string) bool {
	return slices.Contains([]string{
		"as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let",
		"loop", "package", "namespace", "null", "return", "true", "var", "void", "while",
	}, name)
}
