package mapping

import (
	"fmt"
	"slices"

	"cel.dev/cel-go/cel"

	"github.com/walwire/walwire/cdc/pgvalue"
)

// Mapping is a configuration compiled against a database. Immutable.
type Mapping struct {
	tables   []*Table
	userRows []*UserRow
	rooms    []*Room
}

// Table gives the table mapped under the public name.
func (m *Mapping) Table(name string) (*Table, bool) {
	i := slices.IndexFunc(m.tables, func(t *Table) bool { return t.Name == name })
	if i < 0 {
		return nil, false
	}
	return m.tables[i], true
}

// Tables gives the mapped tables in the configuration's order.
func (m *Mapping) Tables() []*Table { return slices.Clone(m.tables) }

// UserRows gives the lookups of the user's attributes, in the order to do them.
func (m *Mapping) UserRows() []*UserRow { return slices.Clone(m.userRows) }

// Compile holds a configuration against the tables of the database, given by
// their public names. All findings come at once, as an Errors.
func Compile(cfg *Config, tables map[string]TableInfo) (*Mapping, error) {
	c := &compiler{
		validator: validator{problems: problems{file: cfg.File}, positions: cfg.positions},
		cfg:       cfg,
		infos:     tables,
		mapping:   &Mapping{},
	}
	for _, t := range cfg.Tables {
		if info, ok := tables[t.Name]; ok {
			c.mapping.tables = append(c.mapping.tables, c.table(t, info))
		} else {
			c.report(join("tables", t.Name)+".table", "table %s was not found in the database", t.Relation)
		}
	}
	c.sameCompanies()
	for i, row := range cfg.User.Rows {
		if r := c.userRow(index("users", i), row); r != nil {
			c.mapping.userRows = append(c.mapping.userRows, r)
		}
	}
	user := c.attributeTypes()
	if len(c.list) == 0 { // else a lookup may be missing
		for i, row := range cfg.User.Rows {
			c.active(index("users", i)+".active", row, c.mapping.userRows[i], user)
		}
	}
	for i := range cfg.Tables {
		if t, ok := c.mapping.Table(cfg.Tables[i].Name); ok {
			c.rules(cfg.Tables[i], t, user)
			c.events(&cfg.Tables[i], t)
		}
	}
	c.rooms(user)
	if err := c.err(); err != nil {
		return nil, err
	}
	return c.mapping, nil
}

// compiler makes a Mapping and collects findings.
type compiler struct {
	validator
	cfg     *Config
	infos   map[string]TableInfo
	mapping *Mapping
	ordinal int // of the next rule for events
}

func (c *compiler) table(cfg TableConfig, info TableInfo) *Table {
	path := join("tables", cfg.Name)
	t := &Table{Name: cfg.Name, Relation: cfg.Relation, Key: slices.Clone(info.Key)}
	for _, column := range info.Columns {
		t.Columns = append(t.Columns, column.Column)
	}
	if !isKey(info) {
		t.Key = nil
		c.report(path+".table", "%s has no key that names a row at every moment: give it a primary key, or a unique index over NOT NULL columns that is neither deferrable nor partial", cfg.Relation)
	}
	for _, k := range t.Key {
		if err := t.Columns[k].Type.CheckKey(); err != nil {
			c.report(path+".table", "the key of %s has column %q: %v. Give the table a primary key of other types", cfg.Relation, t.Columns[k].Name, err)
		}
	}
	if t.Company = columnIndex(info, cfg.Company); t.Company < 0 {
		t.Company = 0
		c.report(path+".company", "%s has no column %q%s; %s", cfg.Relation, cfg.Company, didYouMean(cfg.Company, columnNames(info)), companyHint)
	} else if err := checkCompany(info.Columns[t.Company]); err != nil {
		c.report(path+".company", "%v", err)
	}
	return t
}

// isKey reports whether a table has a key, of columns that it has.
func isKey(info TableInfo) bool {
	return len(info.Key) > 0 && !slices.ContainsFunc(info.Key, func(i int) bool { return i < 0 || i >= len(info.Columns) })
}

// sameCompanies checks that all company columns write one company alike: a token
// names it once for all tables.
func (c *compiler) sameCompanies() {
	var first *Table
	for _, t := range c.mapping.tables {
		cfg, _ := c.cfg.Table(t.Name)
		if columnIndex(c.infos[t.Name], cfg.Company) < 0 {
			continue // reported already
		}
		if first == nil {
			first = t
		}
		if one, other := companyKind(t), companyKind(first); one != other {
			c.report(join("tables", t.Name)+".company", "the company is %s here and %s in table %s: a token names one company for all tables, so give them columns of one kind",
				one, other, first.Name)
		}
	}
}

func companyKind(t *Table) string { return kindOfCompany(t.Columns[t.Company].Type) }

// CompanyKind names what the tables' company columns hold, as a token writes it; "" where
// there is no table.
func (m *Mapping) CompanyKind() string {
	if len(m.tables) == 0 {
		return ""
	}
	return companyKind(m.tables[0])
}

// CompanyKind is Mapping.CompanyKind of a table alone, "" where it has no such column.
func (t *TableInfo) CompanyKind(company string) string {
	i := columnIndex(*t, company)
	if i < 0 {
		return ""
	}
	return kindOfCompany(t.Columns[i].Type)
}

func kindOfCompany(t *pgvalue.Type) string {
	switch t.Kind {
	case pgvalue.KindInt, pgvalue.KindInt8:
		return "an integer"
	case pgvalue.KindUUID:
		return "a uuid"
	}
	return "text"
}

// checkCompany refuses company columns whose values a token can't name exactly.
func checkCompany(column ColumnInfo) error {
	switch {
	case column.Generated:
		return fmt.Errorf("column %q is generated: it is not in the log of changes; name a stored column", column.Name)
	case column.Type.Kind == pgvalue.KindInt, column.Type.Kind == pgvalue.KindInt8,
		column.Type.Kind == pgvalue.KindUUID, column.Type.Kind == pgvalue.KindText:
		return column.Type.CheckEquality()
	}
	return fmt.Errorf("column %q is %s: a company column is smallint, integer, bigint, uuid, text or varchar", column.Name, column.Type.Name)
}

// rules compiles what the roles may see of a table.
func (c *compiler) rules(cfg TableConfig, t *Table, user map[string]*cel.Type) {
	path, info := join("tables", cfg.Name)+".roles", c.infos[cfg.Name]
	s, err := newSchema(t.Columns, user)
	if err != nil {
		c.reportKey(path, "prepare the rules: %v", err)
		return
	}
	env, err := s.environment()
	if err != nil {
		c.reportKey(path, "prepare the rules: %v", err)
		return
	}
	for _, role := range cfg.Roles {
		at := join(path, role.Name)
		compiler := ruleCompiler{env: env, schema: s, table: t, info: info}
		compiler.report = func(offset int, format string, args ...any) {
			c.add(role.Rows.position(offset), at+".rows", format, args...)
		}
		t.roles = append(t.roles, roleAccess{
			role:    role.Name,
			rule:    compiler.compile(role.Rows.Text),
			columns: c.columns(at+".columns", role.Columns, t, info),
		})
	}
}

// columns gives the ordinals a list names, ascending, with the key's: removals
// carry it.
func (c *compiler) columns(path string, list ColumnList, t *Table, info TableInfo) []int {
	shown := make([]bool, len(info.Columns))
	listed, at := list.Names, path
	if list.All {
		listed, at = list.Except, path+".except"
		for i, column := range info.Columns {
			shown[i] = !column.Generated
		}
	}
	for i, name := range listed {
		ordinal := columnIndex(info, name)
		switch {
		case ordinal < 0:
			c.report(index(at, i), "%s has no column %q%s", t.Relation, name, didYouMean(name, columnNames(info)))
			continue
		case !list.All && info.Columns[ordinal].Generated:
			c.report(index(at, i), "column %q is generated: it is not in the log of changes; leave it out", name)
		case list.All && slices.Contains(t.Key, ordinal):
			c.report(index(at, i), "column %q is in the key, which every role sees: leave it out of the exceptions, or remove the role", name)
		}
		shown[ordinal] = !list.All
	}
	for _, ordinal := range t.Key {
		shown[ordinal] = true
	}
	var ordinals []int
	for ordinal, is := range shown {
		if is {
			ordinals = append(ordinals, ordinal)
		}
	}
	return ordinals
}

// userRow compiles a lookup of the user's attributes; nil after a finding.
func (c *compiler) userRow(path string, cfg UserRowConfig) *UserRow {
	t, ok := c.mapping.Table(cfg.Table)
	if !ok {
		return nil // reported with the table
	}
	r, before := &UserRow{Table: t, Required: cfg.Required, roles: slices.Clone(cfg.For)}, len(c.list)
	for _, m := range cfg.Match {
		ordinal := c.rowColumn(join(path+".match", m.Column), m.Column, t)
		if ordinal < 0 {
			continue
		}
		if err := t.Columns[ordinal].Type.CheckEquality(); err != nil {
			c.report(join(path+".match", m.Column), "column %q: %v", m.Column, err)
		}
		r.match = append(r.match, rowMatch{ordinal: ordinal, attribute: m.Attribute})
	}
	for _, a := range cfg.Attributes {
		if ordinal := c.rowColumn(join(path+".attributes", a.Attribute), a.Column, t); ordinal >= 0 {
			r.attributes = append(r.attributes, rowAttribute{ordinal: ordinal, name: a.Attribute})
			if a.Attribute == AttributeRoles && !holdsRoles(t.Columns[ordinal].Type) {
				c.report(join(path+".attributes", a.Attribute), "column %q is %s: roles come from text, an enum, or an array of these", a.Column, t.Columns[ordinal].Type.Name)
			}
		}
	}
	if len(c.list) > before {
		return nil
	}
	return r
}

// active compiles what keeps a user's access.
func (c *compiler) active(path string, cfg UserRowConfig, r *UserRow, user map[string]*cel.Type) {
	if cfg.Active.Text == "" {
		return
	}
	s, err := newSchema(r.Table.Columns, user)
	var env *cel.Env
	if err == nil {
		env, err = s.environment()
	}
	if err != nil {
		c.reportKey(path, "prepare the rule: %v", err)
		return
	}
	compiler := ruleCompiler{env: env, schema: s, table: r.Table, info: c.infos[cfg.Table]}
	compiler.report = func(offset int, format string, args ...any) {
		c.add(cfg.Active.position(offset), path, format, args...)
	}
	r.active = compiler.compile(cfg.Active.Text)
}

// holdsRoles reports whether a column's values can name roles.
func holdsRoles(t *pgvalue.Type) bool {
	if t.Kind == pgvalue.KindArray {
		t = t.Elem
	}
	return t.Kind == pgvalue.KindText || t.Kind == pgvalue.KindEnum
}

// rowColumn gives the ordinal of a column of the user's row, or -1 after a finding.
func (c *compiler) rowColumn(path, name string, t *Table) int {
	info := c.infos[t.Name]
	ordinal := columnIndex(info, name)
	switch {
	case ordinal < 0:
		c.report(path, "%s has no column %q%s", t.Relation, name, didYouMean(name, columnNames(info)))
	case info.Columns[ordinal].Generated:
		c.report(path, "column %q is generated: it is not in the log of changes; name a stored column", name)
		return -1
	}
	return ordinal
}

// attributeTypes gives the types of `user`'s attributes: a row's have the
// column's, claims can be anything.
func (c *compiler) attributeTypes() map[string]*cel.Type {
	user := make(map[string]*cel.Type)
	for _, row := range c.cfg.User.Rows {
		info := c.infos[row.Table]
		for _, a := range row.Attributes {
			_, twice := user[a.Attribute]
			_, claimed := c.cfg.User.Claims[a.Attribute]
			ordinal := columnIndex(info, a.Column)
			if user[a.Attribute] = cel.DynType; ordinal >= 0 && !twice && !claimed {
				user[a.Attribute] = attributeType(info.Columns[ordinal].Type)
			}
		}
	}
	for name := range c.cfg.User.Claims {
		user[name] = cel.DynType
	}
	user[AttributeRoles] = cel.ListType(cel.StringType)
	return user
}

func columnIndex(info TableInfo, name string) int {
	return slices.IndexFunc(info.Columns, func(c ColumnInfo) bool { return c.Name == name })
}

func columnNames(info TableInfo) []string {
	names := make([]string, len(info.Columns))
	for i, c := range info.Columns {
		names[i] = c.Name
	}
	return names
}
