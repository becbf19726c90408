package hostile_test

import (
	"fmt"
	"net/http"
	"strings"
)

// columnCases ask as staff, who may not see internal_notes and price of appointments,
// nor email, phone and preferences of clients.
func columnCases() []attack {
	return append(append(probeCases(), spellingCases()...), shownCases()...)
}

// probe is a case of a query that looks at a masked column, with the same one of an open
// column beside it. It is refused by subscription and by POST /v1/query, in words
// that are the same for a column that does not exist.
func probe(name, hostile, masked, control string, rows int) attack {
	return attack{name: name, run: func(a *attempt) {
		c := a.connect(a.wide, a.wide.ann(), markMasked)
		f := c.refuse(`{"type":"subscribe","id":1,"query":`+hostile+`}`, 1, "permission-denied", masked)
		none := strings.ReplaceAll(hostile, masked, "nonexistent")
		g := c.refuse(`{"type":"subscribe","id":1,"query":`+none+`}`, 1, "permission-denied")
		if strings.ReplaceAll(g.Message, "nonexistent", masked) != f.Message {
			a.Errorf("a masked column is told from none: %q and %q", f.Message, g.Message)
		}
		a.denied(a.wide, query(a.wide.ann(), hostile), http.StatusForbidden, "permission-denied", masked)
		c.open(1, control, rows)
	}}
}

func probeCases() []attack {
	at := func(rest string) string { return `{"table":"appointments","columns":["status"],` + rest + `}` }
	where := func(condition string) string { return at(`"where":[` + condition + `]`) }
	leaf := func(name, operator, value, open string, rows int) attack {
		return probe("where "+name, where(`["internal_notes","`+operator+`",`+value+`]`), "internal_notes", where(`["notes","`+operator+`",`+open+`]`), rows)
	}
	return []attack{
		leaf("==", "==", `"x"`, `"no such note"`, 0), leaf("!=", "!=", `"x"`, `"x"`, 2), leaf("== null", "==", `null`, `null`, 0), leaf("<", "<", `"x"`, `"x"`, 2),
		leaf("<=", "<=", `"x"`, `"x"`, 2), leaf(">", ">", `"x"`, `"x"`, 0), leaf(">=", ">=", `"x"`, `"x"`, 0), leaf("in", "in", `["x"]`, `["x"]`, 0),
		leaf("not-in", "not-in", `["x"]`, `["x"]`, 2), leaf("is-null", "is-null", `true`, `true`, 0), leaf("starts-with", "starts-with", `"M"`, `"n"`, 2),
		probe("where array-contains", `{"table":"clients","where":[["preferences","array-contains","a"]]}`, "preferences", `{"table":"clients","where":[["tags","array-contains","vip"]]}`, 1),
		probe("where array-contains-any", `{"table":"clients","where":[["phone","array-contains-any",["a"]]]}`, "phone", `{"table":"clients","where":[["tags","array-contains-any",["vip"]]]}`, 1),
		probe("where on jsonb", `{"table":"clients","where":[["preferences","==",{"a":"x"}]]}`, "preferences", `{"table":"clients","where":[["tags","==",["vip"]]]}`, 1),
		probe("where inside not", where(`{"not":["price","==",101]}`), "price", where(`{"not":["status","==","pending"]}`), 2),
		probe("where inside or", where(`{"or":[["status","==","confirmed"],["price",">",100]]}`), "price", where(`{"or":[["status","==","confirmed"],["notes","==","x"]]}`), 2),
		probe("where inside and", where(`{"and":[["status","==","confirmed"],["price",">",100]]}`), "price", where(`{"and":[["status","==","confirmed"],["notes","!=","x"]]}`), 2),
		probe("where deep inside", where(`{"not":{"or":[{"and":[{"not":["price","is-null",true]}]}]}}`), "price", where(`{"not":{"or":[{"and":[{"not":["status","is-null",false]}]}]}}`), 2),
		probe("where beside what is never true", where(`["status","in",[]],["price",">",100]`), "price", where(`["status","in",[]],["notes",">","x"]`), 0),
		probe("orderBy", at(`"orderBy":["price"]`), "price", at(`"orderBy":["starts_at"]`), 2),
		probe("orderBy descending", at(`"orderBy":[["status","asc"],["price","desc","nulls-last"]],"limit":1`), "price", at(`"orderBy":[["status","asc"],["starts_at","desc","nulls-last"]],"limit":1`), 1),
		probe("limitToLast by it", at(`"orderBy":["internal_notes"],"limitToLast":1`), "internal_notes", at(`"orderBy":["notes"],"limitToLast":1`), 1),
		probe("startAt of it", at(`"orderBy":["price"],"startAt":[101]`), "price", at(`"orderBy":["starts_at"],"startAt":["2026-03-01T11:00:00Z"]`), 1),
		probe("endBefore of it", at(`"orderBy":["price"],"endBefore":[102]`), "price", at(`"orderBy":["starts_at"],"endBefore":["2026-03-01T11:00:00Z"]`), 1),
		probe("columns", `{"table":"appointments","columns":["status","price"]}`, "price", `{"table":"appointments","columns":["status","notes"]}`, 2),
	}
}

// spellingCases write the name of a masked column otherwise.
func spellingCases() []attack {
	var cases []attack
	for name, column := range map[string]string{
		"capitals": "PRICE", "a capital": "Price", "quotes": `"price"`, "blanks": " price ", "its table": "appointments.price", "its schema": "public.appointments.price",
		"a cast": "price::text", "a function": "coalesce(price)", "an alias": "price AS status", "full width": "ｐｒｉｃｅ", "a Cyrillic letter": "рrice", "a zero-width blank": "pri\u200bce",
		"NUL": "price\x00", "a line end": "status\nprice", "a comment": "price--", "a comma": "status,price", "all": "*", "backquotes": "`price`", "a dotless i": "prıce", "a path": "../price",
		"a system column": "ctid", "another": "xmin", "the table's oid": "tableoid", "the row": "appointments",
	} {
		cases = append(cases, attack{name: "column with " + name, run: func(a *attempt) {
			c := a.connect(a.wide, a.wide.ann(), markMasked)
			for _, text := range []string{
				`{"table":"appointments","columns":[` + quote(column) + `]}`, `{"table":"appointments","where":[[` + quote(column) + `,"is-null",false]]}`,
				`{"table":"appointments","orderBy":[` + quote(column) + `]}`,
			} {
				c.refuse(`{"type":"subscribe","id":1,"query":`+text+`}`, 1, "permission-denied")
			}
			c.open(1, `{"table":"appointments","columns":["status"],"where":[["status","is-null",false]],"orderBy":["status"]}`, 2)
		}})
	}
	for _, name := range []string{"__proto__", "constructor", "toString", "hasOwnProperty", "prototype", "length"} {
		cases = append(cases, attack{name: "prototype-ish " + name, run: func(a *attempt) {
			c := a.connect(a.wide, a.wide.ann(), markMasked)
			c.refuse(`{"type":"subscribe","id":1,"query":{"table":"`+name+`"}}`, 1, "permission-denied")
			c.refuse(`{"type":"subscribe","id":1,"query":{"table":"appointments","columns":["`+name+`"]}}`, 1, "permission-denied")
			c.refuse(`{"type":"subscribe","id":1,"query":{"table":"appointments","`+name+`":{}}}`, 1, "invalid-argument")
			c.refuse(`{"type":"ping","id":1,"`+name+`":{"type":"auth"}}`, 0, "invalid-argument")
			c.refuse(`{"type":"`+name+`"}`, 0, "invalid-argument")
			c.open(1, `{"table":"appointments","columns":["status"]}`, 2)
		}})
	}
	for name, frame := range map[string]string{
		"columns twice":             `{"type":"subscribe","id":1,"query":{"table":"appointments","columns":["status"],"columns":["price"]}}`,
		"columns in capitals":       `{"type":"subscribe","id":1,"query":{"table":"appointments","columns":["status"],"Columns":["price"]}}`,
		"columns with a long s":     `{"type":"subscribe","id":1,"query":{"table":"appointments","column\u017f":["status"]}}`,
		"columns, the s escaped":    `{"type":"subscribe","id":1,"query":{"table":"appointments","columns":["status"],"column\u0073":["price"]}}`,
		"limit by a Kelvin sign":    `{"type":"subscribe","id":1,"query":{"table":"appointments","\u212aey":1}}`,
		"table twice":               `{"type":"subscribe","id":1,"query":{"table":"appointments","table":"companies"}}`,
		"query twice":               `{"type":"subscribe","id":1,"query":{"table":"appointments"},"query":{"table":"companies"}}`,
		"type twice":                `{"type":"ping","type":"subscribe","id":1,"query":{"table":"appointments"}}`,
		"cursor twice":              `{"type":"subscribe","id":1,"query":{"table":"appointments"},"resume":{"cursor":"","cursor":"","token":""}}`,
		"a member that is none":     `{"type":"subscribe","id":1,"query":{"table":"appointments","select":["price"]}}`,
		"a type with a long s":      `{"type":"\u017fubscribe","id":1,"query":{"table":"appointments"}}`,
		"resume with a long s":      `{"type":"subscribe","id":1,"query":{"table":"appointments"},"re\u017fume":{"cursor":"","token":""}}`,
		"the token in capitals":     `{"type":"auth","TOKEN":"x"}`,
		"the token by Kelvin signs": `{"type":"auth","to\u212aen":"x"}`,
	} {
		cases = append(cases, attack{name: "member: " + name, run: func(a *attempt) {
			c := a.connect(a.wide, a.wide.ann(), markMasked)
			if err := c.TrySend([]byte(frame)); err != nil {
				a.Fatal(err)
			}
			if f := c.answer(); f.Type != "error" || f.Code != "invalid-argument" {
				a.Fatalf("got %.500s", f.Raw)
			}
			a.refusals.Add(1)
			c.open(2, `{"table":"appointments","columns":["status"]}`, 2)
		}})
	}
	return cases
}

// shownCases look for masked values in what is served.
func shownCases() []attack {
	cases := []attack{
		{name: "a change of a masked column alone", run: func(a *attempt) {
			c := a.connect(a.wide, a.wide.ann(), markMasked)
			c.open(1, `{"table":"appointments"}`, 2)
			c.open(2, `{"table":"appointments","orderBy":["starts_at"],"limit":1}`, 1)
			a.wide.exec(a, `UPDATE appointments SET price = price + 1, internal_notes = internal_notes || '.' WHERE id = $1`, appointment(1))
			c.hears("nothing of a masked change", a.wide.lsn(a))
			a.refusals.Add(1)
			a.wide.exec(a, `UPDATE appointments SET notes = notes || '.' WHERE id = $1`, appointment(1))
			if f := c.answer(); len(f.Subscriptions) != 2 {
				a.Errorf("got %s", f)
			}
		}},
		{name: "a delete", run: func(a *attempt) {
			const id = "00000000-0000-0000-0001-000000000060"
			a.wide.exec(a, `INSERT INTO appointments (id, company_id, staff_id, starts_at, ends_at, notes, internal_notes) VALUES ($1, $2, $3, now(), now() + interval '1 hour', 'gone soon', 'MARK-OF-MASKED')`, id, companyA, ann)
			c := a.connect(a.wide, a.wide.ann(), markMasked)
			c.open(1, `{"table":"appointments"}`, 3)
			a.wide.exec(a, `UPDATE appointments SET internal_notes = 'MARK-OF-MASKED again' WHERE id = $1`, id)
			a.wide.exec(a, `DELETE FROM appointments WHERE id = $1`, id)
			f := c.answer()
			if want := `"removed":[{"id":"` + id + `"}]`; !strings.Contains(string(f.Raw), want) || strings.Contains(string(f.Raw), "gone soon") {
				a.Errorf("want only %s: %s", want, f)
			}
			a.refusals.Add(1)
		}},
		{name: "limit and order infer nothing of hidden rows", run: func(a *attempt) {
			c := a.connect(a.wide, a.wide.ann(), markMasked)
			// Abe's and nobody's stand later; the window of hers is as if they were not there.
			q := c.open(1, `{"table":"appointments","columns":["notes"],"orderBy":[["starts_at","desc"]],"limit":1}`, 1)
			if q.Rows[fmt.Sprintf("[%q]", appointment(2))] == nil {
				a.Errorf("the last of hers: %v", q.Rows)
			}
			a.wide.exec(a, `UPDATE appointments SET starts_at = starts_at + interval '1 minute' WHERE id IN ($1, $2)`, appointment(3), appointment(4))
			c.hears("nothing of hidden rows", a.wide.lsn(a))
			a.refusals.Add(1)
			c.open(2, `{"table":"appointments","columns":["notes"],"orderBy":["starts_at"],"startAfter":["2026-03-01T11:00:00Z"],"limit":9}`, 0)
		}},
		{name: "a row that fits by a masked column only", run: func(a *attempt) {
			// The rule of clients looks at status; email is masked, and a filter can't see it.
			c := a.connect(a.wide, a.wide.ann(), markMasked)
			c.refuse(`{"type":"subscribe","id":1,"query":{"table":"clients","columns":["name"],"where":[["email","starts-with","MARK"]]}}`, 1, "permission-denied", "email")
			c.open(1, `{"table":"clients","columns":["name"],"where":[["name","starts-with","C"]]}`, 1)
		}},
		{name: "all columns are those of the role", run: func(a *attempt) {
			c := a.connect(a.wide, a.wide.ann(), markMasked)
			for _, row := range c.open(1, `{"table":"appointments"}`, 2).Rows {
				for _, name := range []string{"price", "internal_notes"} {
					if _, shown := row[name]; shown {
						a.Errorf("shows %s: %v", name, row)
					}
				}
			}
			a.refusals.Add(1)
		}},
	}
	for _, table := range []string{"companies", "branches", "public.appointments", "Appointments", `"appointments"`, "appointments;", "pg_catalog.pg_authid", "pg_shadow", "information_schema.tables", "goose_db_version", "walwire"} {
		cases = append(cases, attack{name: "table " + table, run: func(a *attempt) {
			c := a.connect(a.wide, a.wide.owner())
			f := c.refuse(`{"type":"subscribe","id":1,"query":{"table":`+quote(table)+`}}`, 1, "permission-denied")
			g := c.refuse(`{"type":"subscribe","id":1,"query":{"table":"nonexistent"}}`, 1, "permission-denied")
			if strings.ReplaceAll(g.Message, `"nonexistent"`, quote(table)) != f.Message {
				a.Errorf("a table that is not open is told from none: %q and %q", f.Message, g.Message)
			}
			c.open(1, `{"table":"appointments"}`, 4)
		}})
	}
	return cases
}
