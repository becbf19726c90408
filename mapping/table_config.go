package mapping

import (
	"slices"

	"github.com/goccy/go-yaml/ast"
)

// TableConfig maps a table to a public name.
type TableConfig struct {
	Name     string // what clients call it
	Relation Relation
	// Company is the column that says whose row it is.
	Company string
	// Roles may see something of the table, in the file's order; no other may.
	Roles []RoleConfig
	// Rooms say in which columns the rooms of its events stand.
	Rooms  []RoomColumn
	Events []EventConfig

	firstRule int // place of the first of Events among all tables', from 1; 0: as compiled
}

// Numbered gives the configuration with its rules numbered, so that they keep their
// places where only some of its tables are compiled.
func (c *Config) Numbered() *Config {
	numbered := *c
	numbered.Tables = slices.Clone(c.Tables)
	next := 1
	for i := range numbered.Tables {
		numbered.Tables[i].firstRule = next
		next += len(numbered.Tables[i].Events)
	}
	return &numbered
}

// RoleConfig says what a role may see of a table.
type RoleConfig struct {
	Name    string
	Rows    Expression
	Columns ColumnList
}

// Expression is a CEL rule as written.
type Expression struct {
	Text string
	// at holds the place in the file of each character, and one more.
	at []Position
}

// position gives the place in the file of the character at a rune offset.
func (e Expression) position(offset int) Position {
	if len(e.at) == 0 {
		return Position{}
	}
	return e.at[min(max(offset, 0), len(e.at)-1)]
}

// ColumnList says which columns: all with or without exceptions, or those named.
type ColumnList struct {
	// All means every column that the table has when the configuration is
	// compiled against it; one added later is not shown before the next load.
	All    bool
	Except []string // of All
	Names  []string // without All
}

const companyHint = "every row must say whose it is in a column of its own. " +
	"If this table's rows belong to a company only through another table, add a company column to it and fill it, or leave the table out"

func (d *decoder) tables(n ast.Node, path string, into *[]TableConfig) {
	entries, _ := d.entries(n, path)
	*into = make([]TableConfig, len(entries))
	for i, e := range entries {
		t := &(*into)[i]
		t.Name = e.name
		d.object(e.value, e.path,
			field{"table", "give the table's name in the database, as in public.orders", func(n ast.Node, path string) { d.relation(n, path, &t.Relation) }},
			field{"company", "name the company column; " + companyHint, d.textField(&t.Company)},
			field{"roles", "", func(n ast.Node, path string) { d.roles(n, path, &t.Roles) }},
			field{"rooms", "", func(n ast.Node, path string) { d.roomColumns(n, path, &t.Rooms) }},
			field{"events", "", func(n ast.Node, path string) { d.events(n, path, &t.Events) }},
		)
	}
}

func (d *decoder) relation(n ast.Node, path string, into *Relation) {
	name, ok := d.text(n, path)
	if !ok {
		return
	}
	relation, err := ParseRelation(name)
	if err != nil {
		d.add(positionOf(n), path, "%q is not a table's name: %v", name, err)
		return
	}
	*into = relation
}

func (d *decoder) roles(n ast.Node, path string, into *[]RoleConfig) {
	entries, _ := d.entries(n, path)
	*into = make([]RoleConfig, len(entries))
	for i, e := range entries {
		r := &(*into)[i]
		r.Name = e.name
		d.object(e.value, e.path,
			field{"rows", "say which rows the role may see, as in `row.staff_id == user.staff_id`, or true for all of the company's", func(n ast.Node, path string) { d.expression(n, path, &r.Rows) }},
			field{"columns", "list the columns the role may see, or \"*\" for all", func(n ast.Node, path string) { d.columns(n, path, &r.Columns) }},
		)
	}
}

// expression reads a rule. Variables of the environment are not put in: a rule
// must read as what it is.
func (d *decoder) expression(n ast.Node, path string, into *Expression) {
	text, ok := rawText(n)
	if b, is := n.(*ast.BoolNode); is {
		text, ok = b.GetToken().Value, true
	}
	if !ok {
		d.wrongType(n, path, "a rule")
		return
	}
	*into = Expression{Text: text, at: d.source.align(n, text)}
}

func (d *decoder) columns(n ast.Node, path string, into *ColumnList) {
	switch v := n.(type) {
	case *ast.StringNode:
		if v.Value != "*" {
			d.add(positionOf(n), path, "expected a list of columns or \"*\" for all, got %q: write [%s] for this one", v.Value, v.Value)
			return
		}
		into.All = true
	case *ast.MappingNode, *ast.MappingValueNode:
		into.All = true
		d.object(n, path, field{"except", "list the columns to leave out", d.listField(&into.Except)})
	default:
		d.listField(&into.Names)(n, path)
	}
}

func (c *Config) tableNames() []string {
	names := make([]string, len(c.Tables))
	for i, t := range c.Tables {
		names[i] = t.Name
	}
	return names
}

func (v *validator) tables(c *Config) {
	if len(c.Tables) == 0 {
		v.report("tables", "is empty: map at least one table")
	}
	mapped := make(map[Relation]string, len(c.Tables))
	for i := range c.Tables {
		t := &c.Tables[i]
		path := join("tables", t.Name)
		if !isPlainName(t.Name) {
			v.reportKey(path, "%q can't be a public name: use letters, digits and underscores", t.Name)
		}
		if other, twice := mapped[t.Relation]; twice && t.Relation != (Relation{}) {
			v.report(path+".table", "%s is already mapped as %q: a table has one public name", t.Relation, other)
		}
		mapped[t.Relation] = t.Name
		for _, r := range t.Roles {
			v.role(join(path+".roles", r.Name), r)
		}
		v.events(c, path, t)
	}
}

func (v *validator) role(path string, r RoleConfig) {
	if r.Name == "" {
		v.reportKey(path, "a role's name is empty")
	}
	listed, what := r.Columns.Names, path+".columns"
	if r.Columns.All {
		listed, what = r.Columns.Except, path+".columns.except"
	} else if len(listed) == 0 {
		v.report(what, "is empty: list the columns the role may see, or remove the role")
	}
	seen := make(map[string]bool, len(listed))
	for i, name := range listed {
		if seen[name] {
			v.report(index(what, i), "%q is here twice: keep one", name)
		}
		seen[name] = true
	}
}
