// Package pgvaluetest gives tests values of every PostgreSQL type that walwire
// knows, and sessions that print them as walwire reads them.
package pgvaluetest

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/cdc/pgvalue"
	"github.com/walwire/walwire/internal/pgtest"
)

// Schema makes the user-made types of the samples.
const Schema = `
CREATE SCHEMA "Odd Schema";
CREATE TYPE "Odd Schema"."Mood" AS ENUM ('sad', 'ok', 'it''s, "fine"');
CREATE TYPE "Odd Schema".fruit AS ENUM ('plum', 'apple', 'Quince');
CREATE DOMAIN "Odd Schema".positive AS int4 CHECK (VALUE > 0);
CREATE DOMAIN code AS varchar(12);
CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE DOMAIN loose_text AS text COLLATE loose;
CREATE TYPE "Odd Schema".pair AS (a int, b int);
`

// MustSession connects to a fresh database with Schema and pgvalue.Settings.
func MustSession(tb testing.TB) *pgx.Conn {
	tb.Helper()
	conn := pgtest.MustConnect(tb, pgtest.Database(tb))
	pgtest.MustExec(tb, conn, Schema)
	for _, s := range pgvalue.Settings() {
		pgtest.MustExec(tb, conn, "SELECT set_config($1, $2, false)", s.Name, s.Value)
	}
	return conn
}

// MustType loads the type that a SQL type name means.
func MustType(tb testing.TB, conn *pgx.Conn, name string) *pgvalue.Type {
	tb.Helper()
	var oid uint32
	if err := conn.QueryRow(context.Background(), "SELECT to_regtype($1)::oid", name).Scan(&oid); err != nil {
		tb.Fatalf("type %s: %v", name, err)
	}
	types, err := pgvalue.Load(context.Background(), conn, []uint32{oid})
	if err != nil {
		tb.Fatal(err)
	}
	return types[oid]
}

// MustText gives PostgreSQL's text of literals of a type.
func MustText(tb testing.TB, conn *pgx.Conn, typeName string, literals []string) [][]byte {
	tb.Helper()
	out := make([][]byte, len(literals))
	for i, l := range literals {
		rows := MustRows(tb, conn, "SELECT "+Quote(l)+"::"+typeName)
		out[i] = rows[0][0]
	}
	return out
}

// MustRows gives the rows of a query in text format; nil is NULL.
func MustRows(tb testing.TB, conn *pgx.Conn, sql string, params ...[]byte) [][][]byte {
	tb.Helper()
	res := conn.PgConn().ExecParams(context.Background(), sql, params, nil, nil, nil).Read()
	if res.Err != nil {
		tb.Fatalf("%s: %v", sql, res.Err)
	}
	return res.Rows
}

// Quote makes a SQL string literal.
func Quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
