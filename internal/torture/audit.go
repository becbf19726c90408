package torture

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// audit holds the history against the tables, and what clients show at last
// against the SELECT, once nothing is written any more.
func (c *checker) audit(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, c.run.stage.database.URL())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, "SET TimeZone = 'UTC'; SET IntervalStyle = 'iso_8601'"); err != nil {
		return err
	}
	for _, t := range c.run.tables {
		if err := c.auditTable(ctx, conn, t); err != nil {
			return c.run.void(err)
		}
	}
	return c.auditClients(ctx, conn)
}

// auditTable fails where the history is not the table: the run would tell nothing.
func (c *checker) auditTable(ctx context.Context, conn *pgx.Conn, t *table) error {
	results, err := conn.PgConn().Exec(ctx, "SELECT "+t.columnNames()+" FROM "+t.name).ReadAll()
	if err != nil {
		return err
	}
	v := c.run.versions
	v.mu.RLock()
	defer v.mu.RUnlock()
	open := v.open[t]
	if len(open) != len(results[0].Rows) {
		return fmt.Errorf("history: %s has %d rows, the history has %d", t.name, len(results[0].Rows), len(open))
	}
	for _, row := range results[0].Rows {
		values := make([]*string, len(row))
		for i := range row {
			if row[i] != nil {
				text := string(row[i])
				values[i] = &text
			}
		}
		key, err := keyOfRow(t, values)
		if err != nil {
			return err
		}
		if open[key] == nil || !slices.EqualFunc(values, open[key].values, equalText) {
			return fmt.Errorf("history: row %s of %s is not as in the history", key, t.name)
		}
	}
	return nil
}

func equalText(a, b *string) bool { return a == b || a != nil && b != nil && *a == *b }

// auditClients compares the keys that every client shows with the SELECT's.
func (c *checker) auditClients(ctx context.Context, conn *pgx.Conn) error {
	for _, cl := range c.run.clients {
		for _, l := range c.run.shownBy(cl) {
			q := question{query: l.query, user: cl.user, variant: l.variant}
			sql := fmt.Sprintf("SELECT %s FROM %s WHERE %s", names(l.query.table.columns[:l.query.table.keys]), l.query.table.name, l.query.condition(cl.user, l.variant, false))
			if o := l.query.order; o != nil {
				sql = limited(sql, o)
			}
			results, err := conn.PgConn().Exec(ctx, sql).ReadAll()
			if err != nil {
				return fmt.Errorf("%s: %w", sql, err)
			}
			if len(results[0].Rows) == 0 && len(l.rows) > 0 {
				c.run.counts.divergences.Add(1)
				c.run.fail(&Failure{What: "divergence", Query: l.query.index, Report: fmt.Sprintf(
					"at the end, client %d, subscription %d shows %d rows, SELECT gives none\n%s\n%s", cl.index, l.id, len(l.rows), q, sql)})
				return nil
			}
			for _, row := range results[0].Rows {
				cells := make([]cell, len(row))
				for i := range row {
					cells[i] = cell{kind: 't', text: string(row[i])}
				}
				key, err := keyOf(l.query.table, cells)
				if err != nil {
					return err
				}
				if _, ok := l.rows[key]; !ok || len(results[0].Rows) != len(l.rows) {
					c.run.counts.divergences.Add(1)
					c.run.fail(&Failure{What: "divergence", Query: l.query.index, Report: fmt.Sprintf(
						"at the end, client %d, subscription %d shows %d rows, SELECT gives %d, %s among them: %t\n%s\n%s", cl.index, l.id, len(l.rows), len(results[0].Rows), key, ok, q, sql)})
					return nil
				}
			}
		}
	}
	return nil
}

// limited gives the window's rows; their order does not matter here.
func limited(sql string, o *order) string {
	by := o.sql
	if o.last {
		by = strings.NewReplacer(" ASC", " DESC", " DESC", " ASC", " NULLS FIRST", " NULLS LAST", " NULLS LAST", " NULLS FIRST").Replace(by)
	}
	sql += " ORDER BY " + by
	if o.limit > 0 {
		sql += fmt.Sprintf(" LIMIT %d", o.limit)
	}
	return sql
}
