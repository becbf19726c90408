package torture

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// addColumn adds a column that no configuration names, or takes it away again.
func (n *nemesis) addColumn(ctx context.Context) error {
	t := n.run.tables[n.r.IntN(len(n.run.tables))]
	return n.alter(ctx, fmt.Sprintf("ALTER TABLE %s DROP COLUMN IF EXISTS extra; ALTER TABLE %[1]s ADD COLUMN extra int DEFAULT 7", t.name))
}

// alterType rewrites a table, its values as before.
func (n *nemesis) alterType(ctx context.Context) error {
	t := n.run.tables[n.r.IntN(len(n.run.tables))]
	for _, i := range n.r.Perm(len(t.columns)) {
		if c := &t.columns[i]; i >= t.keys && c.typ == "text" {
			return n.alter(ctx, fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s TYPE text USING %[2]s || ''", t.name, c.name))
		}
	}
	return n.alter(ctx, fmt.Sprintf("ALTER TABLE %s ALTER COLUMN rate TYPE numeric USING rate + 0", t.name))
}

func (n *nemesis) alter(ctx context.Context, sql string) error {
	done, err := n.altered(ctx, sql)
	if err == nil && !done {
		return errNotDone
	}
	return err
}

// altered tries until it gets its lock, not for ever, and says whether it did.
// A connection that is lost at the commit is asked about by nobody: what is done
// twice here is the same again, or fails.
func (n *nemesis) altered(ctx context.Context, sql string) (bool, error) {
	defer n.noteAltered(sql)
	for range 20 {
		err := n.stage.try(ctx, "SET lock_timeout = '500ms'; "+sql)
		if err == nil {
			return true, nil
		}
		if !survivable(err) || ctx.Err() != nil {
			return false, err
		}
		pause(ctx, 50*time.Millisecond)
	}
	n.run.log.Warn("an ALTER TABLE did not get its lock", "sql", sql)
	return false, nil
}

func (n *nemesis) noteAltered(sql string) {
	for _, t := range n.run.tables {
		if strings.Contains(sql, "ALTER TABLE "+t.name) {
			n.run.chronicle.note(t.name)
		}
	}
}

// alterValues rewrites a table by an ALTER TYPE that gives its rows other values,
// without a row event.
func (n *nemesis) alterValues(ctx context.Context) error {
	const table, column = "stock", "qty"
	for _, t := range n.run.tables {
		if t.name == table {
			return n.alter(ctx, "BEGIN; "+fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s TYPE int USING %[2]s + 1; ", table, column)+
				markerSQL("increment %s %s", table, column)+"COMMIT")
		}
	}
	return nil
}

// partition takes a partition away for a while, its rows with it.
func (n *nemesis) partition(ctx context.Context) error {
	for _, t := range n.run.tables {
		if len(t.leaves) == 0 {
			continue
		}
		i := n.r.IntN(len(t.leaves))
		leaf := t.leaves[i]
		detached, err := n.altered(ctx, fmt.Sprintf("BEGIN; ALTER TABLE %s DETACH PARTITION %s; ", t.name, leaf)+markerSQL("detach %s", leaf)+"COMMIT")
		if err == nil && !detached {
			return errNotDone
		}
		if err != nil {
			return err
		}
		pause(ctx, n.some(3*time.Second))
		for attached := false; !attached; {
			attached, err = n.altered(ctx, fmt.Sprintf("BEGIN; ALTER TABLE %s ATTACH PARTITION %s FOR VALUES WITH (MODULUS %d, REMAINDER %d); ",
				t.name, leaf, len(t.leaves), i)+markerSQL("attach %s", leaf)+"COMMIT")
			if err != nil {
				return err
			}
		}
	}
	return nil
}
