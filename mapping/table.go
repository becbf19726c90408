package mapping

import (
	"fmt"
	"slices"

	"github.com/walwire/walwire/mapping/predicate"
)

// ColumnInfo is a column as the catalogue describes it.
type ColumnInfo struct {
	predicate.Column
	NotNull bool
	// Generated columns are not in the log of changes: they are never shown and
	// no rule can rest on them.
	Generated bool
}

// TableInfo is what Compile needs to know of a table in the database.
type TableInfo struct {
	Columns []ColumnInfo
	Key     []int // ordinals in Columns; empty when the table has no usable key
}

// Table is a mapped table, ready for use. Immutable.
type Table struct {
	Name     string // what clients call it
	Relation Relation
	Company  int                // ordinal of the company column
	Columns  []predicate.Column // as in TableInfo
	Key      []int              // ordinals of the key's columns

	roles  []roleAccess // in the configuration's order
	rooms  []TableRoom
	events []*Event
}

// roleAccess is what one role may see.
type roleAccess struct {
	role    string
	rule    *Rule
	columns []int // ascending, with the key
}

// Access gives what a user with these roles may see: the rule its rows must
// satisfy, besides belonging to the user's company (which is the caller's to
// add), and the ordinals of its columns, ascending, always with the key's.
// ok is false when none of the roles has a rule for the table.
//
// A row is shown with one set of columns, whoever may see it. So of the user's
// roles the first in the configuration's order whose rule can hold for this
// user leads: its columns are those shown, and the rows are those of its rule
// and of every other role of the user that may see at least these columns.
// Thus no cell is shown that no single role allows. To see the table as one
// role sees it, pass that role alone.
func (t *Table) Access(roles []string, user map[string]any) (rule *predicate.Node, columns []int, ok bool) {
	b := &binding{user: user}
	rule = predicate.Never()
	for _, access := range t.roles {
		if !slices.Contains(roles, access.role) {
			continue
		}
		node := access.rule.bind(b)
		switch {
		case !ok, rule.Kind == predicate.False && node.Kind != predicate.False:
			rule, columns, ok = node, access.columns, true
		case includes(access.columns, columns):
			rule = predicate.Any(rule, node)
		}
	}
	return rule, slices.Clone(columns), ok
}

// ColumnsOf gives the ordinals of the columns that a role may see, ascending, with the
// key's; false where it sees nothing of the table.
func (t *Table) ColumnsOf(role string) ([]int, bool) {
	for _, access := range t.roles {
		if access.role == role {
			return slices.Clone(access.columns), true
		}
	}
	return nil, false
}

// includes reports whether the ascending list a has all of b.
func includes(a, b []int) bool {
	for _, x := range b {
		if _, found := slices.BinarySearch(a, x); !found {
			return false
		}
	}
	return true
}

// CompanyNode gives the predicate "the row belongs to this company", a leaf with
// one parameter, whose Key is the same for every way to write the company. A
// company that the column's type can't hold is an error.
func (t *Table) CompanyNode(company string) (*predicate.Node, error) {
	column := t.Columns[t.Company]
	if isIntegerKind(column.Type.Kind) && !isCanonicalInteger(company) {
		return nil, fmt.Errorf("company of table %s: column %q is %s, and %q is not a whole number as it is printed", t.Name, column.Name, column.Type.Name, company)
	}
	node, err := compare(t.Company, column, predicate.Eq, company)
	if err != nil {
		return nil, fmt.Errorf("company of table %s: %w", t.Name, err)
	}
	return node, nil
}
