package torture

import (
	"fmt"
	"slices"
	"strings"
)

// order is the order, limit and bounds of a query.
type order struct {
	json   string // the members of the query, each after a comma
	sql    string // ORDER BY
	bounds string // condition, "" for none
	limit  int    // 0: none
	last   bool   // limitToLast
}

// orderTerm is a column of an order.
type orderTerm struct {
	column     *column
	desc       bool
	nullsFirst bool
}

// order makes a random order over columns that the role sees.
func (g *generator) order(t *table, usable []int) *order {
	o := &order{}
	var terms []orderTerm
	var spelled []string
	limitOnly := g.r.IntN(8) == 0
	for range g.r.IntN(3) {
		i := usable[g.r.IntN(len(usable))]
		c := &t.columns[i]
		if limitOnly || !c.kind.ordered() || c.pool != nil && c.kind == kindText && len(c.pool) < 6 || slices.ContainsFunc(terms, func(x orderTerm) bool { return x.column == c }) {
			continue
		}
		term, text := g.term(c)
		terms, spelled = append(terms, term), append(spelled, text)
	}
	desc := len(terms) > 0 && terms[len(terms)-1].desc
	for i := range t.keys {
		if c := &t.columns[i]; !slices.ContainsFunc(terms, func(x orderTerm) bool { return x.column == c }) {
			terms = append(terms, orderTerm{column: c, desc: desc, nullsFirst: !desc})
		}
	}
	if !limitOnly {
		o.json = `,"orderBy":[` + strings.Join(spelled, ",") + `]`
	}
	if limitOnly || g.r.IntN(6) > 0 {
		o.limit = 1 + g.r.IntN(20)
		o.last = !limitOnly && g.r.IntN(3) == 0
		o.json += fmt.Sprintf(`,%q:%d`, map[bool]string{false: "limit", true: "limitToLast"}[o.last], o.limit)
	}
	var sqls []string
	for _, term := range terms {
		sqls = append(sqls, term.sql())
	}
	o.sql = strings.Join(sqls, ", ")
	if !limitOnly {
		g.bounds(t, o, terms)
	}
	return o
}

func (g *generator) term(c *column) (orderTerm, string) {
	x := orderTerm{column: c, desc: g.r.IntN(2) == 0}
	x.nullsFirst = !x.desc
	direction := map[bool]string{false: "asc", true: "desc"}[x.desc]
	switch g.r.IntN(3) {
	case 0:
		if !x.desc {
			return x, fmt.Sprintf("%q", c.name)
		}
	case 1:
		x.nullsFirst = g.r.IntN(2) == 0
		return x, fmt.Sprintf(`[%q,%q,%q]`, c.name, direction, map[bool]string{true: "nulls-first", false: "nulls-last"}[x.nullsFirst])
	}
	return x, fmt.Sprintf(`[%q,%q]`, c.name, direction)
}

func (x orderTerm) sql() string {
	return x.column.sortName() + map[bool]string{false: " ASC", true: " DESC"}[x.desc] + map[bool]string{true: " NULLS FIRST", false: " NULLS LAST"}[x.nullsFirst]
}

// bounds adds none, one or both ends.
func (g *generator) bounds(t *table, o *order, terms []orderTerm) {
	var conditions []string
	for _, end := range []struct {
		at, beyond string
		after      bool
	}{{"startAt", "startAfter", true}, {"endAt", "endBefore", false}} {
		if g.r.IntN(4) > 0 {
			continue
		}
		values := g.boundValues(t, terms[:1+g.r.IntN(len(terms))])
		inclusive := g.r.IntN(2) == 0
		name := end.beyond
		if inclusive {
			name = end.at
		}
		texts := make([]string, len(values))
		for i, v := range values {
			texts[i] = "null"
			if v != nil {
				texts[i] = g.constant(terms[i].column, *v)
			}
		}
		o.json += fmt.Sprintf(`,%q:[%s]`, name, strings.Join(texts, ","))
		conditions = append(conditions, boundSQL(terms, values, end.after, inclusive))
	}
	o.bounds = strings.Join(conditions, " AND ")
}

func (g *generator) boundValues(t *table, terms []orderTerm) []*string {
	var out []*string
	for _, x := range terms {
		if x.column.null && g.r.IntN(6) == 0 {
			out = append(out, nil)
			continue
		}
		v := g.value(t, x.column)
		out = append(out, &v)
	}
	return out
}

// boundSQL says that a row lies after, or before, the values, column by column.
func boundSQL(terms []orderTerm, values []*string, after, inclusive bool) string {
	var any []string
	equal := ""
	for i, v := range values {
		any = append(any, "("+equal+terms[i].beyond(v, after)+")")
		equal += terms[i].equals(v) + " AND "
	}
	if inclusive {
		any = append(any, "("+strings.TrimSuffix(equal, " AND ")+")")
	}
	return "coalesce(" + strings.Join(any, " OR ") + ", false)"
}

func (x orderTerm) equals(v *string) string {
	if v == nil {
		return x.column.name + " IS NULL"
	}
	return "coalesce(" + x.column.name + " = " + x.column.literal(*v) + ", false)"
}

// beyond says that the column lies after, or before, v in the order.
func (x orderTerm) beyond(v *string, after bool) string {
	nullsBeyond := x.nullsFirst != after // NULL lies on the side asked for
	if v == nil {
		if nullsBeyond {
			return "false"
		}
		return x.column.name + " IS NOT NULL"
	}
	op := ">"
	if x.desc == after {
		op = "<"
	}
	out := fmt.Sprintf("coalesce(%s %s %s, false)", x.column.sortName(), op, x.column.literal(*v))
	if nullsBeyond {
		out = "(" + out + " OR " + x.column.name + " IS NULL)"
	}
	return out
}
