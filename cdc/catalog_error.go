package cdc

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// TableReason says why a table can't be mapped.
type TableReason string

// The reasons of a TableError.
const (
	TableMissing   TableReason = "missing"
	TableWrongKind TableReason = "wrong_kind" // a view, a foreign table, an index ...
	TableNotLogged TableReason = "not_logged" // unlogged or temporary: not in the WAL
	TableInherits  TableReason = "inheritance"
)

// TableError is a name in the config that can't be mapped.
type TableError struct {
	Table  TableName
	Reason TableReason
	Near   []TableName // for TableMissing: tables of a similar name
	Detail string      // a whole clause, to follow the table's name
	SQL    string      // what mends it; empty where SQL can't
}

func (e *TableError) Error() string {
	return fmt.Sprintf("table %s %s", e.Table, e.Detail)
}

func missingTable(name TableName, near []TableName) *TableError {
	e := &TableError{Table: name, Reason: TableMissing, Near: near, Detail: "does not exist"}
	if len(near) > 0 {
		quoted := make([]string, len(near))
		for i, n := range near {
			quoted[i] = n.String()
		}
		e.Detail += "; did you mean " + strings.Join(quoted, " or ") + "?"
	}
	return e
}

// nearSQL finds tables of that name in other schemas or case, or a typing slip
// away in the same schema: one that shares a long enough beginning or end.
const nearSQL = `
SELECT n.nspname::text, c.relname::text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'
AND (lower(c.relname) = lower($2)
	OR n.nspname = $1 AND length($2) > 3 AND (
		starts_with(lower(c.relname), left(lower($2), length($2) - 2))
		OR starts_with(lower($2), lower(c.relname)) AND length(c.relname) > 3
		OR right(lower(c.relname), length($2) - 2) = right(lower($2), length($2) - 2)))
ORDER BY lower(c.relname) = lower($2) DESC, n.nspname = $1 DESC, 1, 2
LIMIT 3`

func nearNames(ctx context.Context, q CatalogQuerier, name TableName) ([]TableName, error) {
	rows, err := q.Query(ctx, nearSQL, name.Schema, name.Name)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[TableName])
}

// unmappable returns the *TableError of a relation whose changes the stream
// would not carry, or not as changes of this table; nil when it can be mapped.
func (r *rawRelation) unmappable() error {
	fail := func(reason TableReason, format string, args ...any) error {
		return &TableError{Table: r.tableName(), Reason: reason, Detail: fmt.Sprintf(format, args...)}
	}
	switch r.Kind {
	case "r", "p":
	case "v":
		return fail(TableWrongKind, "is a view, and the WAL knows only tables: map the tables it reads from")
	case "m":
		return fail(TableWrongKind, "is a materialized view, which is not replicated: map the tables it reads from")
	case "f":
		return fail(TableWrongKind, "is a foreign table: its changes are in another server's WAL")
	default:
		return fail(TableWrongKind, "is no table (relkind %q)", r.Kind)
	}
	if why := notLogged(r.Persistence); why != "" {
		return notLoggedError(r.tableName(), r.tableName(), r.Persistence, why)
	}
	if r.Inherited {
		return fail(TableInherits, "has children by inheritance, and a SELECT from it shows their rows while "+
			"its stream does not: map the children, or make it a partitioned table")
	}
	for _, l := range r.Leaves {
		leaf := TableName{l.Schema, l.Name}
		if l.Kind != "r" {
			return fail(TableWrongKind, "has the partition %s, a foreign table, whose changes are in another server's WAL", leaf)
		}
		if why := notLogged(l.Persistence); why != "" {
			return notLoggedError(r.tableName(), leaf, l.Persistence, fmt.Sprintf("has the partition %s, which %s", leaf, why))
		}
	}
	return nil
}

func notLogged(persistence string) string {
	switch persistence {
	case "u":
		return "is unlogged, so its changes are not in the WAL"
	case "t":
		return "is temporary, so its changes are not in the WAL"
	}
	return ""
}

func notLoggedError(table, unlogged TableName, persistence, detail string) *TableError {
	e := &TableError{Table: table, Reason: TableNotLogged, Detail: detail}
	if persistence == "u" {
		e.SQL = statements(fmt.Sprintf("ALTER TABLE %s SET LOGGED", unlogged))
	}
	return e
}
