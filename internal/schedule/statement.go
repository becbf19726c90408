package schedule

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// answerTime is how long PostgreSQL may take to answer beyond what it works: then the
// connection counts as lost.
const answerTime = 5 * time.Second

// Statement is one SQL statement.
type Statement struct {
	Name    string
	Every   time.Duration // from the start of a run to that of the next
	Timeout time.Duration // of one run, by PostgreSQL
	SQL     string
}

// run runs the statement in a transaction and gives how many rows it wrote or found.
func (s Statement) run(ctx context.Context, conn *pgx.Conn) (rows int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout+answerTime)
	defer cancel()
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL statement_timeout = %d", s.Timeout.Milliseconds())); err != nil {
			return err
		}
		rows, err = execute(ctx, conn, s.SQL)
		return err
	})
	return rows, explain(err)
}

// execute runs one statement by the extended protocol, which refuses several.
func execute(ctx context.Context, conn *pgx.Conn, sql string) (rows int64, err error) {
	tag, err := conn.PgConn().ExecParams(ctx, sql, nil, nil, nil, nil).Close()
	return tag.RowsAffected(), err
}

// explain says what PostgreSQL does not, and leaves out the values of rows that it
// quotes. nil stays nil.
func explain(err error) error {
	var pg *pgconn.PgError
	switch {
	case !errors.As(err, &pg):
		return err
	case strings.HasPrefix(pg.Code, "22"): // data exceptions
		return fmt.Errorf("a value does not fit: PostgreSQL's log says which (SQLSTATE %s)", pg.Code)
	case pg.Code == "42601" && strings.Contains(pg.Message, "multiple commands"):
		return fmt.Errorf("give one statement, nothing after a semicolon: %w", err)
	}
	return err
}
