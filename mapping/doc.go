// Package mapping is the configuration: which tables are served, who may see
// which of their rows and columns, and the limits of the server. It reads a
// file, holds it against the database, and then answers with pure functions.
//
// # From file to access
//
//	walwire.yaml ── Load ──> Config ── Compile(catalogue) ──> Mapping
//	                                                            │ Table, UserRow
//	                 Principal's attributes ──> Table.Access ───┴─> predicate, columns
//
// Load reads YAML strictly, fills defaults in and checks what needs no database.
// Compile checks tables, columns and rules against the catalogue and translates
// the rules. Both report every finding at once, as Errors: file, line, column,
// the setting's path, what is wrong and what to do. Inside a rule line and
// column are those of the offending character in the file, whatever YAML style
// the rule is written in.
//
// ${NAME} and ${NAME:-default} stand for variables of the environment in every
// value but a rule and a schedule's SQL; $${ is a literal ${. Anchors, aliases, tags and merge keys
// are not read. Files named in the configuration are relative to its folder.
//
// # Tables
//
// A table's name is SQL's: unquoted parts are folded to lower case, quoted ones
// stand as they are, and the schema is public where none is given. Columns are
// named as the catalogue spells them. Every table names its company column; a
// table that has none is refused, as a row whose company can't be read off the
// row itself could not be kept from others at the moment it changes. The key
// comes from the catalogue. Generated columns are not in the log of changes:
// they are left out of "*" and refused where they are named.
//
// Columns are allow-lists. "*" and {except: [...]} mean the columns the table
// has when Compile runs: one that is added later is not shown before the next
// load. The key's columns are always shown, for a removal must say which row.
//
// # Rules
//
// A rule is CEL over two variables: row, with the table's columns and their
// types, and user, with the attributes that the configuration maps. It is type
// checked against the table and then translated into a predicate, so that one
// thing is evaluated for each change and compiled to SQL for a snapshot. Hence a
// column may only be
//
//   - compared with ==, !=, <, <=, > or >=, on either side, with a value that
//     needs no row: a constant, or anything CEL computes from user;
//   - tested with == null or != null;
//   - looked for, in `row.column in list` and `value in row.array_column`;
//   - asked for a prefix, with row.column.startsWith(value);
//   - a condition by itself, when it is boolean;
//
// combined by &&, ||, ! and ?:. The rest is refused with its place. A part that
// names no column is left to CEL, evaluated with user when the rule is bound.
// There is no clock and no access to other rows: a rule's answer changes only
// when the row or the user does. A column whose name is no identifier is written
// in backquotes, as in row.`Due Date`.
//
// Where PostgreSQL compares a column with more than one type of CEL, so may a
// rule: numeric with int, double and text; timestamps with timestamp(...) and
// text; dates, times and intervals with text. A uuid is text. An integer column
// also takes text that is an integer as printed, since a token's sub is text.
//
// # What is missing is false
//
// The translation pushes negation down to the comparisons and then makes false
// each comparison that can't be made, whether or not the rule negated it: an
// attribute that is missing or null, a computation that fails, a value that does
// not fit the column, a NULL in the column. So !(row.role == user.role) shows
// nothing to a user without a role. As nothing stands above the comparisons but
// "and" and "or", a missing attribute never shows a row that some value of it
// would hide. Only a literal null is a null test; an attribute that is null
// equals nothing. A part without a column follows CEL, where a value of another
// type is simply different: !(user.level == 3) holds for the level "3".
//
// # Users with several roles
//
// A row is sent once, with one set of columns, so rules of roles with different
// columns can't simply be joined: that would show the columns of one role on the
// rows of another. Table.Access lets one role lead, the first in the
// configuration's order whose rule can hold for the user. The columns are the
// leader's; the rows are the leader's and those of every other role of the user
// whose columns include the leader's. Each cell shown is thus allowed by one role
// alone. The price is that a user may see less than all their roles allow
// together: list the role that sees most first. A caller that wants the view of
// one role passes that role alone.
//
// # Attributes from rows
//
// users finds attributes in a row of a mapped table of the user's company, which
// win over claims: see UserRow. id and company are always the token's. A row can
// also end its user's access.
//
// The package has no goroutines and no state. A Config, a Mapping and all they
// hold are immutable and may be used by several goroutines at once.
package mapping
