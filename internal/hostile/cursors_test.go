package hostile_test

import (
	"encoding/base64"
	"strings"

	"github.com/walwire/walwire/internal/apptest"
)

// kept is what a client keeps to go on from.
type kept struct {
	cursor, token string
	query         *apptest.Query
}

const allAppointments = `{"table":"appointments","columns":["notes","starts_at"]}`

// keep opens a query, has a row of it change, and gives what its client then keeps.
func (a *attempt) keep(p *place, token, text string, rows int) kept {
	a.Helper()
	c := a.connect(p, token)
	c.marks = nil // it may be B's own
	q := c.open(1, text, rows)
	c.sees(p.lsn(a))
	k := kept{c.Cursor, q.Token, q}
	c.Close()
	return k
}

// resume goes on, or tries to, and gives the answer; the query is the client's again.
func (c *client) resume(id int, text string, k kept, cursor, token string) *apptest.Query {
	c.a.Helper()
	q := k.query
	c.Replica.Resume(id, q)
	q.Resets, q.Resumes = 0, 0
	c.Send(`{"type":"subscribe","id":%d,"query":%s,"resume":{"cursor":%s,"token":%s}}`, id, text, quote(cursor), quote(token))
	for q.Waiting {
		if f := c.answer(); f.Type == "error" {
			c.a.Fatalf("resume: %s", f.Raw)
		}
	}
	return q
}

// mustReset checks that nothing was gone on from, and that the rows are the client's own.
func (a *attempt) mustReset(q *apptest.Query, rows int) {
	a.Helper()
	if q.Resets != 1 || q.Resumes != 0 || len(q.Rows) != rows {
		a.Errorf("reset %d times, resumed %d times, %d rows; want one reset with %d rows", q.Resets, q.Resumes, len(q.Rows), rows)
	}
	a.refusals.Add(1)
}

// goesOn is the control: what is one's own is gone on from.
func (a *attempt) goesOn(k kept) {
	a.Helper()
	q := a.connect(a.wide, a.wide.owner()).resume(1, allAppointments, k, k.cursor, k.token)
	if q.Resumes != 1 || q.Resets != 0 {
		a.Errorf("one's own: resumed %d times, reset %d times", q.Resumes, q.Resets)
	}
	a.served.Add(1)
}

// cursorCases go on from what is not theirs, or was made up.
func cursorCases() []attack {
	// with resumes as the owner of A after what change made of one's own.
	with := func(name string, change func(a *attempt, k kept) (cursor, token string)) attack {
		return attack{name: name, run: func(a *attempt) {
			k := a.keep(a.wide, a.wide.owner(), allAppointments, 4)
			cursor, token := change(a, k)
			shown := *k.query
			a.mustReset(a.connect(a.wide, a.wide.owner()).resume(1, allAppointments, kept{query: &shown}, cursor, token), 4)
			a.goesOn(k)
		}}
	}
	other := func(name, text string, rows int, token func(a *attempt) string) attack {
		return with(name, func(a *attempt, _ kept) (string, string) {
			k := a.keep(a.wide, token(a), text, rows)
			return k.cursor, k.token
		})
	}
	ownerOfB := func(a *attempt) string {
		return a.wide.token("owner", "owner", apptest.Claims{"company_id": companyB})
	}
	cases := []attack{
		other("cursor and token of another company", allAppointments, 3, ownerOfB),
		with("cursor of another company", func(a *attempt, k kept) (string, string) {
			return a.keep(a.wide, ownerOfB(a), allAppointments, 3).cursor, k.token
		}),
		with("token of another company", func(a *attempt, k kept) (string, string) {
			return k.cursor, a.keep(a.wide, ownerOfB(a), allAppointments, 3).token
		}),
		other("token of another user", allAppointments, 4, func(a *attempt) string { return a.wide.token("owner 2", "owner") }),
		other("token of another role", allAppointments, 4, func(a *attempt) string {
			return a.wide.token("owner", "client", apptest.Claims{"client_id": cat})
		}),
		other("token of another query", `{"table":"appointments","columns":["notes","starts_at"],"where":[["status","==","confirmed"]]}`, 4, func(a *attempt) string { return a.wide.owner() }),
		other("token of other columns", `{"table":"appointments","columns":["notes"]}`, 4, func(a *attempt) string { return a.wide.owner() }),
		other("token of another table", `{"table":"clients"}`, 1, func(a *attempt) string { return a.wide.owner() }),
		with("cursor of another server", func(a *attempt, k kept) (string, string) {
			return a.keep(a.tight, a.tight.token("resumer", "owner"), allAppointments, 4).cursor, k.token
		}),
		with("cursor truncated", func(_ *attempt, k kept) (string, string) { return k.cursor[:len(k.cursor)-2], k.token }),
		with("cursor cut to its nonce", func(_ *attempt, k kept) (string, string) { return k.cursor[:16], k.token }),
		with("cursor forged", func(_ *attempt, k kept) (string, string) {
			return base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("\xff", 52))), k.token
		}),
		with("cursor very long", func(_ *attempt, k kept) (string, string) { return strings.Repeat(k.cursor, 500), k.token }),
		with("cursor empty", func(_ *attempt, k kept) (string, string) { return "", k.token }),
		with("token empty", func(_ *attempt, k kept) (string, string) { return k.cursor, "" }),
		with("token of what is loading", func(_ *attempt, k kept) (string, string) { return k.cursor, "-" }),
		with("token truncated", func(_ *attempt, k kept) (string, string) { return k.cursor, k.token[:len(k.token)-1] }),
		with("cursor and token swapped", func(_ *attempt, k kept) (string, string) { return k.token, k.cursor }),
	}
	for name, at := range map[string]float64{"nonce": 0.05, "position": 0.4, "seal": 0.95} {
		cases = append(cases, with("cursor with a flipped bit in its "+name, func(_ *attempt, k kept) (string, string) {
			sealed, _ := base64.RawURLEncoding.DecodeString(k.cursor)
			sealed[int(at*float64(len(sealed)))] ^= 1
			return base64URL(sealed), k.token
		}))
	}
	return cases
}
