package hostile_test

import (
	"strings"

	"github.com/walwire/walwire/internal/apptest"
)

// moveCases watch a row go where the watcher may not look.
func moveCases() []attack {
	// leaves has one of A's rows leave the sight of who watches, and change there.
	leaves := func(name string, watcher func(p *place) string, away, there, back string, others int) attack {
		return attack{name: name, run: func(a *attempt) {
			const id = "00000000-0000-0000-0001-000000000050"
			a.wide.exec(a, `INSERT INTO appointments (id, company_id, staff_id, starts_at, ends_at, notes, internal_notes, price)
				VALUES ($1, $2, $3, '2026-04-01', '2026-04-02', 'visible', 'MARK-OF-MASKED', 9)`, id, companyA, ann)
			defer a.wide.exec(a, `DELETE FROM appointments WHERE id = $1`, id)
			c := a.connect(a.wide, watcher(a.wide), "MARK-AWAY")
			c.open(1, `{"table":"appointments","columns":["notes"]}`, others+1)
			window := c.open(2, `{"table":"appointments","columns":["notes"],"orderBy":[["starts_at","desc"]],"limit":1}`, 1)
			a.wide.exec(a, away, id)
			f := c.answer()
			for _, u := range f.Subscriptions {
				if len(u.Removed) != 1 || len(u.Removed[0]) != 1 || u.Removed[0]["id"] != id || len(u.Modified) > 0 || len(u.Added) != u.ID-1 {
					a.Errorf("when the row leaves: %s", f)
				}
			}
			if len(f.Subscriptions) != 2 || len(window.Rows) != 1 {
				a.Errorf("when the row leaves: %s", f)
			}
			a.refusals.Add(1)
			if there != "" {
				a.wide.exec(a, there, id)
				c.hears("nothing of what changes there", a.wide.lsn(a))
			}
			if back == "" {
				a.served.Add(1)
				return
			}
			a.wide.exec(a, back, id)
			if f := c.answer(); len(f.Subscriptions) != 2 || len(f.Subscriptions[0].Added) != 1 || strings.Contains(string(f.Raw), "MARK") {
				a.Errorf("when it is back: %s", f)
			}
			a.served.Add(1)
		}}
	}
	owner := func(p *place) string { return p.owner() }
	member := func(p *place) string { return p.ann() }
	return []attack{
		leaves("a row moved to another company", owner,
			`UPDATE appointments SET company_id = '`+companyB+`', notes = 'MARK-AWAY', price = 77 WHERE id = $1`,
			`UPDATE appointments SET notes = 'MARK-AWAY 2' WHERE id = $1`,
			`UPDATE appointments SET company_id = '`+companyA+`', notes = 'visible again' WHERE id = $1`, 4),
		leaves("a row moved to a colleague", member,
			`UPDATE appointments SET staff_id = '`+abe+`', notes = 'MARK-AWAY', internal_notes = 'MARK-AWAY' WHERE id = $1`,
			`UPDATE appointments SET notes = 'MARK-AWAY 2' WHERE id = $1`,
			`UPDATE appointments SET staff_id = '`+ann+`', notes = 'visible again' WHERE id = $1`, 2),
		leaves("a row that loses its owner", member,
			`UPDATE appointments SET staff_id = NULL, notes = 'MARK-AWAY' WHERE id = $1`,
			`UPDATE appointments SET notes = 'MARK-AWAY 2', staff_id = '`+abe+`' WHERE id = $1`,
			`UPDATE appointments SET staff_id = '`+ann+`', notes = 'visible again' WHERE id = $1`, 2),
		leaves("a row that is deleted", member,
			`DELETE FROM appointments WHERE id = $1`, "", "", 2),
		{name: "the id of a deleted row, used again in another company", run: func(a *attempt) {
			const id = "00000000-0000-0000-0001-000000000051"
			put := func(company string) {
				a.wide.exec(a, `INSERT INTO clients (id, company_id, name) VALUES ($1, $2, $3)`, id, company, "of "+company)
			}
			put(companyA)
			c := a.connect(a.wide, a.wide.owner(), "of "+companyB)
			q := c.open(1, `{"table":"clients","columns":["name"],"where":[["id","==","`+id+`"]]}`, 1)
			a.wide.exec(a, `DELETE FROM clients WHERE id = $1`, id)
			put(companyB)
			c.answer()
			if c.hears("nothing of another company's row", a.wide.lsn(a)); len(q.Rows) != 0 {
				a.Errorf("shows %v", q.Rows)
			}
			a.refusals.Add(1)
			a.wide.exec(a, `DELETE FROM clients WHERE id = $1`, id)
			put(companyA)
			c.sees(a.wide.lsn(a))
			if len(q.Rows) != 1 {
				a.Errorf("%d rows", len(q.Rows))
			}
			a.served.Add(1)
			a.wide.exec(a, `DELETE FROM clients WHERE id = $1`, id)
		}},
		{name: "rights lost by renewal", run: func(a *attempt) {
			c := a.connect(a.wide, a.wide.token("mia", "owner"))
			q := c.open(1, `{"table":"appointments"}`, 4)
			c.Send(`{"type":"auth","token":%q}`, a.wide.token("mia", "client", apptest.Claims{"client_id": cat}))
			for q.Resets == 0 || len(q.Rows) != 4 { // it may be shown without rows first
				c.answer()
			}
			c.marks = append(c.marks, markMasked)
			c.open(2, `{"table":"appointments","columns":["notes"]}`, 4)
			a.wide.exec(a, `UPDATE appointments SET internal_notes = internal_notes || '.', notes = notes || '.' WHERE id = $1`, appointment(1))
			if f := c.answer(); len(f.Subscriptions) != 2 {
				a.Errorf("got %s", f)
			}
			c.refuse(`{"type":"subscribe","id":3,"query":{"table":"appointments","columns":["internal_notes"]}}`, 3, "permission-denied", "internal_notes")
		}},
	}
}
