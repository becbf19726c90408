package torture

import (
	"bytes"
	"context"
	"fmt"
	"strings"
)

// change is a statement that touches one or a few rows.
func (w *writer) change(ctx context.Context, rows *int64) error {
	t := w.table()
	switch w.r.IntN(12) {
	case 0, 1, 2:
		return w.insert(ctx, rows, t)
	case 3, 4:
		return w.exec(ctx, rows, fmt.Sprintf("DELETE FROM %s WHERE (%s) IN (%s)", t.name, t.keyNames(), w.keyList(t, 1+w.r.IntN(3))))
	case 5:
		return w.move(ctx, rows, t)
	case 6:
		return w.rename(ctx, rows, t)
	}
	return w.exec(ctx, rows, fmt.Sprintf("UPDATE %s SET %s WHERE (%s) IN (%s)", t.name, w.assignments(t), t.keyNames(), w.keyList(t, 1+w.r.IntN(6))))
}

// assignments change some columns, mostly not the large ones.
func (w *writer) assignments(t *table) string {
	var sets []string
	for _, i := range w.r.Perm(len(t.columns)) {
		c := &t.columns[i]
		if i < t.keys || c.name == "company" || c.name == "branch_id" || (c.name == "note" || c.name == "memo") && w.r.IntN(4) > 0 {
			continue
		}
		company := "company"
		switch {
		case c.name == "staff_id":
			sets = append(sets, fmt.Sprintf("staff_id = %s * 100 + %d", company, 1+w.r.IntN(staffEach)))
		case c.name == "client_id":
			sets = append(sets, fmt.Sprintf("client_id = %s * 1000 + %d", company, 1+w.r.IntN(clientsEach)))
		default:
			sets = append(sets, c.name+" = "+w.value(t, c, 0))
		}
		if w.r.IntN(3) == 0 {
			break
		}
	}
	return strings.Join(sets, ", ")
}

// value is a random value in SQL.
func (w *writer) value(t *table, c *column, company int) string {
	if c.null && w.r.IntN(8) == 0 {
		return "NULL"
	}
	switch c.name {
	case "company":
		return fmt.Sprint(company)
	case "branch_id":
		return fmt.Sprint(branchOf(w.r, company))
	case "staff_id":
		return fmt.Sprint(staffOf(w.r, company))
	case "client_id":
		return fmt.Sprint(clientOf(w.r, company))
	}
	return c.literal(c.pool[w.r.IntN(len(c.pool))])
}

// tuple is a whole new row in SQL, in the columns' order.
func (w *writer) tuple(t *table, n int) string {
	company := 1 + w.r.IntN(companies)
	key := t.key(w.r, n, company)
	values := make([]string, len(t.columns))
	for i := range t.columns {
		if c := &t.columns[i]; i < t.keys {
			values[i] = c.literal(key[i])
		} else {
			values[i] = w.value(t, c, company)
		}
	}
	return "(" + strings.Join(values, ", ") + ")"
}

func (w *writer) insert(ctx context.Context, rows *int64, t *table) error {
	tuples := make([]string, 1+w.r.IntN(3))
	for i := range tuples {
		tuples[i] = w.tuple(t, w.r.IntN(t.rows))
	}
	return w.exec(ctx, rows, fmt.Sprintf("INSERT INTO %s VALUES %s ON CONFLICT DO NOTHING", t.name, strings.Join(tuples, ", ")))
}

// move gives rows to another company or another branch.
func (w *writer) move(ctx context.Context, rows *int64, t *table) error {
	set := "branch_id = company * 10 + 1 + branch_id % " + fmt.Sprint(branchesEach)
	if w.r.IntN(2) == 0 {
		company := 1 + w.r.IntN(companies)
		set = fmt.Sprintf("company = %d, branch_id = %d", company, branchOf(w.r, company))
	}
	return w.exec(ctx, rows, fmt.Sprintf("UPDATE %s SET %s WHERE (%s) IN (%s)", t.name, set, t.keyNames(), w.keyList(t, 1+w.r.IntN(3))))
}

// rename changes a row's key; somebody may have the new one already.
func (w *writer) rename(ctx context.Context, rows *int64, t *table) error {
	company := 1 + w.r.IntN(companies)
	key := t.key(w.r, w.r.IntN(t.rows), company)
	var sets, same []string
	for i := range key {
		c := &t.columns[i]
		sets = append(sets, c.name+" = "+c.literal(key[i]))
		same = append(same, c.name+" = "+c.literal(key[i]))
	}
	return w.exec(ctx, rows, fmt.Sprintf("UPDATE %s SET %s WHERE (%s) IN (%s) AND NOT EXISTS (SELECT FROM %[1]s WHERE %[5]s)",
		t.name, strings.Join(sets, ", "), t.keyNames(), w.keyList(t, 1), strings.Join(same, " AND ")))
}

// workOff deletes the first rows of a window, or gives them to another company: rows from
// beyond it move up, until it has to be read again.
func (w *writer) workOff(ctx context.Context, rows *int64) error {
	q := w.desk.query
	w.desk.left--
	direction := "ASC"
	if q.order.last {
		direction = "DESC"
	}
	bounds := q.order.bounds
	if bounds == "" {
		bounds = "true"
	}
	first := fmt.Sprintf("(%s) IN (SELECT %[1]s FROM (SELECT %[1]s, row_number() OVER (ORDER BY %s) AS place FROM %s WHERE company = %d AND (%s) AND (%s)) w ORDER BY place %s LIMIT %d)",
		q.table.keyNames(), q.order.sql, q.table.name, w.desk.company, q.sql, bounds, direction, 1+w.r.IntN(4))
	if w.r.IntN(3) == 0 {
		company := 1 + w.r.IntN(companies)
		return w.exec(ctx, rows, fmt.Sprintf("UPDATE %s SET company = %d, branch_id = %d WHERE %s", q.table.name, company, branchOf(w.r, company), first))
	}
	return w.exec(ctx, rows, fmt.Sprintf("DELETE FROM %s WHERE %s", q.table.name, first))
}

// bulk changes many rows by one statement.
func (w *writer) bulk(ctx context.Context, rows *int64) error {
	t := w.table()
	where := fmt.Sprintf("company = %d", 1+w.r.IntN(companies))
	if w.r.IntN(3) > 0 {
		where = fmt.Sprintf("branch_id = %d", branchOf(w.r, 1+w.r.IntN(companies)))
	}
	switch w.r.IntN(6) {
	case 0:
		return w.exec(ctx, rows, fmt.Sprintf("DELETE FROM %s WHERE %s AND random() < 0.5", t.name, where))
	case 1:
		company := 1 + w.r.IntN(companies)
		return w.exec(ctx, rows, fmt.Sprintf("UPDATE %s SET company = %d, branch_id = %d WHERE %s AND random() < 0.2", t.name, company, branchOf(w.r, company), where))
	}
	return w.exec(ctx, rows, fmt.Sprintf("UPDATE %s SET %s WHERE %s", t.name, w.assignments(t), where))
}

// copyRows replaces a run of keys by COPY.
func (w *writer) copyRows(ctx context.Context, rows *int64) error {
	t := w.table()
	n := min(20+w.r.IntN(300), t.rows/2)
	first := w.r.IntN(t.rows - n)
	var b bytes.Buffer
	var keys []string
	for i := first; i < first+n; i++ {
		company := 1 + w.r.IntN(companies)
		key := t.key(w.r, i, company)
		literals := make([]string, len(key))
		for j := range key {
			literals[j] = t.columns[j].literal(key[j])
		}
		keys = append(keys, "("+strings.Join(literals, ", ")+")")
		w.copyLine(&b, t, key, company)
	}
	if err := w.exec(ctx, rows, fmt.Sprintf("DELETE FROM %s WHERE (%s) IN (%s)", t.name, t.keyNames(), strings.Join(keys, ", "))); err != nil {
		return err
	}
	tag, err := w.conn.PgConn().CopyFrom(ctx, &b, "COPY "+t.name+" ("+t.columnNames()+") FROM STDIN")
	*rows += tag.RowsAffected()
	return err
}

func (w *writer) copyLine(b *bytes.Buffer, t *table, key []string, company int) {
	escape := strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`)
	for i := range t.columns {
		c := &t.columns[i]
		if i > 0 {
			b.WriteByte('\t')
		}
		switch {
		case i < t.keys:
			b.WriteString(escape.Replace(key[i]))
		case c.null && w.r.IntN(8) == 0:
			b.WriteString(`\N`)
		case c.pool != nil:
			b.WriteString(escape.Replace(c.pool[w.r.IntN(len(c.pool))]))
		default:
			b.WriteString(w.value(t, &column{name: c.name}, company))
		}
	}
	b.WriteByte('\n')
}

// truncate empties the smallest table or a partition, and fills it again.
func (w *writer) truncate(ctx context.Context, rows *int64) error {
	t := w.tables[len(w.tables)-1]
	target := t.name
	for _, other := range w.tables {
		if len(other.leaves) > 0 && w.r.IntN(2) == 0 {
			t, target = other, other.leaves[w.r.IntN(len(other.leaves))]
		}
	}
	w.noted(t.name)
	if err := w.exec(ctx, rows, "TRUNCATE "+target); err != nil {
		return err
	}
	tuples := make([]string, 50)
	for i := range tuples {
		tuples[i] = w.tuple(t, w.r.IntN(t.rows))
	}
	return w.exec(ctx, rows, fmt.Sprintf("INSERT INTO %s VALUES %s ON CONFLICT DO NOTHING", t.name, strings.Join(tuples, ", ")))
}

// fill gives every table its first rows.
func (w *writer) fill(ctx context.Context, rows *int64) error {
	for _, t := range w.tables {
		tuples := make([]string, 0, t.rows)
		for n := 0; n < t.rows; n++ {
			if w.r.IntN(4) > 0 {
				tuples = append(tuples, w.tuple(t, n))
			}
		}
		if err := w.exec(ctx, rows, fmt.Sprintf("INSERT INTO %s VALUES %s ON CONFLICT DO NOTHING", t.name, strings.Join(tuples, ", "))); err != nil {
			return err
		}
	}
	return nil
}
