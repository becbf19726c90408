package cdc

import (
	"context"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// prepared are the statements that a connection has prepared: parsing and planning a query takes
// PostgreSQL longer than running it. A query is prepared when it comes a second time.
type prepared struct {
	names map[string]string // by SQL; "" has come once
	made  int
}

// maxStatements bounds what a connection knows: clients may ask for any combination.
const maxStatements = 200

const preparedKey = "walwire"

func preparedBy(conn *pgconn.PgConn) *prepared {
	s, ok := conn.CustomData()[preparedKey].(*prepared)
	if !ok {
		s = &prepared{names: make(map[string]string)}
		conn.CustomData()[preparedKey] = s
	}
	return s
}

// name gives the name that a query is prepared under, "" where it is not. Where it can't be
// prepared, running it tells too.
func (s *prepared) name(ctx context.Context, conn *pgconn.PgConn, sql string) (string, error) {
	name, known := s.names[sql]
	switch {
	case name != "":
		return name, nil
	case !known:
		s.names[sql] = ""
		return "", nil
	}
	s.made++
	name = "walwire_" + strconv.Itoa(s.made)
	if _, err := conn.Prepare(ctx, name, sql, nil); err != nil {
		return "", err
	}
	s.names[sql] = name
	return name, nil
}

// room makes room for n more.
func (s *prepared) room(ctx context.Context, conn *pgconn.PgConn, n int) {
	if len(s.names)+n > maxStatements {
		s.forget(ctx, conn)
	}
}

// forget prepares all anew when they come again: after an error, which may be that a table
// has changed under a plan.
func (s *prepared) forget(ctx context.Context, conn *pgconn.PgConn) {
	var sql strings.Builder
	for _, name := range s.names {
		if name != "" {
			sql.WriteString("DEALLOCATE " + name + ";")
		}
	}
	clear(s.names)
	if sql.Len() > 0 && !conn.IsClosed() {
		_, _ = conn.Exec(ctx, sql.String()).ReadAll() // the names are not used again
	}
}
