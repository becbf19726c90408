package mapping

import (
	"maps"
	"slices"

	"github.com/goccy/go-yaml/ast"
)

// The attributes every user has. id and company come from the token alone: they
// say in whose rows to look for the rest.
const (
	AttributeID      = "id"
	AttributeCompany = "company"
	AttributeRoles   = "roles"
)

// User says where the attributes of `user` in the rules come from.
type User struct {
	// Claims maps an attribute to a claim's path; dots lead into objects.
	Claims map[string]string
	// Operators are roles whose tokens may name any company.
	Operators []string
	// Rows are looked up in this order; what one finds wins over a claim and
	// over the rows before it. The file has them as users.
	Rows []UserRowConfig
}

// UserRowConfig finds attributes in a row of a mapped table.
type UserRowConfig struct {
	Table string
	// Match says which row: each column equals the attribute.
	Match []ColumnAttribute
	// For are the roles, of the token, whose users are looked up; none means all.
	For []string
	// Required ends the access of who has no such row.
	Required bool
	// Active is a condition over the row: where it does not hold, access ends. Without
	// text it always holds.
	Active Expression
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
		field{"operators", "", d.listField(&u.Operators)},
	)
}

func (d *decoder) users(n ast.Node, path string, into *[]UserRowConfig) {
	items, _ := d.items(n, path)
	*into = make([]UserRowConfig, len(items))
	for i, item := range items {
		d.userRow(item, index(path, i), &(*into)[i])
	}
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
		field{"for", "", d.listField(&r.For)},
		field{"required", "", d.boolField(&r.Required)},
		field{"active", "", func(n ast.Node, path string) { d.expression(n, path, &r.Active) }},
		field{"attributes", "", func(n ast.Node, path string) {
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
		known = v.userRow(c, index("users", i), row, known)
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
	if len(row.Attributes) == 0 && !row.Required && row.Active.Text == "" {
		v.report(path, "says nothing: give attributes, as in {staff_id: id}, or what ends access, as in active: row.active")
	}
	if slices.Contains(row.For, "") {
		v.report(path+".for", "holds an empty text: list the roles whose users have such a row")
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
		if a.Attribute == AttributeID || a.Attribute == AttributeCompany {
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
