package hostile_test

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/walwire/walwire/internal/apptest"
)

func companyCases() []attack {
	cases := append(filterCases(), namingCases()...)
	cases = append(cases, claimantCases()...)
	cases = append(cases, cursorCases()...)
	return append(cases, moveCases()...)
}

// filterCases ask as the owner of A for rows of B, which exist.
func filterCases() []attack {
	// reach asks by subscription and at once; want are the rows of A that are in reach too.
	reach := func(name, hostile string, want int, control string, rows int) attack {
		return attack{name: name, run: func(a *attempt) {
			c := a.connect(a.wide, a.wide.owner())
			q := c.open(1, hostile, want)
			for _, row := range q.Rows {
				if company, shown := row["company_id"]; shown && company != companyA {
					a.Errorf("a row of %v", company)
				}
			}
			got := a.granted(a.wide, query(a.wide.owner(), hostile))
			a.clean([]byte(got.body), markB)
			if n := len(a.rows(got)); n != want {
				a.Errorf("asked once: %d rows, want %d", n, want)
			}
			// A change in B is not told either, not even that there was one.
			a.wide.exec(a, `UPDATE appointments SET updated_at = now() WHERE company_id = $1`, companyB)
			c.hears("nothing of another company's change", a.wide.lsn(a))
			a.refusals.Add(1)
			c.open(2, control, rows)
		}}
	}
	table := func(rest string) string { return `{"table":"appointments",` + rest + `}` }
	where := func(condition string) string { return table(`"where":[` + condition + `]`) }
	ids := fmt.Sprintf(`[%q,%q,%q]`, appointment(1), appointment(101), appointment(102))
	return []attack{
		reach("company == another's", where(`["company_id","==","`+companyB+`"]`), 0, where(`["company_id","==","`+companyA+`"]`), 4),
		reach("company != one's own", where(`["company_id","!=","`+companyA+`"]`), 0, where(`["company_id","!=","`+companyB+`"]`), 4),
		reach("company in both", where(`["company_id","in",["`+companyA+`","`+companyB+`"]]`), 4, where(`["company_id","in",["`+companyA+`"]]`), 4),
		reach("company not-in one's own", where(`["company_id","not-in",["`+companyA+`"]]`), 0, where(`["company_id","not-in",[]]`), 4),
		reach("company beyond one's own", where(`["company_id",">","`+companyA+`"]`), 0, where(`["company_id",">=","`+companyA+`"]`), 4),
		reach("company is-null", where(`["company_id","is-null",true]`), 0, where(`["company_id","is-null",false]`), 4),
		reach("company by or", where(`{"or":[["company_id","==","`+companyB+`"],["company_id","==","`+companyA+`"]]}`), 4, where(`{"or":[["company_id","==","`+companyA+`"]]}`), 4),
		reach("company by not", where(`{"not":["company_id","==","`+companyA+`"]}`), 0, where(`{"not":["company_id","==","`+companyB+`"]}`), 4),
		reach("always true by or", where(`{"or":[["id","is-null",false],["id","is-null",true]]}`), 4, where(`["id","is-null",false]`), 4),
		reach("the id of another's row", where(`["id","==","`+appointment(101)+`"]`), 0, where(`["id","==","`+appointment(1)+`"]`), 1),
		reach("ids of both in a list", where(`["id","in",`+ids+`]`), 1, where(`["id","in",["`+appointment(1)+`"]]`), 1),
		reach("another's staff", where(`["staff_id","==","`+bob+`"]`), 0, where(`["staff_id","==","`+ann+`"]`), 2),
		reach("another's client", where(`["client_id","in",["`+dan+`"]]`), 0, where(`["client_id","in",["`+cat+`"]]`), 4),
		reach("another's value", where(`["notes","starts-with","MARK"]`), 0, where(`["notes","starts-with","note"]`), 4),
		reach("startAt another's row", table(`"orderBy":["id"],"startAt":["`+appointment(100)+`"],"limit":10`), 0, table(`"orderBy":["id"],"startAt":["`+appointment(1)+`"],"limit":10`), 4),
		reach("a window that A does not fill", table(`"orderBy":["price"],"limit":100`), 4, table(`"orderBy":["price"],"limit":2`), 2),
		reach("the last of a window", table(`"orderBy":["id"],"limitToLast":50`), 4, table(`"orderBy":["id"],"limitToLast":3`), 3),
		reach("another's staff as rows", `{"table":"staff","where":[["id","==","`+bob+`"]]}`, 0, `{"table":"staff","where":[["id","==","`+ann+`"]]}`, 1),
		reach("another's tag", `{"table":"clients","where":[["tags","array-contains","`+markB+`"]]}`, 0, `{"table":"clients","where":[["tags","array-contains","vip"]]}`, 1),
	}
}

// namingCases name a company that their token does not have.
func namingCases() []attack {
	return []attack{
		{name: "company beside the token", run: func(a *attempt) {
			c := a.dial(a.wide)
			c.refuse(`{"type":"auth","token":`+quote(a.wide.owner())+`,"company":"`+companyB+`"}`, 0, "unauthenticated", "company")
			c.closed(4501)
			c = a.dial(a.wide)
			c.Send(`{"type":"auth","token":%q,"company":%q}`, a.wide.owner(), companyA)
			if f := c.answer(); f.Type != "welcome" {
				a.Errorf("got %s", f)
			}
			c.open(1, `{"table":"appointments"}`, 4)
		}},
		{name: "company in the URL", run: func(a *attempt) {
			for _, r := range []request{
				{method: "GET", path: "/v1/sse"}, {path: "/v1/poll", body: `{}`}, {path: "/v1/query", body: `{"query":{"table":"appointments"}}`},
				{path: "/v1/tickets"}, {method: "GET", path: "/v1/stats"}, {path: "/v1/wait", body: `{"lsn":"0/1"}`},
			} {
				path := r.path
				r.token, r.path = a.wide.owner(), path+"?company="+companyB
				a.denied(a.wide, r, http.StatusUnauthorized, "unauthenticated", "company")
				r.path = path + "?company=" + companyA
				a.granted(a.wide, r)
			}
		}},
		{name: "company in the query", run: func(a *attempt) {
			c := a.connect(a.wide, a.wide.owner())
			c.refuse(`{"type":"subscribe","id":1,"query":{"table":"appointments","company":"`+companyB+`"}}`, 1, "invalid-argument", "company")
			c.open(1, `{"table":"appointments"}`, 4)
		}},
		{name: "company at renewal", run: func(a *attempt) {
			c := a.connect(a.wide, a.wide.owner())
			c.refuse(`{"type":"auth","token":`+quote(a.wide.owner())+`,"company":"`+companyB+`"}`, 0, "unauthenticated", "company")
			both := a.wide.token("owner", "owner", apptest.Claims{"company_id": []string{companyA, companyB}})
			c.refuse(`{"type":"auth","token":`+quote(both)+`,"company":"`+companyB+`"}`, 0, "permission-denied", "another")
			c.open(1, `{"table":"appointments"}`, 4)
		}},
		{name: "company of an operator's, by who is none", run: func(a *attempt) {
			r := request{method: "GET", path: "/v1/stats?company=" + companyB, token: a.wide.owner()}
			a.denied(a.wide, r, http.StatusUnauthorized, "unauthenticated", "company")
			r.token = a.wide.token("sue", "support")
			a.granted(a.wide, r)
		}},
		{name: "statistics of all", run: func(a *attempt) {
			r := request{method: "GET", path: "/v1/stats", token: a.wide.ann()}
			a.denied(a.wide, r, http.StatusForbidden, "permission-denied", "stats.roles")
			r.token = a.wide.owner()
			if got := a.granted(a.wide, r); strings.Contains(got.body, "companyCount") {
				a.Errorf("an owner is told of all: %s", got.body)
			}
		}},
	}
}

// claimantCases have claims that would be code, were they put into code.
func claimantCases() []attack {
	var cases []attack
	for name, user := range map[string]string{
		"SQL": `ann' OR 'a'='a`, "a SQL comment": `ann'--`, "CEL": `ann" || true || "`, "a list": `["ann","abe"]`, "a pattern": `%`, "a prefix": `an`,
		"capitals": `ANN`, "a zero-width blank": "ann\u200b", "a blank after": "ann ", "a dollar": `$1`, "a backslash": `ann\`,
	} {
		cases = append(cases, attack{name: "user id as " + name, run: func(a *attempt) {
			c := a.connect(a.wide, a.wide.token(user, "staff"), markMasked)
			c.none(1, `{"table":"appointments"}`)
			c.none(2, `{"table":"notifications","where":[["user_id","==","ann"]]}`)
			a.connect(a.wide, a.wide.ann(), markMasked).open(1, `{"table":"appointments"}`, 2)
		}})
	}
	for name, role := range map[string]string{"SQL": `owner' OR 'a'='a`, "capitals": "Owner", "a blank after": "owner ", "a list": "owner,staff", "a wildcard": "*", "a prototype": "__proto__"} {
		cases = append(cases, attack{name: "role as " + name, run: func(a *attempt) {
			c := a.connect(a.wide, a.wide.token("x", role))
			c.refuse(`{"type":"subscribe","id":1,"query":{"table":"appointments"}}`, 1, "permission-denied")
			a.denied(a.wide, query(a.wide.token("x", role), `{"table":"appointments"}`), http.StatusForbidden, "permission-denied")
			a.granted(a.wide, query(a.wide.owner(), `{"table":"appointments"}`))
		}})
	}
	for name, company := range map[string]string{"SQL": companyA + `' OR true --`, "a pattern": "%", "two": companyA + "," + companyB, "a brace more": "{" + companyA + "}}", "a prefix": companyA[:35]} {
		cases = append(cases, attack{name: "company id as " + name, run: func(a *attempt) {
			c := a.connect(a.wide, a.wide.token("x", "owner", apptest.Claims{"company_id": company}))
			c.none(1, `{"table":"appointments"}`)
			a.connect(a.wide, a.wide.owner()).open(1, `{"table":"appointments"}`, 4)
		}})
	}
	for name, branches := range map[string]any{"SQL": []string{"' OR true --"}, "a list in a list": []any{[]any{branchA}}, "an object": map[string]any{"in": branchA}, "null": []any{nil}, "true": true} {
		cases = append(cases, attack{name: "branches as " + name, run: func(a *attempt) {
			a.wide.exec(a, `INSERT INTO notifications (company_id, branch_id, title) VALUES ($1, $2, 'for the branch')`, companyA, branchA)
			defer a.wide.exec(a, `DELETE FROM notifications WHERE company_id = $1`, companyA)
			a.connect(a.wide, a.wide.token("zoe", "staff", apptest.Claims{"branch_ids": branches})).none(1, `{"table":"notifications"}`)
			a.connect(a.wide, a.wide.token("zoe", "staff", apptest.Claims{"branch_ids": []string{branchA}})).open(1, `{"table":"notifications"}`, 1)
		}})
	}
	return cases
}
