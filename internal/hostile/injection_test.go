package hostile_test

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/walwire/walwire/internal/apptest"
)

// payload is text that is put where text may stand: as it stands in JSON, between
// quotes, and as it is.
type payload struct{ name, json, plain string }

func payloads() []payload {
	return []payload{
		{"SQL", `x'; DROP TABLE appointments; --`, `x'; DROP TABLE appointments; --`},
		{"SQL true", `x') OR ('1'='1`, `x') OR ('1'='1`},
		{"a parameter", `$1::text || pg_sleep(9)`, `$1::text || pg_sleep(9)`},
		{"JSON", `x\"},\"company\":\"` + companyB, `x"},"company":"` + companyB},
		{"NUL", `x\u0000y`, "x\x00y"},
		{"a lone surrogate", `x\ud800y`, "x\ufffdy"},
		{"overlong UTF-8", "x\xc0\xafy", "x\xc0\xafy"},
		{"right to left", "\u202ey\u202cx", "\u202ey\u202cx"},
	}
}

// place of a payload: how it is tried, on a connection of the owner of A.
type injection struct {
	where string
	try   func(a *attempt, c *client, p payload)
}

// answered tries a frame of subscription 1 that is refused with code; one that is no
// UTF-8 is not read that far.
func (c *client) answered(frame string, p payload, id int, code string) {
	c.a.Helper()
	if p.name == "overlong UTF-8" {
		id, code = 0, "invalid-argument"
	}
	c.refuse(frame, id, code)
}

// compared tries a value of a text column: it is one that no row has, but for what
// PostgreSQL's text can't hold.
func (c *client) compared(frame func(value string) string, p payload) {
	c.a.Helper()
	if p.name == "NUL" || p.name == "overlong UTF-8" {
		c.answered(`{"type":"subscribe","id":1,"query":`+frame(p.json)+`}`, p, 1, "invalid-argument")
		return
	}
	c.none(1, frame(p.json))
}

func injectionCases() []attack {
	subscribe := func(format, code string) func(*attempt, *client, payload) {
		return func(_ *attempt, c *client, p payload) {
			c.answered(`{"type":"subscribe","id":1,"query":`+fmt.Sprintf(format, p.json)+`}`, p, 1, code)
		}
	}
	frame := func(format string, id int, code string) func(*attempt, *client, payload) {
		return func(_ *attempt, c *client, p payload) { c.answered(fmt.Sprintf(format, p.json), p, id, code) }
	}
	value := func(format string) func(*attempt, *client, payload) {
		return func(_ *attempt, c *client, p payload) {
			c.compared(func(v string) string { return fmt.Sprintf(format, v) }, p)
		}
	}
	body := func(path, format string, status int, code string) func(*attempt, *client, payload) {
		return func(a *attempt, _ *client, p payload) {
			if p.name == "overlong UTF-8" {
				status, code := http.StatusBadRequest, "invalid-argument"
				a.denied(a.wide, request{path: path, token: a.wide.owner(), body: fmt.Sprintf(format, p.json)}, status, code)
				return
			}
			a.denied(a.wide, request{path: path, token: a.wide.owner(), body: fmt.Sprintf(format, p.json)}, status, code)
		}
	}
	var cases []attack
	for _, in := range []injection{
		{"the table", subscribe(`{"table":"%s"}`, "permission-denied")},
		{"a column", subscribe(`{"table":"appointments","columns":["%s"]}`, "permission-denied")},
		{"a column of where", subscribe(`{"table":"appointments","where":[["%s","==","x"]]}`, "permission-denied")},
		{"an operator", subscribe(`{"table":"appointments","where":[["status","%s","x"]]}`, "invalid-argument")},
		{"a group of where", subscribe(`{"table":"appointments","where":[{"%s":[]}]}`, "invalid-argument")},
		{"orderBy", subscribe(`{"table":"appointments","orderBy":["%s"]}`, "permission-denied")},
		{"a direction", subscribe(`{"table":"appointments","orderBy":[["status","%s"]]}`, "invalid-argument")},
		{"a place of NULLs", subscribe(`{"table":"appointments","orderBy":[["status","asc","%s"]]}`, "invalid-argument")},
		{"a uuid", subscribe(`{"table":"appointments","where":[["id","==","%s"]]}`, "invalid-argument")},
		{"a time", subscribe(`{"table":"appointments","where":[["starts_at",">","%s"]]}`, "invalid-argument")},
		{"a number", subscribe(`{"table":"appointments","where":[["price",">","%s"]]}`, "invalid-argument")},
		{"a bound", subscribe(`{"table":"appointments","orderBy":["starts_at"],"startAt":["%s"]}`, "invalid-argument")},
		{"a member's name", subscribe(`{"table":"appointments","%s":1}`, "invalid-argument")},
		{"a text", value(`{"table":"appointments","where":[["notes","==","%s"]]}`)},
		{"a list of texts", value(`{"table":"appointments","where":[["notes","in",["y","%s"]]]}`)},
		{"a prefix", value(`{"table":"appointments","where":[["notes","starts-with","%s"]]}`)},
		{"an array", value(`{"table":"clients","where":[["tags","array-contains","%s"]]}`)},
		{"jsonb", value(`{"table":"clients","where":[["preferences","==",{"a":"%s"}]]}`)},
		{"the type of a frame", frame(`{"type":"%s"}`, 0, "invalid-argument")},
		{"an lsn", frame(`{"type":"wait","id":1,"lsn":"%s"}`, 1, "invalid-argument")},
		{"a new token", frame(`{"type":"auth","token":"%s"}`, 0, "unauthenticated")},
		{"a session key", body("/v1/send", `{"key":"%s","frames":[]}`, http.StatusNotFound, "not-found")},
		{"a poll's key", body("/v1/poll", `{"key":"%s","poll":2}`, http.StatusNotFound, "not-found")},
		{"the lsn of POST /v1/wait", body("/v1/wait", `{"lsn":"%s"}`, http.StatusBadRequest, "invalid-argument")},
		{"a cursor", resumed(`{"cursor":"%s","token":"x"}`)},
		{"a resume token", resumed(`{"cursor":"x","token":"%s"}`)},
		{"a ticket", func(a *attempt, _ *client, p payload) {
			a.denied(a.wide, byTicket(p.plain), http.StatusUnauthorized, "unauthenticated")
		}},
		{"a company in the URL", func(a *attempt, _ *client, p payload) {
			a.denied(a.wide, request{method: "GET", path: "/v1/sse?company=" + url.QueryEscape(p.plain), token: a.wide.owner()}, http.StatusUnauthorized, "unauthenticated")
		}},
		{"a path", func(a *attempt, _ *client, p payload) {
			a.denied(a.wide, request{method: "GET", path: "/v1/" + url.PathEscape(p.plain), token: a.wide.owner()}, http.StatusNotFound, "not-found")
		}},
	} {
		for _, p := range payloads() {
			cases = append(cases, attack{name: p.name + " as " + in.where, run: func(a *attempt) {
				c := a.connect(a.wide, a.wide.owner())
				in.try(a, c, p)
				c.open(2, `{"table":"appointments","columns":["notes"],"where":[["notes","starts-with","note"],["id","in",["`+appointment(1)+`"]]],"orderBy":["starts_at"]}`, 1)
				var rows, clients int
				a.wide.scan(a, &rows, `SELECT count(*) FROM appointments`)
				a.wide.scan(a, &clients, `SELECT count(*) FROM clients WHERE company_id <> '`+companyL+`'`)
				if rows != 7 || clients != 2 {
					a.Errorf("the database has %d appointments and %d clients", rows, clients)
				}
			}})
		}
	}
	return cases
}

// resumed tries what a client says it has; it is none, and all rows are sent.
func resumed(format string) func(a *attempt, c *client, p payload) {
	return func(a *attempt, c *client, p payload) {
		resume := fmt.Sprintf(format, p.json)
		request := `{"type":"subscribe","id":1,"query":` + allAppointments + `,"resume":` + resume + `}`
		if p.name == "overlong UTF-8" {
			c.answered(request, p, 0, "")
			return
		}
		q := &apptest.Query{Loaded: true, Rows: make(map[string]apptest.Row), Order: make(map[string]string)}
		c.Replica.Resume(1, q)
		if err := c.TrySend([]byte(request)); err != nil {
			a.Fatal(err)
		}
		if f := c.answer(); f.Type != "data" {
			a.Fatalf("got %s", f)
		}
		a.mustReset(q, 4)
	}
}
