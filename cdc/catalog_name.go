package cdc

import "github.com/jackc/pgx/v5"

// TableName is a table as the config names it: schema and name, unquoted.
type TableName struct{ Schema, Name string }

// String gives the name as SQL spells it, quoted and qualified.
func (n TableName) String() string {
	return pgx.Identifier{n.Schema, n.Name}.Sanitize()
}
