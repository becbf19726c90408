package torture

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// query is a live query together with its SQL. The two are made together and by
// nothing of the server's.
type query struct {
	index   int
	table   *table
	role    string
	columns []int  // that it asks for besides the key; nil: all
	where   string // JSON, "" for none
	sql     string
	order   *order // nil: not ordered
}

// json is the query as a client sends it. A nonce other than 0 adds a condition
// that every row meets.
func (q *query) json(nonce int) string {
	out := fmt.Sprintf(`{"table":%q`, q.table.name)
	if q.columns != nil {
		names := make([]string, len(q.columns))
		for i, c := range q.columns {
			names[i] = fmt.Sprintf("%q", q.table.columns[c].name)
		}
		out += `,"columns":[` + strings.Join(names, ",") + `]`
	}
	where := q.where
	if nonce != 0 {
		where += fmt.Sprintf(`,[%q,"!=",%d]`, q.table.numberKey(), -nonce)
	}
	out += `,"where":[` + where + `]`
	if q.order != nil {
		out += q.order.json
	}
	return out + "}"
}

// numberKey is a column of the key that holds numbers, none of them negative.
func (t *table) numberKey() string {
	for _, c := range t.columns[:t.keys] {
		if c.kind == kindInt || c.kind == kindBig {
			return c.name
		}
	}
	return ""
}

// shown are the ordinals of the columns that a client with the query's role
// gets under a variant of the configuration.
func (q *query) shown(variant int) []int {
	visible := accessOf(q.table, q.role, variant).visible(q.table)
	if q.columns == nil {
		return visible
	}
	return slices.DeleteFunc(visible, func(i int) bool { return i >= q.table.keys && !slices.Contains(q.columns, i) })
}

// condition is the whole predicate in SQL: company, rule and filter.
func (q *query) condition(u *user, variant int, wide bool) string {
	out := fmt.Sprintf("company = %d AND %s AND (%s)", u.company, accessOf(q.table, q.role, variant).rule(u, wide), q.sql)
	if q.order != nil && q.order.bounds != "" {
		out += " AND (" + q.order.bounds + ")"
	}
	return out
}

// generator makes random queries.
type generator struct {
	r       *rand.Rand
	tables  []*table
	windows bool
}

// makeQueries makes the queries that the clients choose from, n for each role.
// Those of one role and table in a row: several clients share what they ask for.
func (g *generator) makeQueries(n int) []*query {
	var out []*query
	for _, role := range roles {
		for i := range n {
			q := g.query(g.tables[i%len(g.tables)], role)
			q.index = len(out)
			out = append(out, q)
		}
	}
	return out
}

func (g *generator) query(t *table, role string) *query {
	q := &query{table: t, role: role, sql: "true"}
	usable := accessOf(t, role, 0).visible(t)
	for v := 1; v < variants; v++ {
		other := accessOf(t, role, v).visible(t)
		usable = slices.DeleteFunc(usable, func(i int) bool { return !slices.Contains(other, i) })
	}
	if g.r.IntN(3) == 0 {
		q.columns = []int{}
		for _, i := range usable {
			if g.r.IntN(3) == 0 {
				q.columns = append(q.columns, i)
			}
		}
	}
	var wheres, sqls []string
	for range 1 + g.r.IntN(2) {
		where, sql := g.condition(t, usable, 0)
		wheres, sqls = append(wheres, where), append(sqls, sql)
	}
	// Most queries look at a part of the company, as a page does.
	if i, branch := t.column("branch_id"); slices.Contains(usable, i) && g.r.IntN(3) > 0 {
		list := g.some(func() string { return fmt.Sprint(1+g.r.IntN(companies)) + fmt.Sprint(1+g.r.IntN(branchesEach)) }, 5)
		wheres = append(wheres, fmt.Sprintf(`[%q,"in",[%s]]`, branch.name, strings.Join(list, ",")))
		sqls = append(sqls, branch.name+" IN ("+strings.Join(list, ", ")+")")
	}
	q.where, q.sql = strings.Join(wheres, ","), strings.Join(sqls, " AND ")
	if g.windows && g.r.IntN(5) < 2 {
		q.order = g.order(t, usable)
	}
	return q
}

func (g *generator) condition(t *table, usable []int, depth int) (where, sql string) {
	if depth < 3 {
		switch g.r.IntN(8) {
		case 0, 1:
			word := []string{"and", "or", "or"}[g.r.IntN(3)]
			var wheres, sqls []string
			for range 2 + g.r.IntN(2) {
				w, s := g.condition(t, usable, depth+1)
				wheres, sqls = append(wheres, w), append(sqls, s)
			}
			return fmt.Sprintf(`{%q:[%s]}`, word, strings.Join(wheres, ",")), "(" + strings.Join(sqls, " "+strings.ToUpper(word)+" ") + ")"
		case 2:
			w, s := g.condition(t, usable, depth+1)
			return `{"not":` + w + `}`, "(NOT " + s + ")"
		}
	}
	return g.leaf(t, &t.columns[usable[g.r.IntN(len(usable))]])
}

func (g *generator) leaf(t *table, c *column) (where, sql string) {
	if g.r.IntN(10) == 0 {
		yes := g.r.IntN(3) == 0
		return fmt.Sprintf(`[%q,"is-null",%t]`, c.name, yes), "(" + c.name + map[bool]string{true: " IS NULL)", false: " IS NOT NULL)"}[yes]
	}
	if c.kind == kindTextArray || c.kind == kindIntArray {
		return g.arrayLeaf(c)
	}
	value := func() string { return g.value(t, c) }
	op := []string{"==", "!=", "in", "not-in"}[g.r.IntN(4)]
	if c.kind.ordered() && c.kind != kindBool && g.r.IntN(2) == 0 {
		op = []string{"<", "<=", ">", ">="}[g.r.IntN(4)]
	}
	if c.kind == kindText && g.r.IntN(4) == 0 {
		op = "starts-with"
	}
	switch op {
	case "in", "not-in":
		list := g.some(value, 4)
		var texts, literals []string
		for _, v := range list {
			texts, literals = append(texts, g.constant(c, v)), append(literals, c.literal(v))
		}
		word := map[string]string{"in": "IN", "not-in": "NOT IN"}[op]
		return fmt.Sprintf(`[%q,%q,[%s]]`, c.name, op, strings.Join(texts, ",")), fmt.Sprintf("(%s %s (%s))", c.name, word, strings.Join(literals, ", "))
	case "starts-with":
		prefix := []rune(value())
		prefix = prefix[:min(len(prefix), g.r.IntN(3))]
		return fmt.Sprintf(`[%q,%q,%s]`, c.name, op, jsonString(string(prefix))), fmt.Sprintf("starts_with(%s, %s)", c.name, quote(string(prefix)))
	}
	v := value()
	left, sqlOp := c.name, map[string]string{"==": "=", "!=": "<>"}[op]
	if sqlOp == "" {
		left, sqlOp = c.sortName(), op
	}
	return fmt.Sprintf(`[%q,%q,%s]`, c.name, op, g.constant(c, v)), fmt.Sprintf("(%s %s %s)", left, sqlOp, c.literal(v))
}

func (g *generator) arrayLeaf(c *column) (where, sql string) {
	elem := func() string {
		if c.kind == kindIntArray {
			return fmt.Sprint(g.r.IntN(6))
		}
		return []string{"vip", "new", "old", "ä", `quo"te`}[g.r.IntN(5)]
	}
	wire := func(v string) string {
		if c.kind == kindIntArray {
			return v
		}
		return jsonString(v)
	}
	if g.r.IntN(2) == 0 {
		v := elem()
		return fmt.Sprintf(`[%q,"array-contains",%s]`, c.name, wire(v)), fmt.Sprintf("(%s @> ARRAY[%s]::%s)", c.name, quote(v), c.typ)
	}
	var texts, literals []string
	for _, v := range g.some(elem, 3) {
		texts, literals = append(texts, wire(v)), append(literals, quote(v))
	}
	return fmt.Sprintf(`[%q,"array-contains-any",[%s]]`, c.name, strings.Join(texts, ",")),
		fmt.Sprintf("(%s && ARRAY[%s]::%s)", c.name, strings.Join(literals, ", "), c.typ)
}

// some are between one and most values.
func (g *generator) some(value func() string, most int) []string {
	var out []string
	for range 1 + g.r.IntN(most) {
		out = append(out, value())
	}
	return out
}

// value is one that a row may well have, as PostgreSQL prints it.
func (g *generator) value(t *table, c *column) string {
	company := 1 + g.r.IntN(companies)
	if len(c.pool) > 0 {
		for {
			if v := c.pool[g.r.IntN(len(c.pool))]; len(v) < 100 && v != "null" { // a null in a query is NULL
				return v
			}
		}
	}
	switch c.name {
	case "company":
		return fmt.Sprint(company)
	case "branch_id":
		return fmt.Sprint(branchOf(g.r, company))
	case "staff_id":
		return fmt.Sprint(staffOf(g.r, company))
	case "client_id":
		return fmt.Sprint(clientOf(g.r, company))
	}
	i, _ := t.column(c.name)
	return t.key(g.r, g.r.IntN(t.rows), company)[i]
}

// constant is a value as a client writes it.
func (g *generator) constant(c *column, v string) string {
	text, err := c.kind.wire(v)
	if err != nil {
		panic(fmt.Sprintf("value %q of column %s: %v", v, c.name, err)) // of a pool: a mistake in this package
	}
	return text
}

// literal is a value in SQL.
func (c *column) literal(v string) string { return quote(v) + "::" + c.typ }

// sortName is the column as an order takes it.
func (c *column) sortName() string {
	if c.kind == kindText || c.kind == kindChar {
		return c.name + ` COLLATE "C"`
	}
	return c.name
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
