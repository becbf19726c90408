package torture

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// store keeps the versions in a PostgreSQL of its own, which no fault is done
// to, and has it compute what a query's rows are. Safe for concurrent use.
type store struct {
	versions *versions
	tables   []*table

	mu   sync.Mutex // protects following
	conn *pgx.Conn
	buf  bytes.Buffer
}

// openStore makes the tables: those of the schema, each version with a number.
func openStore(ctx context.Context, url string, tables []*table, v *versions) (*store, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("open the history: %w", err)
	}
	sql := "SET synchronous_commit = off; SET TimeZone = 'UTC'; CREATE TYPE visit_state AS ENUM ('new', 'open', 'busy', 'done', 'void');"
	for _, t := range tables {
		columns := []string{"vid bigint PRIMARY KEY"}
		for _, c := range t.columns {
			columns = append(columns, c.name+" "+c.typ)
		}
		sql += fmt.Sprintf("CREATE TABLE %s (%s); CREATE INDEX ON %[1]s (company);", t.name, strings.Join(columns, ", "))
	}
	if _, err := conn.Exec(ctx, sql); err != nil {
		return nil, fmt.Errorf("make the history's tables: %w", err)
	}
	return &store{versions: v, tables: tables, conn: conn}, nil
}

// keep stores new versions until ctx ends.
func (s *store) keep(ctx context.Context) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		s.versions.closeSpans()
		if err := s.flush(context.WithoutCancel(ctx)); err != nil {
			return err
		}
	}
}

// flush stores what there is.
func (s *store) flush(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	byTable := make(map[*table][]*version)
	for _, v := range s.versions.takeFresh() {
		byTable[v.table] = append(byTable[v.table], v)
	}
	for t, rows := range byTable {
		if err := s.copy(ctx, t, rows); err != nil {
			return fmt.Errorf("store the history of %s: %w", t.name, err)
		}
	}
	return nil
}

func (s *store) copy(ctx context.Context, t *table, rows []*version) error {
	names := []string{"vid"}
	for _, c := range t.columns {
		names = append(names, c.name)
	}
	s.buf.Reset()
	escape := strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`)
	for _, v := range rows {
		fmt.Fprintf(&s.buf, "%d", v.id)
		for _, value := range v.values {
			s.buf.WriteByte('\t')
			if value == nil {
				s.buf.WriteString(`\N`)
			} else if _, err := escape.WriteString(&s.buf, *value); err != nil {
				return err
			}
		}
		s.buf.WriteByte('\n')
	}
	_, err := s.conn.PgConn().CopyFrom(ctx, &s.buf, fmt.Sprintf("COPY %s (%s) FROM STDIN", t.name, strings.Join(names, ", ")))
	return err
}

// matching has PostgreSQL say which versions a condition holds for, in the
// order's order where there is one.
func (s *store) matching(ctx context.Context, t *table, condition, orderBy string) ([]int64, error) {
	sql := fmt.Sprintf("SELECT vid FROM %s WHERE %s", t.name, condition)
	if orderBy != "" {
		sql += " ORDER BY " + orderBy + ", vid"
	}
	return s.ids(ctx, sql)
}

// ids runs a query of one column of numbers.
func (s *store) ids(ctx context.Context, sql string) ([]int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rows, err := s.conn.Query(ctx, sql)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", sql, err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", sql, err)
	}
	return ids, nil
}

// forget deletes versions.
func (s *store) forget(ctx context.Context, ids []int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tables {
		if _, err := s.conn.Exec(ctx, fmt.Sprintf("DELETE FROM %s WHERE vid = ANY ($1)", t.name), ids); err != nil {
			return fmt.Errorf("forget old history: %w", err)
		}
	}
	return nil
}

// text is a version as a report shows it.
func (s *store) text(ctx context.Context, v *version) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var text string
	err := s.conn.QueryRow(ctx, fmt.Sprintf("SELECT to_jsonb(t)::text FROM %s t WHERE vid = $1", v.table.name), v.id).Scan(&text)
	if err != nil {
		return err.Error()
	}
	return text
}

func (s *store) close() { _ = s.conn.Close(context.Background()) }
