package hostile_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/walwire/walwire/internal/apptest"
)

// ticket gets one.
func (a *attempt) ticket(p *place, token string) string {
	a.Helper()
	got := a.granted(p, request{path: "/v1/tickets", token: token})
	var body struct{ Ticket string }
	if err := json.Unmarshal([]byte(got.body), &body); err != nil || body.Ticket == "" {
		a.Fatalf("got %s", got.body)
	}
	return body.Ticket
}

// byTicket is a request that a ticket lets in.
func byTicket(ticket string) request {
	return request{method: "GET", path: "/v1/sse?ticket=" + url.QueryEscape(ticket)}
}

func ticketCases() []attack {
	return []attack{
		{name: "a ticket replayed", run: func(a *attempt) {
			ticket := a.ticket(a.wide, a.wide.owner())
			a.granted(a.wide, byTicket(ticket))
			a.denied(a.wide, byTicket(ticket), http.StatusUnauthorized, "unauthenticated", "ticket")
			r := byTicket(ticket)
			r.method, r.path, r.body = "POST", strings.Replace(r.path, "sse", "query", 1), `{"query":{"table":"appointments"}}`
			a.denied(a.wide, r, http.StatusUnauthorized, "unauthenticated", "ticket")
		}},
		{name: "a ticket used twice at once", run: func(a *attempt) {
			ticket := a.ticket(a.wide, a.wide.owner())
			var all sync.WaitGroup
			statuses := make(chan int, 10)
			for range cap(statuses) {
				all.Go(func() {
					got, err := a.tryAsk(a.wide.URL(), byTicket(ticket))
					if err != nil {
						a.Error(err)
					}
					statuses <- got.status
				})
			}
			all.Wait()
			close(statuses)
			counts := make(map[int]int)
			for status := range statuses {
				counts[status]++
			}
			if counts[http.StatusOK] != 1 || counts[http.StatusUnauthorized] != 9 {
				a.Errorf("answered with %v", counts)
			}
			a.refusals.Add(1)
		}},
		{name: "a ticket of another process", run: func(a *attempt) {
			ticket := a.ticket(a.tight, a.tight.owner())
			a.denied(a.wide, byTicket(ticket), http.StatusUnauthorized, "unauthenticated", "at this server")
			a.granted(a.tight, byTicket(ticket))
		}},
		{name: "a ticket that was cut", run: func(a *attempt) {
			ticket := a.ticket(a.wide, a.wide.owner())
			a.denied(a.wide, byTicket(ticket[:len(ticket)-1]), http.StatusUnauthorized, "unauthenticated")
			a.denied(a.wide, byTicket(ticket+"A"), http.StatusUnauthorized, "unauthenticated")
			a.granted(a.wide, byTicket(ticket))
		}},
		{name: "a ticket and a token", run: func(a *attempt) {
			r := byTicket(a.ticket(a.wide, a.wide.owner()))
			r.token = a.wide.owner()
			a.denied(a.wide, r, http.StatusBadRequest, "invalid-argument", "not both")
		}},
		{name: "a ticket for another company", run: func(a *attempt) {
			r := byTicket(a.ticket(a.wide, a.wide.owner()))
			r.path += "&company=" + companyB
			got := a.granted(a.wide, r) // it says who it is for, whatever the URL does
			if !strings.Contains(got.body, `"company":"`+companyA+`"`) {
				a.Errorf("got %s", got.body)
			}
			a.denied(a.wide, request{path: "/v1/tickets?company=" + companyB, token: a.wide.owner()}, http.StatusUnauthorized, "unauthenticated", "company")
		}},
		{name: "more tickets than allowed", run: func(a *attempt) {
			token := a.tight.token("hoarder", "owner")
			for range tickets {
				a.ticket(a.tight, token)
			}
			got := a.denied(a.tight, request{path: "/v1/tickets", token: token}, http.StatusTooManyRequests, "resource-exhausted", "limits.tickets_per_user")
			if got.header.Get("Retry-After") == "" {
				a.Error("no Retry-After")
			}
			a.ticket(a.tight, a.tight.token("another", "owner"))
		}},
		{name: "a ticket in other places", run: func(a *attempt) {
			ticket := a.ticket(a.wide, a.wide.owner())
			a.denied(a.wide, query(ticket, `{"table":"appointments"}`), http.StatusUnauthorized, "unauthenticated")
			c := a.dial(a.wide)
			c.refuse(fmt.Sprintf(`{"type":"auth","token":%q}`, ticket), 0, "unauthenticated")
			c.closed(4501)
			a.granted(a.wide, byTicket(ticket))
		}},
	}
}

// renewalCases try to become somebody else on a connection that is let in.
func renewalCases() []attack {
	with := func(name, code string, token func(a *attempt) string) attack {
		return attack{name: "renewal by " + name, run: func(a *attempt) {
			c := a.connect(a.wide, a.wide.ann(), markMasked)
			c.open(1, `{"table":"appointments"}`, 2)
			c.refuse(`{"type":"auth","token":`+quote(token(a))+`}`, 0, code)
			c.Send(`{"type":"auth","token":%q}`, a.wide.ann())
			if f := c.answer(); f.Type != "renewed" {
				a.Errorf("got %s", f)
			}
			a.wide.exec(a, `UPDATE appointments SET notes = notes || '.' WHERE id IN ($1, $2, $3)`, appointment(1), appointment(3), appointment(101))
			f := c.answer()
			if len(f.Subscriptions) != 1 || len(f.Subscriptions[0].Modified) != 1 {
				a.Errorf("after it: %s", f)
			}
		}}
	}
	as := func(claims apptest.Claims) func(a *attempt) string {
		return func(a *attempt) string {
			return a.wide.token("ann", "staff", claims)
		}
	}
	return []attack{
		{name: "a token of a user whose access has ended", run: func(a *attempt) {
			a.wide.exec(a, `INSERT INTO staff (company_id, user_id, name, active) VALUES ($1, 'eve', 'Eve', false)`, companyA)
			defer a.wide.exec(a, `DELETE FROM staff WHERE user_id = 'eve'`)
			token := a.wide.token("eve", "staff")
			c := a.dial(a.wide)
			c.refuse(`{"type":"auth","token":`+quote(token)+`}`, 0, "permission-denied", "access has ended")
			c.closed(4502)
			for _, r := range []request{query(token, `{"table":"appointments"}`), {path: "/v1/tickets", token: token}, {method: "GET", path: "/v1/sse", token: token}, {path: "/v1/poll", token: token, body: `{}`}} {
				a.denied(a.wide, r, http.StatusForbidden, "permission-denied", "access has ended")
			}
			a.wide.exec(a, `UPDATE staff SET active = true WHERE user_id = 'eve'`)
			a.until("she is let in", func() bool { return a.ask(a.wide, query(token, `{"table":"appointments"}`)).status == http.StatusOK })
			a.served.Add(1)
		}},
		with("another user's token", "permission-denied", as(apptest.Claims{"sub": "abe"})),
		with("another company's token", "permission-denied", as(apptest.Claims{"company_id": companyB})),
		with("a token of several companies, the other one named", "unauthenticated", as(apptest.Claims{"company_id": []string{companyA, companyB}})),
		with("an expired token", "unauthenticated", as(apptest.Claims{"exp": 1_000_000_000})),
		with("a token of alg none", "unauthenticated", func(a *attempt) string {
			return forge(header("none", "main"), a.claims(apptest.Claims{"sub": "ann", "roles": []string{"owner"}}), nil)
		}),
		with("what is no token", "unauthenticated", func(*attempt) string { return "x.y.z" }),
		with("an empty token", "invalid-argument", func(*attempt) string { return "" }),
	}
}
